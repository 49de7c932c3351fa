"""A local checkpoint as a backend: prefill what is new, then one token a step, until it stops or is stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from multimodal.errors import PromptError
from multimodal.kv_cache import KvCache
from multimodal.sampler import Sampler, Sampling
from reasoning.backend import AnswerDelta, AnswerWasReasoning, Done, Event, Experts, Options, ReasoningDelta, Usage
from reasoning.boxes import Sight
from reasoning.local_model import LocalModel, Prompt, load_local
from reasoning.messages import Message, ToolCall, ToolSpec, checked, without_oldest
from reasoning.stop_text import StopText
from reasoning.thinking import LoopGuard, ThinkingParser
from reasoning.tool_calls import ToolCallParser

LEAST_ANSWER_TOKENS = 16


class LocalBackend:
    """Streams answers of one `LocalModel`.

    The cache of the last conversation of pure text is kept: a turn that goes on from it prefills only what is new.
    """

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self._lock = threading.Lock()
        self._kept: tuple[list[int], KvCache] | None = None

    @classmethod
    def load(cls, source: str | Path, **options: str | None) -> LocalBackend:
        """options: `family`, `device`, `dtype` of `load_local`."""
        return cls(load_local(source, **options))  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def sees(self) -> bool:
        return self.model.sees

    @property
    def sight(self) -> Sight | None:
        coordinates = self.model.profile.coordinates
        if not self.sees or coordinates == "none":
            return None
        return Sight.of_processor(coordinates, self.model.images)

    @property
    def continues(self) -> bool:
        return True

    def close(self) -> None:
        with self._lock:
            self._kept = None

    def stream(self, messages: Sequence[Message], options: Options) -> Iterator[Event]:
        """See `reasoning.backend.Backend`. The prompt is laid out, and refused if need be, before the first event. The
        oldest questions and answers are left out where they would leave no room for this one's."""
        profile = self.model.profile
        kept = checked(messages, sees=self.sees, single_turn=profile.single_turn)
        if profile.system_prompt and not any(message.role == "system" for message in kept):
            kept = [Message("system", (profile.system_prompt,)), *kept]
        marks = profile.reasoning
        variables = {}
        if marks.switch and options.think is not None:
            variables[marks.switch] = options.think
        tools = options.tools if profile.tools else ()
        most = self.model.context - min(options.max_tokens, self.model.context // 4)
        prompt = self._prompt(kept, tools, variables)
        while len(prompt.ids) > most and (shorter := without_oldest(kept)):
            kept = shorter
            prompt = self._prompt(kept, tools, variables)
        begun = kept[-1].text if kept[-1].role == "assistant" else ""
        inside = bool(marks.opening) and (
            (marks.opened_by_prompt and marks.closing not in begun) or self._ends_open(prompt.ids, marks.opening)
        )
        parser = ThinkingParser(marks.opening, marks.closing, inside)
        calls = ToolCallParser(bool(tools) or any(message.role == "tool" for message in kept))
        return self._decode(prompt, parser, calls, options)

    def _prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec], variables: dict[str, bool]) -> Prompt:
        ids = self.model.layout.chat(messages, tools, **variables)
        return self.model.prompt(ids, [picture for message in messages for picture in message.pictures])

    def complete(self, ids: list[int], options: Options) -> Iterator[Event]:
        """Go on with raw ids, without a chat template: fill-in-the-middle, base models."""
        if not ids:
            raise PromptError("there is nothing to go on with: give a prompt")
        return self._decode(
            self.model.text_prompt(ids), ThinkingParser(opening=""), ToolCallParser(offered=False), options
        )

    def _ends_open(self, ids: list[int], opening: str) -> bool:
        """Whether the prompt itself opened the reasoning, as some templates do."""
        tail = self.model.tokenizer.decode(ids[-8:], skip_special_tokens=False)
        return tail.rstrip().endswith(opening)

    def _sampler(self, options: Options) -> Sampler:
        rule = self.model.sampling()
        if options.temperature is not None:
            rule = replace(rule, do_sample=True, temperature=options.temperature) if options.temperature else Sampling()
        if self.model.profile.never_greedy and not rule.do_sample:
            rule = self.model.profile.sampling
        if options.top_p is not None:
            rule = replace(rule, top_p=options.top_p)
        generator = torch.Generator(self.model.device)
        generator.manual_seed(options.seed) if options.seed is not None else generator.seed()
        return Sampler(rule, generator)

    def _decode(
        self, prompt: Prompt, parser: ThinkingParser, calls: ToolCallParser, options: Options
    ) -> Iterator[Event]:
        room = self.model.context - len(prompt.ids)
        if room < LEAST_ANSWER_TOKENS:
            raise PromptError(
                f"{self.name} reads up to {self.model.context} tokens and the conversation has {len(prompt.ids)}: "
                "start a new one or shorten it"
            )
        return self._run(prompt, parser, calls, options, min(options.max_tokens, room))

    def _run(
        self, prompt: Prompt, parser: ThinkingParser, calls: ToolCallParser, options: Options, limit: int
    ) -> Iterator[Event]:
        from tokenizers.decoders import DecodeStream

        model = self.model
        cache, known = self._take(prompt)
        cached = known
        ids = list(prompt.ids)
        sampler = self._sampler(options)
        sampler.seen.update(ids)
        constraint = model.constrain(options.schema) if options.schema else None
        stop_text = StopText(options.stop)
        guard = LoopGuard() if model.profile.loop_guard else None
        decoder = DecodeStream(skip_special_tokens=True)
        written = thought = 0
        next_position = int(prompt.positions.max()) + 1
        finish, error = "length", None
        try:
            logits, _ = model.forward(prompt, known, cache)
            known = len(ids)
            while written < limit:
                if options.cancellation.cancelled:
                    finish = "cancelled"
                    break
                sampler.constraint = None if parser.inside else constraint
                token = sampler.draw(logits)
                written += 1
                thought += parser.inside
                if token in model.stop:
                    finish = "stop"
                    break
                text = decoder.step(model.tokenizer.backend_tokenizer, token) or ""
                yield from self._told(text, parser, stop_text, calls)
                if stop_text.hit is not None or (guard and guard.push(text)):
                    finish = "loop" if stop_text.hit is None else "stop"
                    break
                ids.append(token)
                if written == limit:
                    break
                place = torch.full((3, 1), next_position)
                logits, routers = model.forward(Prompt([token], place), 0, cache, options.experts)
                known, next_position = known + 1, next_position + 1
                if routers is not None:
                    yield Experts(token, text, routers[0], model.top_k)
        except (RuntimeError, MemoryError) as failure:
            lines = str(failure).strip().splitlines() or [type(failure).__name__]
            finish, error = "error", f"the model failed ({lines[0][:200]}): try a shorter question or a smaller model"
        finally:
            if prompt.pixels is None:
                self._keep(ids[:known], cache)
        yield from self._told("", parser, stop_text, calls, last=True)
        yield Usage(len(prompt.ids), written, thought, cached)
        if finish == "stop" and calls.calls:
            finish = "tool_calls"
        yield Done(finish, truncated=finish in ("length", "loop", "cancelled", "error"), error=error)

    @staticmethod
    def _told(
        text: str, parser: ThinkingParser, stop_text: StopText, calls: ToolCallParser, last: bool = False
    ) -> Iterator[Event]:
        """Text → events. Reasoning passes as it is; the answer ends at a stop text and may hold tool calls."""
        pieces = [*parser.push(text), *(parser.finish() if last else ())]
        for piece in pieces:
            if piece.kind == "moved":
                yield AnswerWasReasoning()
            elif piece.kind == "reasoning":
                yield ReasoningDelta(piece.text)
            else:
                for part in calls.push(stop_text.push(piece.text)):
                    yield part if isinstance(part, ToolCall) else AnswerDelta(part)
        if last:
            for part in [*calls.push(stop_text.finish()), *calls.finish()]:
                yield part if isinstance(part, ToolCall) else AnswerDelta(part)

    def _take(self, prompt: Prompt) -> tuple[KvCache, int]:
        """The kept cache, cropped to what this prompt shares with it, and how many tokens that is; taken, so that no
        second stream can write into it."""
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is None or prompt.pixels is not None:
            return self.model.new_cache(), 0
        ids, cache = kept
        shared = 0
        for ours, theirs in zip(prompt.ids[:-1], ids):  # the last token always goes through, for its logits
            if ours != theirs:
                break
            shared += 1
        cache.crop_to(shared)
        return cache, shared

    def _keep(self, ids: list[int], cache: KvCache) -> None:
        if cache.length < len(ids):  # stopped before the prompt went through
            ids = ids[: cache.length]
        cache.crop_to(len(ids))
        with self._lock:
            self._kept = (ids, cache)

"""A reply as the protocol shows it: its events from response.created to its one response.done."""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import soxr

from app.realtime.items import Item, Items, Tell
from app.realtime.protocol import new_id, pcm16
from app.realtime.settings import RATE_HZ
from app.told import Routed, Said, shown_after
from app.web.told import Told
from reasoning.router import THINKER
from reasoning.spoken import heard_chars
from streaming.call_events import TurnTiming
from streaming.events import ResponseDone
from streaming.session import ResponseOptions

STATUS = {"completed": "completed", "length": "incomplete", "cancelled": "cancelled", "failed": "failed"}


class Response:
    """item: what it becomes. text: what was written of it or, of a backend's answer, said. told: what was told beside
    it. conversation: the id of the history's. metadata: the client's own."""

    def __init__(
        self,
        tell: Tell,
        item: Item,
        options: ResponseOptions,
        speaks: bool,
        conversation: Callable[[], str | None],
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.id = new_id("resp")
        self.item = item
        self.speaks = speaks
        self.text = ""
        self.told = Told()
        self.timings_ms: dict[str, float | None] = {}
        self._tell = tell
        self._limit = options.max_text_tokens
        self._conversation = conversation
        self._metadata = metadata
        self._samples = 0
        self._done: dict[str, Any] | None = None
        self._shown = ""
        self._sentences: list[Said] = []

    @property
    def spoken_ms(self) -> int:
        """Speech so far."""
        return round(self._samples / RATE_HZ * 1000)

    @property
    def _at(self) -> dict[str, Any]:
        return {"response_id": self.id, "item_id": self.item.id, "output_index": 0, "content_index": 0}

    def begin(self, items: Items) -> None:
        self._tell("response.created", response=self.view())
        self._tell("rate_limits.updated", rate_limits=[])
        at = {"response_id": self.id, "output_index": 0}
        self._tell("response.output_item.added", item=self.item.view, **at)
        items.add(self.item)
        part = {"type": "audio", "transcript": ""} if self.speaks else {"type": "text", "text": ""}
        self._tell("response.content_part.added", item_id=self.item.id, content_index=0, part=part, **at)

    def wrote(self, delta: str) -> None:
        self.text += delta
        kind = "response.output_audio_transcript.delta" if self.speaks else "response.output_text.delta"
        self._tell(kind, delta=delta, **self._at)

    def said(self, samples: np.ndarray, rate_hz: int) -> None:
        if rate_hz != RATE_HZ:
            samples = soxr.resample(samples, rate_hz, RATE_HZ)
        pcm = pcm16(samples)
        self._samples += len(pcm) // 2
        self._tell("response.output_audio.delta", delta=base64.b64encode(pcm).decode(), **self._at)

    def take(self, told: object) -> None:
        """Who answers, and what a backend tells beside what is said."""
        self.told.take(told)
        self._shown = shown_after(self._shown, told)
        if isinstance(told, Said):
            self._sentences.append(told)
        elif isinstance(told, Routed):
            route = told.route
            at = {"response_id": self.id, "item_id": self.item.id}
            self._tell(
                "tandem.response.routed",
                backend=route.backend,
                reason=route.reason,
                reasons=route.why.everywhere(),
                **at,
            )

    def shown(self, said: str, notice: str = "") -> str:
        """The text on the page of which `said` was said: the reply's own, or as much of a backend's text as its words
        stand for. notice: what was said before them."""
        if not self._by_backend:
            return said
        language, left, begin = self.told.routes[-1].language, said.removeprefix(notice).lstrip(), 0
        for end, sentences in groupby(self._sentences, lambda one: one.shown):  # several may become whole at once
            spoken = " ".join(sentence.text for sentence in sentences)
            if not left.startswith(spoken):
                return self._shown[: begin + heard_chars(self._shown[begin:end], left, language)]
            left, begin = left[len(spoken) :].lstrip(), end
        return self._shown[:begin]

    def whole(self, said: str) -> str:
        """What the page shows of a reply of which all of `said` was said."""
        return self._shown if self._by_backend else said

    @property
    def answered_by(self) -> str:
        """ "thinker", or the backend whose text is read out."""
        return self.told.routes[-1].backend if self.told.routes else THINKER

    @property
    def _by_backend(self) -> bool:
        return self.answered_by != THINKER

    def timed(self, timing: TurnTiming) -> None:
        names = [name for name in vars(timing) if name.endswith("_ms")]
        self.timings_ms = {name: _rounded(getattr(timing, name)) for name in names}
        at = {"response_id": self.id, "item_id": self.item.id}
        self._tell("tandem.turn.timing", answered_early=timing.early, **self.timings_ms, **at)

    def written(self, done: ResponseDone) -> None:
        """No more of it will be made."""
        text = done.text or self.text
        rest = text[len(self.text) :] if text.startswith(self.text) else ""
        if rest:  # text of the last tokens of a reply that was stopped
            self.wrote(rest)
        if self.speaks:
            self._tell("response.output_audio.done", **self._at)
            self._tell("response.output_audio_transcript.done", transcript=text, **self._at)
            part = {"type": "audio", "transcript": text}
        else:
            self._tell("response.output_text.done", text=text, **self._at)
            part = {"type": "text", "text": text}
        self.item.view["content"] = [{**part, "type": f"output_{part['type']}"}]
        self.item.view["status"] = "completed" if done.status == "completed" else "incomplete"
        self._tell("response.content_part.done", part=part, **self._at)

    def end(self, items: Items, done: ResponseDone, by_client: bool) -> None:
        """It is kept."""
        self._tell("response.output_item.done", item=self.item.view, response_id=self.id, output_index=0)
        items.done(self.item)
        self._done = _outcome(done, by_client)
        self._tell("response.done", response=self.view())

    def cut(self, text: str, played_ms: float) -> None:
        """Only `text`, the beginning of what was said, was heard."""
        if not self.speaks:
            return
        self.item.view["content"] = [{"type": "output_audio", "transcript": text}]
        end_ms = round(played_ms)
        self._tell("conversation.item.truncated", item_id=self.item.id, content_index=0, audio_end_ms=end_ms)

    def view(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": "in_progress",
            "status_details": None,
            "output": [self.item.view] if self._done else [],
            "conversation_id": self._conversation(),
            "output_modalities": ["audio" if self.speaks else "text"],
            "max_output_tokens": self._limit,
            "metadata": self._metadata,
            "usage": None,
            **(self._done or {}),
        }


def _outcome(done: ResponseDone, by_client: bool) -> dict[str, Any]:
    """status, status_details and usage of a response that has ended."""
    status = STATUS[done.status]
    details: dict[str, Any] = {"type": status}
    if status == "incomplete":
        details["reason"] = "max_output_tokens"
    elif status == "cancelled":
        details["reason"] = "client_cancelled" if by_client else "turn_detected"
    elif status == "failed":
        details["error"] = {"type": "server_error", "code": "failed", "message": done.error}
    usage = done.usage
    spent = usage.text_tokens + usage.codes
    return {
        "status": status,
        "status_details": details,
        "usage": {
            "total_tokens": usage.prompt_tokens + spent,
            "input_tokens": usage.prompt_tokens,
            "output_tokens": spent,
            "input_token_details": {"cached_tokens": max(0, usage.prompt_tokens - usage.prefill_tokens)},
            "output_token_details": {"text_tokens": usage.text_tokens, "audio_tokens": usage.codes},
        },
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)

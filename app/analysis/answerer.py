"""Who answers about a window: the Thinker of an omni checkpoint, or a reasoning backend that sees pictures."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from multimodal.audio import token_count
from multimodal.checkpoint import Checkpoint
from multimodal.media import Picture, VideoClip
from multimodal.outline import Sampled
from multimodal.prompt import AudioSpan, Content, Turn, VideoSpan
from multimodal.sampler import Sampling
from multimodal.sampling import FrameBudget
from reasoning.backend import AnswerDelta, Backend, Done, Options, Usage
from reasoning.errors import BackendError
from reasoning.json_schema import JsonSchema, SchemaDecoding
from reasoning.messages import Message
from reasoning.thinking import LoopGuard
from streaming.events import ResponseDone, TextDelta
from streaming.session import Conversation, ResponseOptions

_BLANKS = re.compile(r"\s{64,}$")
_SECOND_TRY = Sampling(do_sample=True, temperature=0.8, top_p=0.9, repetition_penalty=1.1)


@dataclass(frozen=True)
class Answer:
    """status: "completed", "length" (cut at the limit) or "repetition" (it only went round in circles)."""

    text: str
    status: str
    prompt_tokens: int
    completion_tokens: int


class AnswerFailed(Exception):
    """No answer, through no fault of the item."""


class Answerer(Protocol):
    """May be asked from several threads at once."""

    @property
    def name(self) -> str: ...

    @property
    def hears(self) -> bool: ...

    def budget(self, **overrides: Any) -> FrameBudget:
        """How many frames of a window it can take, and how large."""
        ...

    def tokens(self, sampled: Sampled, sound_sec: float, question: str) -> int:
        """Tokens of a prompt with one window; sound_sec: from the first frame to the end of the sound, 0 without."""
        ...

    def answer(
        self, content: tuple[Content, ...], max_tokens: int, seed: int, schema: JsonSchema | None, second_try: bool
    ) -> Answer: ...

    def close(self) -> None: ...


class Circles:
    """Notices text that repeats itself, or blanks without end."""

    def __init__(self) -> None:
        self._guard, self._tail = LoopGuard(least_chars=160), ""

    def push(self, text: str) -> bool:
        self._tail = (self._tail + text)[-80:]
        return self._guard.push(text) or bool(_BLANKS.search(self._tail))


class ThinkerAnswerer:
    """Sees and hears: frames and sound interleaved in time."""

    hears = True

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._decoding: SchemaDecoding | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.checkpoint.name

    @property
    def context(self) -> int:
        config = self.checkpoint.thinker.model.model.language_model.config
        return int(getattr(config, "max_position_embeddings", 0) or 32_768)

    def budget(self, **overrides: Any) -> FrameBudget:
        found = FrameBudget.from_preprocessor(self.checkpoint.thinker.vision.processor.to_dict(), **overrides)
        room = self.context * 3 // 4 * found.factor**2  # the rest is for sound, question and answer
        return replace(found, total_pixels=min(found.total_pixels, room))

    def answer(
        self, content: tuple[Content, ...], max_tokens: int, seed: int, schema: JsonSchema | None, second_try: bool
    ) -> Answer:
        conversation = Conversation(self.checkpoint)
        conversation.append(Turn("user", content))
        options = ResponseOptions(
            speech=False,
            max_text_tokens=max_tokens,
            seed=seed,
            sampling=_SECOND_TRY if second_try else None,
            constraint=self._constraint(schema) if schema else None,
        )
        circles, looping, done = Circles(), False, None
        for event in conversation.respond(options):
            if isinstance(event, TextDelta) and not looping and circles.push(event.text):
                looping = True
                conversation.cancel()
            elif isinstance(event, ResponseDone):
                done = event
        assert done is not None, "every response ends in one terminal event"
        if done.error is not None:
            raise AnswerFailed(done.error)
        status = "repetition" if looping else "length" if done.status == "length" else "completed"
        return Answer(done.text, status, done.usage.prompt_tokens, done.usage.text_tokens)

    def tokens(self, sampled: Sampled, sound_sec: float, question: str) -> int:
        thinker, prompt = self.checkpoint.thinker, self.checkpoint.prompt
        vision, audio = thinker.vision, thinker.audio
        grid = (
            sampled.frames // vision.temporal_patch,
            sampled.height // vision.patch,
            sampled.width // vision.patch,
        )
        samples = max(round(sound_sec * audio.rate_hz), 3 * audio.hop)
        sound = AudioSpan(token_count(-(-samples // audio.hop))) if sound_sec > 0 else None
        video = VideoSpan(grid, vision.temporal_patch / sampled.fps, audio=sound)
        spans = [
            *prompt.turn("system", [self.checkpoint.system_prompt]),
            *prompt.turn("user", [video, question]),
            *prompt.open_turn("assistant", []),
        ]
        return sum(len(thinker.tmrope.ids(span)) for span in spans)

    def _constraint(self, schema: JsonSchema) -> Callable[[], Any]:
        with self._lock:
            if self._decoding is None:
                vocab_size = self.checkpoint.thinker.model.lm_head.out_features
                self._decoding = SchemaDecoding(self.checkpoint.tokenizer, vocab_size, self.checkpoint.stop)
        decoding = self._decoding
        return lambda: decoding.constrain(schema)

    def close(self) -> None:
        pass


class BackendAnswerer:
    """Sees frames as pictures with their times written beside them; sound is left out."""

    hears = False

    def __init__(self, backend: Backend, frames: int = 32) -> None:
        self.backend, self._frames = backend, frames
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.backend.name

    def budget(self, **overrides: Any) -> FrameBudget:
        most = min(self._frames, overrides.pop("max_frames", self._frames))
        return FrameBudget(**{**overrides, "max_frames": most, "min_frames": 2})

    def tokens(self, sampled: Sampled, sound_sec: float, question: str) -> int:
        """As Qwen's picture encoders count; what a server really counts is in the record."""
        return sampled.frames * (sampled.height * sampled.width // 28**2 + 8) + len(question) // 3

    def answer(
        self, content: tuple[Content, ...], max_tokens: int, seed: int, schema: JsonSchema | None, second_try: bool
    ) -> Answer:
        parts: list[str | Picture] = []
        for part in content:
            parts += _pictures(part) if isinstance(part, VideoClip) else [cast("str | Picture", part)]
        temperature = 0.8 if second_try else None
        options = Options(max_tokens=max_tokens, seed=seed, schema=schema, temperature=temperature)
        circles, text, usage, done, looping = Circles(), "", Usage(0, 0), None, False
        try:
            with closing(cast(Any, self.backend.stream([Message("user", tuple(parts))], options))) as events:
                for event in events:
                    if isinstance(event, AnswerDelta):
                        text += event.text
                        if circles.push(event.text):
                            looping = True
                            break
                    elif isinstance(event, Usage):
                        usage = event
                    elif isinstance(event, Done):
                        done = event
        except BackendError as error:
            raise AnswerFailed(str(error)) from error
        if done is not None and done.error is not None:
            raise AnswerFailed(done.error)
        finish = done.finish_reason if done else "loop"
        status = "repetition" if looping or finish == "loop" else "length" if finish == "length" else "completed"
        return Answer(text, status, usage.prompt_tokens, usage.completion_tokens)

    def close(self) -> None:
        self.backend.close()


def _pictures(clip: VideoClip) -> Iterator[str | Picture]:
    for index, frame in enumerate(clip.frames):
        yield f"[{index / clip.fps:.1f} s]"
        yield Picture(frame)

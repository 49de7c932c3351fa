"""Turns of a conversation → spans → token ids, in the ChatML layout that Qwen2.5-Omni was trained on.

A span is the smallest thing that gets positions as a whole: a run of text tokens, or one medium between its
begin and end tokens. Control tokens come only from the layout; text that a person or a model wrote is
tokenized as plain text, so a typed `<|im_end|>` stays eleven harmless characters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from multimodal.errors import PromptError
from multimodal.media import AudioClip, Picture, VideoClip

Content = str | Picture | AudioClip | VideoClip
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, eq=False)
class Turn:
    """One message: who, and its parts in order.

    ids: for a reply, the token ids the model wrote it with, so that it is never tokenized again.
    """

    role: Role
    content: tuple[Content, ...]
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TextSpan:
    """Token ids, control tokens included."""

    ids: tuple[int, ...]


@dataclass(frozen=True)
class AudioSpan:
    """`tokens` audio embeddings between <|audio_bos|> and <|audio_eos|>.

    features: log-mel float [bins, frames], or whatever the caller keeps there; layout and positions ignore it.
    """

    tokens: int
    features: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class AudioPiece:
    """Part of a sound that is still coming, already encoded: features float [tokens, D]. Its begin and end tokens
    stand in the text around it."""

    tokens: int
    features: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class ImageSpan:
    """One picture: `grid` is (1, h, w) in patches before merging; features: patches float [h·w, patch values]."""

    grid: tuple[int, int, int]
    features: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class VideoSpan:
    """A video: `grid` is (t, h, w) in patches, t counting temporal patches.

    second_per_grid: seconds from one temporal patch to the next (temporal patch size ÷ sampled fps).
    grid_times_sec: presentation time of each temporal patch, used instead of index × second_per_grid if given.
    audio: its sound track, interleaved by time, or None.
    """

    grid: tuple[int, int, int]
    second_per_grid: float
    grid_times_sec: tuple[float, ...] | None = None
    audio: AudioSpan | None = None
    features: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class FilmMark:
    """A video with sound begins that is still coming (`multimodal.film`), or ends: two tokens at one position."""

    ends: bool = False


@dataclass(frozen=True)
class FilmPicture:
    """One temporal patch of it: `grid` is (1, h, w); at: its time id since the beginning; features as of VideoSpan."""

    grid: tuple[int, int, int]
    at: int
    features: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class FilmSound:
    """Part of its sound, already encoded: features float [tokens, D]; at: time id of the first token."""

    tokens: int
    at: int
    features: Any = field(default=None, compare=False, repr=False)


Span = TextSpan | AudioSpan | AudioPiece | ImageSpan | VideoSpan | FilmMark | FilmPicture | FilmSound


@dataclass(frozen=True)
class ControlIds:
    """Ids of the layout's control tokens, read from a checkpoint's tokenizer and config."""

    im_start: int
    im_end: int
    audio: int
    audio_bos: int
    audio_eos: int
    image: int
    video: int
    vision_bos: int
    vision_eos: int

    @classmethod
    def read(cls, tokenizer: Any, thinker_config: Any) -> ControlIds:
        """tokenizer: transformers' fast tokenizer; thinker_config: Qwen2_5OmniThinkerConfig."""

        def named(token: str) -> int:
            token_id = tokenizer.convert_tokens_to_ids(token)
            if not isinstance(token_id, int) or token_id < 0 or token_id == tokenizer.unk_token_id:
                raise PromptError(f"this tokenizer has no {token}: not a Qwen2.5-Omni checkpoint")
            return token_id

        return cls(
            im_start=named("<|im_start|>"),
            im_end=named("<|im_end|>"),
            audio=thinker_config.audio_token_id,
            audio_bos=thinker_config.audio_start_token_id,
            audio_eos=thinker_config.audio_end_token_id,
            image=thinker_config.image_token_id,
            video=thinker_config.video_token_id,
            vision_bos=thinker_config.vision_start_token_id,
            vision_eos=thinker_config.vision_end_token_id,
        )

    @property
    def media(self) -> tuple[int, int, int]:
        """Placeholder ids whose embedding comes from an encoder."""
        return self.audio, self.image, self.video


class PromptFormat:
    """Lays turns out as spans. Holds a private copy of the tokenizer that never reads control tokens in text."""

    def __init__(self, tokenizer: Any, control: ControlIds) -> None:
        from tokenizers import Tokenizer

        self.control = control
        self._plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._plain.encode_special_tokens = True
        self._newline = tuple(self.encode("\n"))

    def encode(self, text: str) -> list[int]:
        """Ids of `text` taken literally."""
        try:
            text.encode()
        except UnicodeEncodeError:
            raise PromptError("the text holds a lone surrogate: send valid Unicode") from None
        return self._plain.encode(text, add_special_tokens=False).ids

    def turn(self, role: Role, parts: list[str | AudioSpan | ImageSpan | VideoSpan]) -> list[Span]:
        """A whole turn: <|im_start|>role\\n parts <|im_end|>\\n. Neighbouring text parts are joined before
        tokenizing, because merges may cross their border."""
        spans = self.open_turn(role, parts)
        return [*spans, self.close_turn()]

    def open_turn(self, role: Role, parts: list[str | AudioSpan | ImageSpan | VideoSpan]) -> list[Span]:
        """As `turn`, but left open at its end for more parts or for the model's reply."""
        spans: list[Span] = []
        text = f"{role}\n"
        first = True

        def flush() -> None:
            nonlocal text, first
            ids = tuple(self.encode(text)) if text else ()
            if first:
                ids = (self.control.im_start, *ids)
                first = False
            if ids:
                spans.append(TextSpan(ids))
            text = ""

        for part in parts:
            if isinstance(part, str):
                text += part
            else:
                flush()
                spans.append(part)
        flush()
        return spans

    def continue_turn(self, text: str) -> list[Span]:
        """More text in an open turn, after a medium."""
        return [TextSpan(tuple(self.encode(text)))] if text else []

    def close_turn(self) -> TextSpan:
        return TextSpan((self.control.im_end, *self._newline))

    def reply(self, ids: tuple[int, ...]) -> list[Span]:
        """A finished reply's own ids, after `open_turn("assistant", [])`: what the model wrote, never re-tokenized."""
        body = ids[:-1] if ids and ids[-1] == self.control.im_end else ids
        return [TextSpan(body), self.close_turn()] if body else [self.close_turn()]


def interleave(span: VideoSpan, ids_per_second: float, seconds_per_chunk: float, merge: int) -> list[tuple[str, int]]:
    """The order of tokens inside a video with sound: [("video", n) | ("audio", n), …].

    Both streams are cut at every `seconds_per_chunk`; of each chunk the video comes first
    (Qwen2.5-Omni technical report, section 2.2; transformers' `get_chunked_index`).
    """
    per_frame = span.grid[1] * span.grid[2] // merge**2
    chunk_ids = int(ids_per_second * seconds_per_chunk)
    video = _chunk_sizes(np.repeat(grid_time_ids(span, ids_per_second), per_frame), chunk_ids)
    audio = _chunk_sizes(np.arange(span.audio.tokens), chunk_ids) if span.audio else []
    order: list[tuple[str, int]] = []
    for j in range(max(len(video), len(audio))):
        if j < len(video):
            order.append(("video", video[j]))
        if j < len(audio):
            order.append(("audio", audio[j]))
    return order


def grid_time_ids(span: VideoSpan, ids_per_second: float) -> np.ndarray:
    """Time id of each temporal patch relative to the first, int64 [t]; in float32 as transformers does, or
    from real capture times."""
    if span.grid_times_sec is not None:
        elapsed = np.asarray(span.grid_times_sec, np.float64) - span.grid_times_sec[0]
        return np.floor(elapsed * ids_per_second + 1e-6).astype(np.int64)
    seconds = np.arange(span.grid[0], dtype=np.float32) * np.float32(span.second_per_grid)
    return (seconds * np.float32(ids_per_second)).astype(np.int64)


def _chunk_sizes(time_ids: np.ndarray, chunk_ids: int) -> list[int]:
    """Lengths of consecutive runs of tokens with rising ids [n]. A run ends where an id reaches the next multiple
    of chunk_ids; the count of chunks rises by one a run even over a gap, as in the reference, so that frames
    further apart than a chunk are split token by token until the count has caught up."""
    sizes: list[int] = []
    start, limit, first = 0, chunk_ids, 0
    while (first := max(first, int(np.searchsorted(time_ids, limit)))) < len(time_ids):
        sizes.append(first - start)
        start, limit, first = first, limit + chunk_ids, first + 1
    sizes.append(len(time_ids) - start)
    return sizes


def span_ids(span: Span, control: ControlIds, ids_per_second: float, seconds_per_chunk: float, merge: int) -> list[int]:
    """Token ids of a span, begin and end tokens included."""
    if isinstance(span, TextSpan):
        return list(span.ids)
    if isinstance(span, AudioPiece | FilmSound):
        return [control.audio] * span.tokens
    if isinstance(span, FilmMark):
        return [control.audio_eos, control.vision_eos] if span.ends else [control.vision_bos, control.audio_bos]
    if isinstance(span, AudioSpan):
        return [control.audio_bos, *[control.audio] * span.tokens, control.audio_eos]
    count = span.grid[0] * span.grid[1] * span.grid[2] // merge**2
    if isinstance(span, FilmPicture):
        return [control.video] * count
    if isinstance(span, ImageSpan):
        return [control.vision_bos, *[control.image] * count, control.vision_eos]
    if span.audio is None:
        return [control.vision_bos, *[control.video] * count, control.vision_eos]
    inside: list[int] = []
    for kind, n in interleave(span, ids_per_second, seconds_per_chunk, merge):
        inside += [control.video if kind == "video" else control.audio] * n
    return [control.vision_bos, control.audio_bos, *inside, control.audio_eos, control.vision_eos]

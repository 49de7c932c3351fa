"""The Thinker: spans in, hidden states kept, tokens out one by one.

Positions are handed in, never computed inside the model, and every conversation has its own cache, so one set
of weights serves many conversations at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from multimodal.audio import AudioEncoder, token_count
from multimodal.decoder import Decoder
from multimodal.kv_cache import KvCache
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import (
    AudioPiece,
    AudioSpan,
    FilmMark,
    FilmSound,
    ImageSpan,
    Span,
    TextSpan,
    VideoSpan,
)
from multimodal.sampler import Sampler
from multimodal.tmrope import Cursor, Tmrope
from multimodal.vision import VisionEncoder


@dataclass
class ThinkerMemory:
    """What the Thinker remembers of one conversation: its cache and where the next span stands."""

    cache: KvCache
    cursor: Cursor = Cursor()

    @property
    def length(self) -> int:
        return self.cache.length

    def fork(self) -> ThinkerMemory:
        return ThinkerMemory(self.cache.fork(), self.cursor)


@dataclass(frozen=True, eq=False)
class Step:
    """One token that went through the model: its id, last hidden state and embedding, each [1, D]."""

    token: int
    hidden: torch.Tensor
    embedding: torch.Tensor


class Thinker:
    """model: Qwen2_5OmniThinkerForConditionalGeneration."""

    def __init__(self, model: Any, audio: AudioEncoder, vision: VisionEncoder, tmrope: Tmrope) -> None:
        self.model = model
        self.audio = audio
        self.vision = vision
        self.tmrope = tmrope
        self.rows_computed = 0  # rows that went through the language model, for tests and statistics
        self._decoder = Decoder(model.model.language_model)
        self._embed = model.model.language_model.embed_tokens

    @property
    def device(self) -> torch.device:
        return self._embed.weight.device

    def new_memory(self) -> ThinkerMemory:
        return ThinkerMemory(self._decoder.new_cache())

    def span(
        self, medium: AudioClip | Picture | VideoClip, time_source: Literal["index", "capture"] = "index"
    ) -> AudioSpan | ImageSpan | VideoSpan:
        """A medium with its encoder input. time_source: where a video's time ids come from, index ÷ fps as the
        reference counts or the frames' own presentation times."""
        if isinstance(medium, AudioClip):
            features = self.audio.features(medium)
            return AudioSpan(token_count(features.shape[1]), features)
        if isinstance(medium, Picture):
            patches, grid = self.vision.picture_patches(medium)
            return ImageSpan(grid, patches)
        patches, grid = self.vision.frame_patches(medium.frames)
        step = self.vision.temporal_patch
        captured = time_source == "capture" or medium.fps == 0
        times = tuple(float(t) for t in medium.times_sec[::step]) if captured else None
        sound = None
        track = _aligned(medium.audio) if medium.audio is not None else None
        if track is not None:
            features = self.audio.features(track)
            sound = AudioSpan(token_count(features.shape[1]), features)
        every_sec = step / medium.fps if medium.fps else self.tmrope.seconds_per_chunk
        return VideoSpan(grid, every_sec, times, sound, patches)

    @torch.inference_mode()
    def embed_tokens(self, ids: list[int]) -> torch.Tensor:
        """Embedding rows [n, D]."""
        return self._embed(torch.tensor(ids, device=self.device))

    @torch.inference_mode()
    def embed(self, span: Span) -> tuple[torch.Tensor, torch.Tensor]:
        """Input rows [n, D] of a span, media encoded, and the same with media at zero, as the Talker reads them."""
        if isinstance(span, AudioPiece | FilmSound):
            rows = span.features.to(self.device, self._embed.weight.dtype)
            return rows, torch.zeros_like(rows)
        ids = self.tmrope.ids(span)
        rows = self.embed_tokens(ids)
        if isinstance(span, TextSpan | FilmMark):
            return rows, rows
        token_ids = torch.tensor(ids, device=self.device)
        control = self.tmrope.control
        silent = rows.clone()
        if isinstance(span, AudioSpan):
            self._fill(rows, token_ids == control.audio, self.audio.encode(span.features))
        elif isinstance(span, ImageSpan):
            self._fill(rows, token_ids == control.image, self.vision.encode(span.features, span.grid))
        else:
            self._fill(rows, token_ids == control.video, self.vision.encode(span.features, span.grid))
            if isinstance(span, VideoSpan) and span.audio is not None:
                self._fill(rows, token_ids == control.audio, self.audio.encode(span.audio.features))
        silent[torch.isin(token_ids, torch.tensor(control.media, device=self.device))] = 0
        return rows, silent

    @staticmethod
    def _fill(rows: torch.Tensor, where: torch.Tensor, values: torch.Tensor) -> None:
        assert int(where.sum()) == len(values), "encoder output and placeholders differ in number"
        rows[where] = values.to(rows.dtype)

    def forward(
        self, memory: ThinkerMemory, rows: torch.Tensor, positions: np.ndarray, last_only: bool = False
    ) -> torch.Tensor:
        """Append input rows [n, D] at positions [3, n] to the memory's cache; last hidden states [n, D], or with
        `last_only` that of the last row [1, D].

        The cursor is left alone: who lays spans advances it.
        """
        self.rows_computed += len(rows)
        return self._decoder.forward(rows, torch.from_numpy(positions), memory.cache, last_only)

    def read(self, memory: ThinkerMemory, spans: list[Span]) -> tuple[torch.Tensor, torch.Tensor]:
        """Append whole spans. Returns last hidden states [n, D] and the Talker's rows [n, D]: hidden state +
        embedding, the embedding left out at media."""
        hidden, silent = self._append(memory, spans, last_only=False)
        return hidden, hidden + torch.cat(silent)

    def skim(self, memory: ThinkerMemory, spans: list[Span]) -> torch.Tensor:
        """`read` where nobody speaks: the hidden state of the last row [1, D] alone."""
        return self._append(memory, spans, last_only=True)[0]

    @torch.inference_mode()
    def _append(
        self, memory: ThinkerMemory, spans: list[Span], last_only: bool
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        embedded = [self.embed(span) for span in spans]
        positions, cursor = self.tmrope.place_all(spans, memory.cursor)
        hidden = self.forward(memory, torch.cat([rows for rows, _ in embedded]), positions, last_only)
        memory.cursor = cursor
        return hidden, [silent for _, silent in embedded]

    @torch.inference_mode()
    def next_token(self, hidden: torch.Tensor, sampler: Sampler) -> int:
        """Draw the token after a position whose last hidden state [D] is given."""
        return sampler.draw(self.model.lm_head(hidden))

    def decode(
        self, memory: ThinkerMemory, hidden: torch.Tensor, sampler: Sampler, stop: frozenset[int], limit: int
    ) -> Iterator[Step | int]:
        """Write a reply after the position with last hidden state `hidden` [D].

        Yields each drawn id as soon as it is known (an int), then the `Step` of its pass through the model.
        The last id of a reply, a stop token or the one at `limit`, is only yielded as an id: it has not been
        through the model.
        """
        first = memory.cursor.next_decoded
        for index in range(limit):
            token = self.next_token(hidden, sampler)
            yield token
            if token in stop or index == limit - 1:
                return
            step = self.step(memory, token, first + index)
            hidden = step.hidden[0]
            yield step

    @torch.inference_mode()
    def steps(self, memory: ThinkerMemory, tokens: list[int], position: int) -> list[Step]:
        """Pass given text tokens through the model at once, the first at `position`: the same as `step` for each."""
        embedding = self.embed_tokens(tokens)  # [n, D]
        places = np.arange(position, position + len(tokens), dtype=np.int64)
        hidden = self.forward(memory, embedding, np.tile(places, (3, 1)))  # [n, D]
        return [Step(token, hidden[i : i + 1], embedding[i : i + 1]) for i, token in enumerate(tokens)]

    @torch.inference_mode()
    def step(self, memory: ThinkerMemory, token: int, position: int) -> Step:
        """Pass one text token through the model at `position` (the same on all three axes)."""
        embedding = self.embed_tokens([token])
        hidden = self.forward(memory, embedding, np.full((3, 1), position, np.int64))
        return Step(token, hidden, embedding)


def _aligned(track: AudioClip) -> AudioClip | None:
    """A sound track that begins with the first frame: its head cut off, or silence put in front; None where it
    ends before the first frame."""
    shift = round(track.start_sec * track.rate_hz)
    if shift == 0:
        return track
    if shift > 0:
        return AudioClip(np.concatenate([np.zeros(shift, np.float32), track.samples]), track.rate_hz)
    rest = track.samples[-shift:]
    return AudioClip(rest, track.rate_hz) if len(rest) else None

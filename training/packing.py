"""Many conversations of different lengths → one batch of fixed size, without padding between them.

A `Sequence` is one conversation ready for the model: ids, TMRoPE positions, which tokens are learned, and its media. A
`Packer` fills a batch's budgets with sequences end to end. Attention stays inside a sequence through offsets, as in
flash attention's variable-length form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import AudioSpan, ControlIds, ImageSpan, PromptFormat, Span, TextSpan, Turn, VideoSpan
from multimodal.tmrope import Tmrope
from training.cells import FIELDS, HALVES, UNKNOWN, Listing, label_cells
from training.features import CHUNK_FRAMES, HOP, MERGE, PATCH, encoder_tokens, frame_patches, patch_places
from training.guidance import FIELDS as GUIDANCE_FIELDS
from training.guidance import Text, guidance, pieces_of, times_of

IGNORED = -100
NO_PHONE = 255
CHARACTERS = " 'abcdefghijklmnopqrstuvwxyz"  # of the auxiliary CTC loss; 0 is its blank
_CHARACTER_ID = {c: i + 1 for i, c in enumerate(CHARACTERS)}


@dataclass(frozen=True, eq=False)
class Sound:
    """One clip as it will be heard.

    samples: int16 [N] at 16 kHz; total: samples heard, silence included; lead: silence before, in samples; speed:
    source samples a heard sample; phones: uint8, one for each 10 ms of `samples`, or empty; text: what is said, or
    None.
    """

    samples: np.ndarray
    total: int
    lead: int = 0
    speed: float = 1.0
    phones: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    text: str | None = None

    @property
    def frames(self) -> int:
        return -(-self.total // HOP)

    def spoken_ids(self) -> list[int]:
        """CTC targets, empty where the text is unknown or holds digits, which are spelled otherwise than said."""
        if self.text is None or any(c.isdigit() for c in self.text):
            return []
        kept = "".join(c if c in _CHARACTER_ID else " " for c in self.text.lower())
        return [_CHARACTER_ID[c] for c in " ".join(kept.split())]

    def phone_labels(self) -> np.ndarray:
        """The phone in the middle of every 20 ms heard, uint8 [ceil(frames / 2)]; NO_PHONE where unknown."""
        count = (self.frames + 1) // 2
        if not len(self.phones):
            return np.full(count, NO_PHONE, np.uint8)
        at = ((np.arange(count) * 2 + 1) * HOP - self.lead) * self.speed // HOP
        inside = (at >= 0) & (at < len(self.phones))
        return np.where(inside, self.phones[np.clip(at, 0, len(self.phones) - 1).astype(np.int64)], 0).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Sequence:
    """One conversation. ids: int32 [n]; positions: int32 [3, n]; learned: bool [n]; patches: uint8 [F, 588] of single
    frames; pairs: int32 [P, 2] their rows for each temporal patch; places: int32 [P, 2] row and column; images: patches
    of each picture or 2-frame step, which attend among themselves; weight: of its loss; cells, letters: of `label_cells`
    for every embedding of a picture, [P / 4, …]; guided: of `guidance`; times: of `times_of`."""

    kind: str
    ids: np.ndarray
    positions: np.ndarray
    learned: np.ndarray
    sounds: tuple[Sound, ...] = ()
    patches: np.ndarray = field(default_factory=lambda: np.zeros((0, 3 * PATCH * PATCH), np.uint8))
    pairs: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    places: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    images: tuple[int, ...] = ()
    weight: float = 1.0
    cells: np.ndarray = field(default_factory=lambda: np.zeros((0, FIELDS), np.int16))
    letters: np.ndarray = field(default_factory=lambda: np.zeros((0, HALVES), np.int64))
    guided: np.ndarray = field(default_factory=lambda: np.zeros((0, GUIDANCE_FIELDS), np.int32))
    times: np.ndarray | None = None

    @property
    def chunks(self) -> int:
        return sum(-(-s.frames // CHUNK_FRAMES) for s in self.sounds)


class Layout:
    """Turns → `Sequence`, with the model's own prompt format and positions."""

    def __init__(self, tokenizer: Any, thinker_config: Any, system_prompt: str) -> None:
        self.control = ControlIds.read(tokenizer, thinker_config)
        self.format = PromptFormat(tokenizer, self.control)
        self.tmrope = Tmrope.read(self.control, thinker_config)
        self.system_prompt = system_prompt
        self._pieces = pieces_of(tokenizer, thinker_config.text_config.vocab_size)

    def sequence(
        self,
        kind: str,
        turns: list[Turn],
        heard: dict[int, Sound] | None = None,
        weight: float = 1.0,
        seen: Mapping[int, Listing] | None = None,
        sounds: Iterable[Mapping[str, Any]] = (),
    ) -> Sequence:
        """`heard` gives the Sound for an AudioClip by its `id()`; other clips are taken as they are (16 kHz). `seen` gives
        what a Picture, or each pair of frames of a VideoClip, shows; what others show is not learned. `sounds`: see
        `guidance`."""
        spans: list[tuple[Span, bool]] = []
        media = _Media(heard or {}, seen or {})
        if turns[0].role != "system":
            turns = [Turn("system", (self.system_prompt,)), *turns]
        for turn in turns:
            parts = [part if isinstance(part, str) else media.span(part) for part in turn.content]
            if turn.role == "assistant":
                reply = "".join(part for part in parts if isinstance(part, str))
                spans += [(span, False) for span in self.format.open_turn("assistant", [])]
                close = self.format.close_turn()
                spans.append((TextSpan((*self.format.encode(reply), *close.ids[:1])), True))
                spans.append((TextSpan(close.ids[1:]), False))
            else:
                spans += [(span, False) for span in self.format.turn(turn.role, parts)]
        ids: list[int] = []
        learned: list[bool] = []
        for span, is_learned in spans:
            new = self.tmrope.ids(span)
            ids += new
            learned += [is_learned] * len(new)
        positions, _ = self.tmrope.place_all([span for span, _ in spans])
        made = media.finish(kind, np.array(ids, np.int32), positions.astype(np.int32), np.array(learned), weight)
        listing = media.only_listing
        if listing is None:
            return made
        guided = guidance(Text(ids, self._pieces), made.learned, made.cells, listing, tuple(sounds))
        control = self.control
        return replace(made, guided=guided, times=times_of(made.ids, made.positions, control.video, control.audio))

    def plain(self, kind: str, text: str, weight: float) -> Sequence:
        """Text alone, every token of it learned, as language-model practice."""
        ids = np.array([self.control.im_start, *self.format.encode(text), self.control.im_end], np.int32)
        learned = np.ones(len(ids), bool)
        learned[0] = False
        return Sequence(kind, ids, np.tile(np.arange(len(ids), dtype=np.int32), (3, 1)), learned, weight=weight)


class _Media:
    """Collects the media of one conversation in the order of their tokens."""

    def __init__(self, heard: dict[int, Sound], seen: Mapping[int, Listing]) -> None:
        self.heard, self.seen = heard, seen
        self.labels: list[tuple[np.ndarray, np.ndarray]] = []
        self.sounds: list[Sound] = []
        self.patches: list[np.ndarray] = []
        self.pairs: list[np.ndarray] = []
        self.places: list[np.ndarray] = []
        self.images: list[int] = []
        self.listings: list[Listing | None] = []
        self.rows = 0

    @property
    def only_listing(self) -> Listing | None:
        """What the conversation's only picture or clip shows; None without one, with several, or where it is unknown."""
        return self.listings[0] if len(self.listings) == 1 else None

    def span(self, part: Picture | AudioClip | VideoClip) -> AudioSpan | ImageSpan | VideoSpan:
        if isinstance(part, AudioClip):
            return self._audio(part)
        if isinstance(part, Picture):
            h, w = part.pixels.shape[0] // PATCH, part.pixels.shape[1] // PATCH
            self._frames([part.pixels], h, w, self.seen.get(id(part)))
            return ImageSpan((1, h, w))
        t, (h, w) = len(part.frames) // 2, (part.frames.shape[1] // PATCH, part.frames.shape[2] // PATCH)
        self._frames(list(part.frames[: 2 * t]), h, w, self.seen.get(id(part)))
        audio = self._audio(part.audio) if part.audio is not None else None
        return VideoSpan((t, h, w), second_per_grid=2 / part.fps, audio=audio)

    def _audio(self, clip: AudioClip) -> AudioSpan:
        sound = self.heard.get(id(clip))
        if sound is None:
            assert clip.rate_hz == 16_000, "sound for the Thinker has 16 kHz"
            samples = (clip.samples.clip(-1, 1) * 32767).astype(np.int16)
            sound = Sound(samples, len(samples))
        self.sounds.append(sound)
        return AudioSpan(encoder_tokens(sound.frames))

    def _frames(self, frames: list[np.ndarray], h: int, w: int, items: Listing | None) -> None:
        """One frame is a picture, shown twice; more are pairs of a video."""
        self.listings.append(items)
        n = h * w
        self.patches += [frame_patches(frame) for frame in frames]
        first = np.arange(0, max(len(frames) - 1, 1), 2) * n + self.rows
        second = first + (n if len(frames) > 1 else 0)
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            self.labels.append(label_cells(items[i] if items else None, h // MERGE, w // MERGE))
            self.pairs.append(np.stack([np.arange(a, a + n), np.arange(b, b + n)], 1).astype(np.int32))
            self.places.append(patch_places(h, w))
            self.images.append(n)
        self.rows += n * len(frames)

    def finish(self, kind: str, ids: np.ndarray, positions: np.ndarray, learned: np.ndarray, weight: float) -> Sequence:
        if not self.images:
            return Sequence(kind, ids, positions, learned, tuple(self.sounds), weight=weight)
        patches, pairs, places = np.concatenate(self.patches), np.concatenate(self.pairs), np.concatenate(self.places)
        cells, letters = (np.concatenate(arrays) for arrays in zip(*self.labels, strict=True))
        sounds, images = tuple(self.sounds), tuple(self.images)
        return Sequence(kind, ids, positions, learned, sounds, patches, pairs, places, images, weight, cells, letters)


@dataclass(frozen=True)
class Budget:
    """Sizes of every batch. tokens: of all sequences; chunks: of 2 s of sound; seconds: the longest clip; patches,
    images: of two frames; frames: patches of single frames; learned: tokens with a loss; guided: rows of `guidance`; characters: of the longest transcript; longest, largest_image: of
    one member."""

    tokens: int = 28_672
    sequences: int = 640
    longest: int = 1_024
    clips: int = 192
    seconds: float = 10.0
    chunks: int = 320
    patches: int = 38_912
    frames: int = 45_056
    largest_image: int = 576
    images: int = 320
    learned: int = 5_120
    guided: int = 1_024
    characters: int = 200

    def scaled(self, factor: float) -> Budget:
        """Batches of another size with the same longest members."""
        names = ("tokens", "sequences", "clips", "chunks", "patches", "frames", "images", "learned", "guided")
        sizes = {name: max(32, int(getattr(self, name) * factor) // 16 * 16) for name in names}
        return replace(self, **sizes)

    @property
    def samples(self) -> int:
        """int16 samples of all clips before they are placed."""
        return self.chunks * CHUNK_FRAMES * HOP

    @property
    def clip_samples(self) -> int:
        return int(self.seconds * 16_000)


class Packer:
    """Adds sequences while they fit; `finish` gives the arrays of the batch (see `empty_arrays`)."""

    def __init__(self, budget: Budget, control: ControlIds, kinds: tuple[str, ...], pad_id: int) -> None:
        self.budget = budget
        self.control = control
        self.kinds = kinds
        self.pad_id = pad_id
        self.sequences: list[Sequence] = []
        self._used = np.zeros(9, np.int64)
        # Unused tokens and patches become sequences and images of their own, no longer than the longest.
        spare = -(-budget.tokens // budget.longest) + 1
        spare_images = -(-budget.patches // budget.largest_image) + 1
        self._limits = np.array(
            [
                budget.tokens,
                budget.sequences - spare,
                budget.clips - 1,  # the last one is the empty clip of unused chunks
                budget.chunks,
                budget.patches,
                budget.learned,
                budget.samples,
                budget.frames,
                budget.images - spare_images,
            ]
        )

    def fits_alone(self, s: Sequence) -> bool:
        """Whether an empty batch could hold it."""
        b = self.budget
        clips_fit = all(3 * HOP <= x.total <= b.clip_samples and len(x.samples) > 0 for x in s.sounds)
        characters_fit = all(len(x.spoken_ids()) <= b.characters for x in s.sounds)
        sizes_fit = len(s.ids) <= b.longest and max(s.images, default=0) <= b.largest_image
        return bool(clips_fit and characters_fit and sizes_fit and (self._need(s) <= self._limits).all())

    def _need(self, s: Sequence) -> np.ndarray:
        samples = sum(len(x.samples) for x in s.sounds)
        return np.array(
            [
                len(s.ids),
                1,
                len(s.sounds),
                s.chunks,
                len(s.pairs),
                int(s.learned.sum()),
                samples,
                len(s.patches),
                len(s.images),
            ]
        )

    def add(self, s: Sequence) -> bool:
        """False, and nothing changed, where a budget would be exceeded."""
        used = self._used + self._need(s)
        if (used > self._limits).any():
            return False
        self._used = used
        self.sequences.append(s)
        return True

    @property
    def fill(self) -> float:
        """Share of the token budget in use."""
        return float(self._used[0]) / self.budget.tokens

    def finish(self) -> dict[str, np.ndarray]:
        b = self.budget
        arrays = empty_arrays(b, self.pad_id)
        token = patch = row = clip = chunk = sample = learned = guided = 0
        audio_tokens = image_tokens = 0
        ends: list[int] = []
        image_ends: list[int] = []
        for s in self.sequences:
            n = len(s.ids)
            arrays["ids"][token : token + n] = s.ids
            arrays["positions"][:, token : token + n] = s.positions
            is_audio = s.ids == self.control.audio
            is_image = (s.ids == self.control.image) | (s.ids == self.control.video)
            at = np.flatnonzero(is_image) + token
            arrays["image_at"][image_tokens : image_tokens + len(at)] = at
            image_tokens += len(at)
            heard = np.flatnonzero(is_audio) + token
            targets = np.flatnonzero(s.learned)
            m = len(targets)
            arrays["hidden_at"][learned : learned + m] = targets - 1 + token
            arrays["targets"][learned : learned + m] = s.ids[targets]
            arrays["weights"][learned : learned + m] = s.weight / max(m, 1) ** 0.5
            arrays["kinds"][learned : learned + m] = self.kinds.index(s.kind)
            learned += m
            told = s.guided[: b.guided - guided]  # those that find no room go without
            arrays["guided"][guided : guided + len(told)] = told
            arrays["guided"][guided : guided + len(told), 0] += token
            guided += len(told)
            if s.times is not None:
                arrays["times"][token : token + n] = s.times
            for sound in s.sounds:
                n_samples, frames = len(sound.samples), sound.frames
                arrays["samples"][sample : sample + n_samples] = sound.samples
                arrays["clips"][clip] = (sample, n_samples, sound.lead, sound.total)
                arrays["speeds"][clip] = sound.speed
                characters = sound.spoken_ids()
                arrays["characters"][clip, : len(characters)] = characters
                count = -(-frames // CHUNK_FRAMES)
                tokens = encoder_tokens(frames)
                # With 50 embeddings a whole chunk, a clip's embeddings are the first ones of its consecutive chunks.
                arrays["clip_tokens"][clip] = (chunk * CHUNK_FRAMES // 4, tokens, len(characters))
                slots = np.arange(tokens) + chunk * CHUNK_FRAMES // 4
                arrays["audio_at"][slots], heard = heard[:tokens], heard[tokens:]
                audio_tokens += tokens
                labels = sound.phone_labels()[: 2 * tokens]
                flat = arrays["phones"].reshape(-1)
                flat[2 * slots[0] : 2 * slots[0] + len(labels)] = labels
                for j in range(count):
                    first = j * CHUNK_FRAMES
                    arrays["chunks"][chunk] = (clip, first, min(CHUNK_FRAMES, frames - first))
                    chunk += 1
                sample += n_samples
                clip += 1
            assert not len(heard), "every audio token belongs to a clip"
            k, f = len(s.pairs), len(s.patches)
            if k:
                arrays["patches"][row : row + f] = s.patches
                arrays["pairs"][patch : patch + k] = s.pairs + row
                arrays["places"][patch : patch + k] = s.places
                cells = slice(patch // MERGE**2, (patch + k) // MERGE**2)
                arrays["cells"][cells], arrays["letters"][cells] = s.cells, s.letters
                image_ends += (np.cumsum(s.images) + patch).tolist()
            patch, row, token = patch + k, row + f, token + n
            ends.append(token)
        _fill_offsets(arrays["offsets"], ends, b.tokens, b.longest)
        _fill_offsets(arrays["image_offsets"], image_ends, b.patches, b.largest_image)
        return arrays


def _fill_offsets(offsets: np.ndarray, ends: list[int], total: int, longest: int) -> None:
    """Write 0, the ends, ends of spare pieces up to `total`, and repeat the last."""
    last = ends[-1] if ends else 0
    spare = [min(end, total) for end in range(last + longest, total + longest, longest)]
    every = [0, *ends, *spare]
    assert len(every) <= len(offsets), "more pieces than offsets"
    offsets[: len(every)] = every
    offsets[len(every) :] = total


def empty_arrays(b: Budget, pad_id: int) -> dict[str, np.ndarray]:
    """Arrays of an empty batch. Media tokens without a place point past the end, at a row that is thrown away."""
    return {
        "ids": np.full(b.tokens, pad_id, np.int32),
        "positions": np.zeros((3, b.tokens), np.int32),
        "offsets": np.zeros(b.sequences + 1, np.int32),
        "hidden_at": np.zeros(b.learned, np.int32),
        "targets": np.full(b.learned, IGNORED, np.int32),
        "weights": np.zeros(b.learned, np.float32),
        "kinds": np.zeros(b.learned, np.int32),
        "guided": np.full((b.guided, GUIDANCE_FIELDS), (0, 0, -1, 0, 0), np.int32),
        "times": np.full(b.tokens, UNKNOWN, np.int16),
        "samples": np.zeros(b.samples, np.int16),
        "clips": np.tile(np.array([0, 0, 0, 1600], np.int32), (b.clips, 1)),  # start, count, lead, total
        "speeds": np.ones(b.clips, np.float32),
        "clip_tokens": np.zeros((b.clips, 3), np.int32),  # first embedding, embeddings, characters
        "characters": np.zeros((b.clips, b.characters), np.int32),
        "chunks": np.tile(
            np.array([b.clips - 1, 0, CHUNK_FRAMES], np.int32), (b.chunks, 1)
        ),  # clip, first frame, frames
        "phones": np.full((b.chunks, CHUNK_FRAMES // 2), NO_PHONE, np.uint8),
        "audio_at": np.full(b.chunks * CHUNK_FRAMES // 4, b.tokens, np.int32),
        "patches": np.zeros((b.frames, 3 * PATCH * PATCH), np.uint8),
        "pairs": np.zeros((b.patches, 2), np.int32),
        "places": np.zeros((b.patches, 2), np.int32),
        "cells": np.full((b.patches // MERGE**2, FIELDS), UNKNOWN, np.int16),
        "letters": np.full((b.patches // MERGE**2, HALVES), -1, np.int64),  # −1: unknown
        "image_offsets": np.zeros(b.images + 1, np.int32),
        "image_at": np.full(b.patches // MERGE**2, b.tokens, np.int32),
    }

"""Coded utterances as batches of replies for the Talker to learn."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from training.codec import EDGE_CODES, LEVELS, Codec
from training.speech_bank import CODE_FRAMES
from training.utterances import CodedUtterance

TEACHERS = ("slt", "rms")
"""The teacher of each voice of the checkpoint, in the order of `nano.VOICES`."""


def voice_index(voice: str) -> int:
    """Index of the checkpoint's voice that the teacher `voice` speaks for."""
    if voice not in TEACHERS:
        raise ValueError(f"{voice!r} is not a teacher of the checkpoint's voices: code only {' and '.join(TEACHERS)}")
    return TEACHERS.index(voice)


@dataclass(frozen=True, eq=False)
class ReplyBatch:
    """Replies of about the same length, right-padded with zeros.

    text: int64 [B, M], text_lengths [B]; codes: int64 [B, T], code_lengths [B]; voices: int64 [B];
    phones: int64 [B, T, 2], −100 after the last code, or [0] where unknown. written [B, M], said [B, T]: the word, by
    number, that a token is part of and that a code is part of; −1 where there is none, other numbers than −1 agree.
    """

    text: Tensor
    text_lengths: Tensor
    codes: Tensor
    code_lengths: Tensor
    voices: Tensor
    phones: Tensor
    written: Tensor
    said: Tensor

    def pin_memory(self) -> ReplyBatch:
        return ReplyBatch(*(tensor.pin_memory() for tensor in vars(self).values()))

    def to(self, device: torch.device) -> ReplyBatch:
        return ReplyBatch(*(tensor.to(device, non_blocking=True) for tensor in vars(self).values()))


@dataclass(frozen=True)
class Grouping:
    """How utterances become batches: a share `joined` of the replies is two or three utterances of one voice in a
    row, none longer than `max_codes`; a batch holds at most `codes_per_batch` codes, padding included."""

    codes_per_batch: int
    max_codes: int
    joined: float

    def replies(self, lengths: np.ndarray, voices: np.ndarray, rng: random.Random) -> list[tuple[int, ...]]:
        """Each utterance once, alone or joined, as indices; those over `max_codes` are left out."""
        result: list[tuple[int, ...]] = []
        for voice in np.unique(voices):
            order = [int(i) for i in np.flatnonzero((voices == voice) & (lengths <= self.max_codes))]
            rng.shuffle(order)
            while order:
                reply = [order.pop()]
                wanted = rng.choice((2, 3)) if rng.random() < self.joined else 1
                while order and len(reply) < wanted and sum(lengths[reply]) + lengths[order[-1]] <= self.max_codes:
                    reply.append(order.pop())
                result.append(tuple(reply))
        return result

    def batches(
        self, replies: list[tuple[int, ...]], lengths: np.ndarray, rng: random.Random
    ) -> list[list[tuple[int, ...]]]:
        """Replies of nearly equal length together, the batches in random order."""
        rng.shuffle(replies)
        replies = sorted(replies, key=lambda reply: sum(lengths[list(reply)]))
        result: list[list[tuple[int, ...]]] = []
        batch: list[tuple[int, ...]] = []
        for reply in replies:
            longest = max(int(sum(lengths[list(reply)])), 1)  # replies come in order of length
            if batch and (len(batch) + 1) * longest > self.codes_per_batch:
                result.append(batch)
                batch = []
            batch.append(reply)
        if batch:
            result.append(batch)
        rng.shuffle(result)
        return result


class Replies(IterableDataset[ReplyBatch]):
    """Endless batches of `utterances` in a new random order each time round.

    tokenizer: path of the text tokenizer; bpe_dropout: rate at which merges are skipped in three batches of four, so
    that the Talker hears the same word behind different tokens; the fourth has the tokens that a reply really has.
    phones: uint8 [codes of all utterances, 2], as `phones_of` gives them, or None.
    """

    def __init__(
        self,
        utterances: Sequence[CodedUtterance],
        tokenizer: Path,
        grouping: Grouping,
        bpe_dropout: float = 0.0,
        seed: int = 0,
        phones: np.ndarray | None = None,
    ) -> None:
        self.texts = [u.text for u in utterances]
        self.lengths = np.array([len(u.codes) for u in utterances], np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.codes = np.concatenate([u.codes for u in utterances])
        self.words = np.concatenate([u.words for u in utterances])
        self.voices = np.array([voice_index(u.voice) for u in utterances], np.int64)
        self.phones = phones
        assert phones is None or len(phones) == len(self.codes)
        self.tokenizer, self.grouping, self.bpe_dropout, self.seed = tokenizer, grouping, bpe_dropout, seed
        if not (self.lengths <= grouping.max_codes).any():
            raise ValueError(f"no utterance is shorter than {grouping.max_codes} codes")

    def __iter__(self) -> Iterator[ReplyBatch]:
        worker = get_worker_info()
        rng = random.Random(f"{self.seed}-{worker.id if worker else 0}")
        tokenizer = Tokenizer.from_file(str(self.tokenizer))
        tokenizer.encode_special_tokens = True
        while True:
            replies = self.grouping.replies(self.lengths, self.voices, rng)
            for batch in self.grouping.batches(replies, self.lengths, rng):
                dropout = self.bpe_dropout if rng.random() < 0.75 else 0.0
                yield self.batch(batch, tokenizer, dropout or None)

    def batch(self, replies: Sequence[tuple[int, ...]], tokenizer: Tokenizer, dropout: float | None) -> ReplyBatch:
        """The batch of these replies (indices of utterances)."""
        tokenizer.model.dropout = dropout
        texts = [" ".join(self.texts[i] for i in reply) for reply in replies]
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        text = [np.array(e.ids) for e in encoded]
        written = [_words_of(e.offsets, text) for e, text in zip(encoded, texts, strict=True)]
        said = [self._said(reply) for reply in replies]
        runs = [[slice(self.starts[i], self.starts[i + 1]) for i in reply] for reply in replies]
        codes, code_lengths = _padded([np.concatenate([self.codes[run] for run in reply]) for reply in runs])
        phones = torch.zeros(0, dtype=torch.long)
        if self.phones is not None:
            labels = np.concatenate([self.phones[run] for reply in runs for run in reply])
            phones = torch.full((*codes.shape, labels.shape[1]), -100)
            phones[torch.arange(codes.shape[1]) < code_lengths[:, None]] = torch.from_numpy(labels).long()
        voices = torch.from_numpy(self.voices[[reply[0] for reply in replies]])
        return ReplyBatch(
            *_padded(text), codes, code_lengths, voices, phones, _padded(written, -1)[0], _padded(said, -1)[0]
        )

    def _said(self, reply: Sequence[int]) -> np.ndarray:
        """Which word of the joined texts each code is part of."""
        pieces, before = [], 0
        for i in reply:
            words = self.words[self.starts[i] : self.starts[i + 1]]
            pieces.append(np.where(words < 0, -1, words + before))
            before += len(self.texts[i].split())
        return np.concatenate(pieces)


def _words_of(offsets: Sequence[tuple[int, int]], text: str) -> np.ndarray:
    """Which of `text.split()` each token is part of, int64 [tokens]. offsets: first character and end of each."""
    begins = np.array([True, *(c.isspace() for c in text)])[: len(text)] & np.array([not c.isspace() for c in text])
    return (np.cumsum(begins) - 1)[np.array([end - 1 for _, end in offsets], int)]


def _padded(rows: Sequence[np.ndarray], fill: int = 0) -> tuple[Tensor, Tensor]:
    lengths = np.array([len(row) for row in rows], np.int64)
    table = np.full((len(rows), lengths.max()), fill, np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(table), torch.from_numpy(lengths)


@torch.no_grad()
def phones_of(codec: Codec, codes: np.ndarray, codes_a_piece: int = 512, batch: int = 64) -> np.ndarray:
    """The phones that the codec's own head reads off int16 codes [N], 10 ms and 30 ms into each: uint8 [N, 2]."""
    edge, device = EDGE_CODES, codec.speaker.weight.device
    levels, quantizer = torch.tensor(LEVELS, device=device), cast(Any, codec.quantizer)
    whole = torch.from_numpy(np.pad(codes, (edge, edge + codes_a_piece), constant_values=codes[0])).to(device)
    pieces = whole.unfold(0, codes_a_piece + 2 * edge, codes_a_piece)  # [pieces, edge + codes_a_piece + edge]
    found = []
    for group in pieces.split(batch):
        digits = (group.long() - 1)[..., None] // quantizer.basis % levels  # [b, n, 4]
        values = (digits - quantizer.middle) / quantizer.middle
        logits = codec.phone_head(codec.trunk(values.transpose(1, 2)))  # [b, phones, 4n]
        labels = logits.argmax(1).unflatten(1, (-1, CODE_FRAMES))[:, edge:-edge, [1, 3]]
        found.append(labels.flatten(0, 1).to(torch.uint8).cpu())
    return torch.cat(found)[: len(codes)].numpy()

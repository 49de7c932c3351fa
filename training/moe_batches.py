"""Packed batches of moe-nano's examples, made by worker processes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.moe_chat import TOKENIZER_FILE, Encoder, Example, control_ids, drawn

IGNORED = -100
LONGEST = 512


def pack(examples: list[Example], tokens: int) -> torch.Tensor:
    """int32 [4, tokens]: ids, targets, positions, and in the last row the examples' borders, then `tokens`.

    The rest is one more example of padding that nothing is learned from.
    """
    pad = control_ids()["<|endoftext|>"]
    whole = np.full((4, tokens), pad, np.int32)
    whole[1], whole[3] = IGNORED, tokens
    at, borders = 0, [0]
    for example in examples:
        n = len(example.ids)
        whole[0, at : at + n] = example.ids
        whole[1, at : at + n - 1] = np.where(example.learned[1:], example.ids[1:], IGNORED)
        whole[2, at : at + n] = np.arange(n)
        at += n
        borders.append(at)
    whole[2, at:] = np.arange(tokens - at) % LONGEST
    while at < tokens:  # no example, not even of padding, is longer than LONGEST
        at = min(at + LONGEST, tokens)
        borders.append(at)
    whole[3, : len(borders)] = borders
    return torch.from_numpy(whole)


class Batches(torch.utils.data.IterableDataset[torch.Tensor]):
    """Endless batches; the same seed, worker number and number of workers give the same ones."""

    def __init__(self, tokens: int, seed: int, tokenizer: Path = TOKENIZER_FILE) -> None:
        self.tokens, self.seed, self.tokenizer = tokens, seed, tokenizer

    def __iter__(self) -> Iterator[torch.Tensor]:
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        rng = random.Random(f"moe-{self.seed}-{info.id if info else 0}")
        encoder = Encoder(self.tokenizer)
        waiting: list[Example] = []
        while True:
            left, taken = self.tokens, []
            while True:
                example = waiting.pop() if waiting else encoder.example(*drawn(rng, "train"))
                if len(example.ids) > LONGEST:
                    continue
                if len(example.ids) > left:
                    waiting.append(example)
                    break
                taken.append(example)
                left -= len(example.ids)
            yield pack(taken, self.tokens)


def batches_from_workers(tokens: int, seed: int, workers: int, pin: bool, tokenizer: Path = TOKENIZER_FILE) -> Any:
    """An iterable of batches. Processes are forked: call it before the device is touched."""
    return torch.utils.data.DataLoader(
        Batches(tokens, seed, tokenizer),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        pin_memory=pin,
        multiprocessing_context="fork" if workers else None,
    )

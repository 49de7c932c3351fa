"""Whether moe-nano's trained wordings cover the held-out ones: a linear reader of words and pairs of words, in minutes on a CPU.

    python -m training.moe_reader --train 30000 --ask 3000

It has to name the shape of the program that a question leads to (numbers and words apart). It sees no order beyond pairs and
cannot calculate, so that sequences and units stay low; what it misses elsewhere is vocabulary that no trained wording has.
The last line is JSON: shares of right shapes, by split and kind. `--show 20` lists what is confused most.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import zlib
from collections import Counter

import torch
import torch.nn.functional as F

from training.moe_problems import MAKERS, Problem, draw

BUCKETS, WIDTH = 200_003, 64
Read = tuple[list[int], str, Problem]


def shape(problem: Problem) -> str:
    """What kind of program answers the problem, whatever its numbers and words."""
    if problem.function is not None:
        return problem.function[0]
    if problem.kind in ("output", "expression", "logic") or problem.code is None:
        return problem.gold if problem.kind == "talk" else problem.kind
    code = re.sub(r"\"[a-z ]+\"|'[A-Za-z0-9 ]+'", "S", problem.code)
    code = re.sub(r"\d+(\.\d+)?", "#", code)
    return f"{problem.kind}: {re.sub(r'(#, )+#', 'L', re.sub(r'(S, )+S', 'LS', code))}"


def features(question: str) -> list[int]:
    """Buckets of the words, of neighbors, and of words with one between them. Every number is the same word."""
    found = re.findall(r"[a-z]+|\d+|[^\w\s]", re.sub(r"```.*", "code", question, flags=re.DOTALL).lower())
    words = ["<", *("#" if word.isdigit() else word for word in found), ">"]
    pairs = [*zip(words, words[1:]), *((a, "_", b) for a, b in zip(words, words[2:]))]
    return [zlib.crc32(repr(one).encode()) % BUCKETS for one in [*words, *pairs]]


def read(split: str, count: int, seed: int) -> list[Read]:
    """Problems of every maker whose questions stand alone, in turn."""
    rng, result = random.Random(f"reader-{split}-{seed}"), []
    for make in itertools.cycle(MAKERS):
        if len(result) == count:
            return result
        try:
            problem = draw(rng, split, make)  # type: ignore[arg-type]
        except LookupError:  # no wording of the split
            continue
        if not getattr(problem, "history", ()):
            result.append((features(problem.question), shape(problem), problem))
    raise AssertionError


class Reader(torch.nn.Module):
    def __init__(self, examples: list[Read], epochs: int = 3) -> None:
        super().__init__()
        self.shapes = sorted({name for _, name, _ in examples})
        self.embed = torch.nn.EmbeddingBag(BUCKETS, WIDTH)
        self.decide = torch.nn.Linear(WIDTH, len(self.shapes))
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        known = {name: i for i, name in enumerate(self.shapes)}
        for epoch in range(epochs):
            order = random.Random(epoch).sample(examples, len(examples))
            for at in range(0, len(order), 256):
                batch = order[at : at + 256]
                wanted = torch.tensor([known[name] for _, name, _ in batch])
                loss = F.cross_entropy(self([ids for ids, _, _ in batch]), wanted)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def forward(self, rows: list[list[int]]) -> torch.Tensor:
        """Scores, [rows, shapes]."""
        starts = [0, *itertools.accumulate(map(len, rows))][:-1]
        return self.decide(self.embed(torch.tensor([i for row in rows for i in row]), torch.tensor(starts)))

    @torch.no_grad()
    def named(self, examples: list[Read]) -> list[str]:
        return [self.shapes[i] for i in self([ids for ids, _, _ in examples]).argmax(1).tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=30_000, help="questions that it learns from")
    parser.add_argument("--ask", type=int, default=3000, help="questions of each split")
    parser.add_argument("--splits", nargs="+", default=["unseen", "paraphrase", "first"])
    parser.add_argument("--show", type=int, default=0, help="so many of the most frequent confusions of each split")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    reader, figures = Reader(read("train", options.train, 0)), {}
    for split in options.splits:
        asked = read(split, options.ask, 1)
        right, count, confused = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
        for (_, name, problem), said in zip(asked, reader.named(asked), strict=True):
            count.update(["all", problem.kind])
            right.update(["all", problem.kind] if said == name else [])
            confused.update([] if said == name else [(name, said)])
        for (name, said), times in confused.most_common(options.show):
            print(f"{split}: {times} times {said!r} for {name!r}")
        figures[split] = {kind: round(right[kind] / count[kind], 3) for kind in sorted(count)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

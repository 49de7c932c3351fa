"""Greedy answers of moe-nano to held-out problems, many at once, its programs run with real Python."""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import torch

from training.moe_chat import Encoder, Shape, prompt_text, response_text
from training.moe_grammar import NoWording, Split
from training.moe_problems import MAKERS, Problem, draw, is_right
from training.moe_python import run

ROUNDS = 3
_CALL = re.compile(r"<tool_call>\n?(.*?)\n?</tool_call>", re.DOTALL)


@dataclass(frozen=True)
class Answered:
    """written: the whole reply, with the tool's outputs; answer: what is said in the end."""

    problem: Problem
    written: str
    answer: str

    @property
    def right(self) -> bool:
        return is_right(self.problem, self.answer)


def examined(split: Split, count: int, seed: int) -> list[Problem]:
    """So many held-out problems, every maker that has wordings of the split as often."""
    problems: list[Problem] = []
    rng = random.Random(f"examination-{seed}-{split}")
    makers = cycle(MAKERS)
    while len(problems) < count:
        with contextlib.suppress(NoWording):
            problems.append(draw(rng, split, next(makers)))
    return problems


def program(text: str) -> str | None:
    """The code that a reply wants run."""
    found = _CALL.search(text)
    if found is None:
        return None
    try:
        code = json.loads(found.group(1))["arguments"]["code"]
        return code if isinstance(code, str) else None
    except (ValueError, KeyError, TypeError):
        return None


def answers(
    model: Any, problems: Sequence[Problem], encoder: Encoder, end: int, pad: int, tool: bool = True, batch: int = 256
) -> Iterator[Answered]:
    """end, pad: ids of `<|im_end|>` and of padding. model: Qwen3MoeForCausalLM, in evaluation mode."""
    for at in range(0, len(problems), batch):
        group = problems[at : at + batch]
        texts = [prompt_text(problem, Shape(tool=tool)) for problem in group]
        written, answer = [""] * len(group), [""] * len(group)
        open_ones = list(range(len(group)))
        for _ in range(ROUNDS):
            replies = generate(model, [encoder.encode(texts[i]) for i in open_ones], end, pad)
            again = []
            for i, ids in zip(open_ones, replies, strict=True):
                reply = encoder.decode(ids)
                written[i] += reply
                code = program(reply)
                if code is None or not tool:
                    answer[i] = reply.rsplit("</think>", 1)[-1].strip()
                else:
                    texts[i] += reply + "<|im_end|>" + (response := response_text(run(code)))
                    written[i] += response
                    again.append(i)
            open_ones = again
            if not open_ones:
                break
        yield from (Answered(*one) for one in zip(group, written, answer, strict=True))


@torch.no_grad()
def generate(model: Any, prompts: Sequence[list[int]], end: int, pad: int, most: int = 220) -> list[list[int]]:
    """Greedy continuations, without the end token."""
    device = model.device
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)  # [B, width]
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        out = model.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=most, eos_token_id=end, pad_token_id=pad
        )
    rows = out[:, width:].tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]


def shares(answered: Sequence[Answered]) -> dict[str, float]:
    """The share of right answers by kind, and of all."""
    by_kind: dict[str, list[bool]] = {}
    for one in answered:
        by_kind.setdefault(one.problem.kind, []).append(one.right)
    result = {kind: round(sum(right) / len(right), 3) for kind, right in sorted(by_kind.items())}
    return {"all": round(sum(one.right for one in answered) / max(len(answered), 1), 4)} | result

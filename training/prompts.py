"""Conversations for the Talker to stand in: the prompts before the replies it learns to speak."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal.checkpoint import Checkpoint
from multimodal.prompt import Span, Turn


@dataclass(frozen=True, eq=False)
class Prompt:
    """A conversation up to the assistant's turn, ready for both models.

    embeds: what the Thinker's decoder reads, [P, D]; media: bool [P], true where an encoder's output stands;
    positions: int64 [3, P]; next: position of the first token that follows.
    """

    embeds: Tensor
    media: Tensor
    positions: Tensor
    next: int


def positions_after(prompt: Prompt, count: int) -> Tensor:
    """Positions of `count` text tokens after the prompt, int64 [3, count]."""
    return torch.arange(prompt.next, prompt.next + count, device=prompt.positions.device).expand(3, -1)


@torch.no_grad()
def prompt_of(model: Checkpoint, turns: Sequence[Turn]) -> Prompt:
    """The conversation `turns`, a system turn put first where there is none, and the opening of the reply."""
    thinker = model.thinker
    spans: list[Span] = []
    if turns[0].role != "system":
        turns = [Turn("system", (model.system_prompt,)), *turns]
    for turn in turns:
        spans += model.prompt.turn(
            turn.role, [part if isinstance(part, str) else thinker.span(part) for part in turn.content]
        )
    spans += model.prompt.open_turn("assistant", [])
    rows, _ = zip(*(thinker.embed(span) for span in spans))
    ids = torch.tensor([token for span in spans for token in thinker.tmrope.ids(span)], device=model.device)
    media = torch.isin(ids, torch.tensor(thinker.tmrope.control.media, device=model.device))
    positions, cursor = thinker.tmrope.place_all(spans)
    return Prompt(torch.cat(rows).clone(), media, torch.from_numpy(positions).to(model.device), cursor.next_decoded)


def text_turns(texts: Sequence[str], rng: random.Random) -> list[Turn]:
    """A short conversation of such texts: one user turn, in one of three after an earlier exchange."""
    turns = [Turn("user", (rng.choice(texts),))]
    if rng.random() < 1 / 3:
        turns = [Turn("user", (rng.choice(texts),)), Turn("assistant", (rng.choice(texts),)), *turns]
    return turns

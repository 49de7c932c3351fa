"""Choosing the next token from logits, in the order transformers applies its logits processors:
repetition penalty, suppressed and disallowed tokens, temperature, top-k, top-p."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; `do_sample` False takes the most likely one (the penalties still apply)."""

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature}: wants a number above 0 (greedy is do_sample=False)")
        if not 0 < self.top_p <= 1 or self.top_k < 0 or not self.repetition_penalty > 0:
            raise ValueError(f"sampling out of range: {self}")


class Constraint(Protocol):
    """Decides which tokens may come next; one object a reply."""

    def allowed(self) -> torch.Tensor:
        """bool [≤ vocab] on the CPU; what lies behind its end is not allowed. At least one token always is."""
        ...

    def accept(self, token: int) -> None:
        """`token` was drawn."""
        ...


@dataclass
class Sampler:
    """A stream's sampling state.

    seen: ids that the repetition penalty counts (prompt and output).
    suppress: ids that are never drawn.
    constraint: what the text must keep to, or None.
    log_probabilities: of each token that was drawn, before anything was done to the logits; kept where `measure`.
    """

    sampling: Sampling
    generator: torch.Generator | None = None
    suppress: tuple[int, ...] = ()
    seen: set[int] = field(default_factory=set)
    constraint: Constraint | None = None
    measure: bool = False
    log_probabilities: list[float] = field(default_factory=list)

    def draw(self, logits: torch.Tensor) -> int:
        """logits: [vocab] of the next position. Returns the id and counts it as seen."""
        rule = self.sampling
        scores = logits.float()
        if rule.repetition_penalty != 1.0 and self.seen:
            ids = torch.tensor(sorted(self.seen), device=scores.device)
            picked = scores[ids]
            penalized = torch.where(picked < 0, picked * rule.repetition_penalty, picked / rule.repetition_penalty)
            scores = scores.index_copy(0, ids, penalized)
        if self.suppress:
            scores = scores.clone()
            scores[list(self.suppress)] = -torch.inf
        if self.constraint is not None:
            scores = _masked(scores, self.constraint.allowed())
        token = self._sample(scores) if rule.do_sample else int(scores.argmax())
        self.seen.add(token)
        if self.measure:
            self.log_probabilities.append(float(logits.float().log_softmax(-1)[token]))
        if self.constraint is not None:
            self.constraint.accept(token)
        return token

    def _sample(self, scores: torch.Tensor) -> int:
        rule = self.sampling
        scores = scores / rule.temperature
        if 0 < rule.top_k < scores.shape[0]:
            floor = scores.topk(rule.top_k).values[-1]
            scores = scores.masked_fill(scores < floor, -torch.inf)
        if rule.top_p < 1.0:
            ordered, order = scores.sort(descending=False)
            drop = ordered.softmax(-1).cumsum(-1) <= 1 - rule.top_p
            drop[-1] = False  # the most likely token always stays
            scores = scores.masked_fill(torch.zeros_like(drop).scatter(0, order, drop), -torch.inf)
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self.generator))


def _masked(scores: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """scores [vocab], −inf where `allowed` [n] says no or has no word."""
    size = min(len(scores), len(allowed))
    mask = torch.zeros(len(scores), dtype=torch.bool)
    mask[:size] = allowed[:size]
    return scores.masked_fill(~mask.to(scores.device), -torch.inf)

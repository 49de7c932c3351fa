"""Choosing a token: the same scores, in the same order, as transformers' logits processors."""

from __future__ import annotations

import itertools

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from multimodal.sampler import Sampler, Sampling

VOCAB = 60
SEEN, SUPPRESS = {3, 4, 17, 59}, (5, 17, 41)


def reference_scores(rule: Sampling, logits: torch.Tensor, seen: set[int], suppress: tuple[int, ...]) -> torch.Tensor:
    """Scores [vocab] after the processors that `generate` would build, in its order."""
    steps = LogitsProcessorList()
    if rule.repetition_penalty != 1.0 and seen:
        steps.append(RepetitionPenaltyLogitsProcessor(rule.repetition_penalty))
    if suppress:
        steps.append(SuppressTokensLogitsProcessor(list(suppress)))
    if rule.do_sample:
        if rule.temperature != 1.0:
            steps.append(TemperatureLogitsWarper(rule.temperature))
        if rule.top_k:
            steps.append(TopKLogitsWarper(rule.top_k))
        if rule.top_p < 1.0:
            steps.append(TopPLogitsWarper(rule.top_p))
    return steps(torch.LongTensor([sorted(seen)]), torch.FloatTensor(logits[None].clone()))[0]


RULES = [
    Sampling(do_sample=do, temperature=t, top_k=k, top_p=p, repetition_penalty=r)
    for do, t, k, p, r in itertools.product([False, True], [1.0, 0.7], [0, 1, 7, 90], [1.0, 0.8, 0.05], [1.0, 1.3, 0.8])
]


@pytest.mark.parametrize("suppress", [(), SUPPRESS])
def test_draws_equal_those_from_transformers_scores(suppress: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    for number, rule in enumerate(RULES):
        logits = 4 * torch.randn(VOCAB, generator=generator)
        expected = reference_scores(rule, logits, SEEN, suppress)
        before = logits.clone()
        sampler = Sampler(rule, torch.Generator().manual_seed(number), suppress, set(SEEN))
        drawn = sampler.draw(logits)
        if rule.do_sample:
            same = torch.Generator().manual_seed(number)
            assert drawn == int(torch.multinomial(expected.softmax(-1), 1, generator=same)), rule
        else:
            assert drawn == int(expected.argmax()), rule
        assert torch.equal(logits, before), "the model's logits are left alone"
        assert sampler.seen == SEEN | {drawn}


def test_the_whole_distribution_equals_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the draw: every probability that multinomial is given."""
    given: list[torch.Tensor] = []

    def record(probabilities: torch.Tensor, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        given.append(probabilities)
        return torch.zeros(1, dtype=torch.long)

    monkeypatch.setattr(torch, "multinomial", record)
    generator = torch.Generator().manual_seed(2)
    for rule in [rule for rule in RULES if rule.do_sample]:
        logits = 4 * torch.randn(VOCAB, generator=generator)
        Sampler(rule, None, SUPPRESS, set(SEEN)).draw(logits)
        expected = reference_scores(rule, logits, SEEN, SUPPRESS).softmax(-1)
        torch.testing.assert_close(given.pop(), expected, atol=1e-7, rtol=0)


def test_ties_at_the_border_of_top_k_are_kept_as_transformers_keeps_them() -> None:
    logits = torch.tensor([2.0, 1.0, 1.0, 1.0, 0.0])
    rule = Sampling(do_sample=True, top_k=2)
    drawn = {Sampler(rule, torch.Generator().manual_seed(seed)).draw(logits) for seed in range(200)}
    assert drawn == {0, 1, 2, 3}


def test_a_suppressed_token_is_never_drawn_even_if_it_is_the_likeliest() -> None:
    logits = torch.tensor([9.0, 0.0, 8.0, 1.0])
    for do_sample in (False, True):
        for seed in range(20):
            sampler = Sampler(Sampling(do_sample=do_sample), torch.Generator().manual_seed(seed), suppress=(0, 2))
            assert sampler.draw(logits) in (1, 3)


def test_the_penalty_counts_what_was_drawn_before() -> None:
    logits = torch.tensor([1.0, 0.9, -5.0])
    sampler = Sampler(Sampling(repetition_penalty=1.5))
    assert [sampler.draw(logits) for _ in range(4)] == [0, 1, 0, 0]


def test_half_precision_logits_are_scored_in_float32() -> None:
    logits = 4 * torch.randn(VOCAB, generator=torch.Generator().manual_seed(3))
    rule = Sampling(do_sample=True, temperature=0.7, top_p=0.8, repetition_penalty=1.2)
    half = logits.bfloat16()
    draws = [Sampler(rule, torch.Generator().manual_seed(4), (), set(SEEN)).draw(x) for x in (half, half.float())]
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"repetition_penalty": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Sampling(**wrong)  # pyright: ignore[reportArgumentType]

"""The decoder's layers: the hidden states of transformers' own models, read at once, in pieces, or for the last row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from multimodal import decoder
from multimodal.checkpoint import load
from multimodal.decoder import Decoder
from multimodal.errors import CheckpointError

ROWS = 70


@pytest.fixture(params=["thinker", "talker"])
def model(request: pytest.FixtureRequest, tiny_checkpoint: Path) -> Any:
    checkpoint = load(tiny_checkpoint)
    assert checkpoint.talker is not None
    return (
        checkpoint.thinker.model.model.language_model if request.param == "thinker" else checkpoint.talker.model.model
    )


def inputs(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [n, D], and positions [3, n] that differ by axis."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(ROWS, model.config.hidden_size, generator=generator)
    steps = torch.randint(0, 4, (3, ROWS), generator=generator)
    return rows, steps.cumsum(1)


@torch.inference_mode()
def theirs(model: Any, rows: torch.Tensor, positions: torch.Tensor, ends: list[int]) -> torch.Tensor:
    cache, states, at = DynamicCache(), [], 0
    for end in ends:
        part = {"inputs_embeds": rows[None, at:end], "position_ids": positions[:, None, at:end]}
        states.append(model(**part, past_key_values=cache).last_hidden_state[0])
        at = end
    return torch.cat(states)


@pytest.mark.parametrize("block", [16, 33, 512])
@pytest.mark.parametrize("ends", [[ROWS], [40, ROWS], [20, 21, 22, 62, ROWS]])
@pytest.mark.parametrize("window", [None, 25])
def test_it_computes_what_transformers_computes(
    model: Any, block: int, ends: list[int], window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "BLOCK_ROWS", block)
    if window is not None:
        monkeypatch.setattr(model.config, "sliding_window", window)
        kinds = ["sliding_attention" if n % 2 else "full_attention" for n in range(len(model.layers))]
        monkeypatch.setattr(model.config, "layer_types", kinds)
        monkeypatch.setattr(model, "has_sliding_layers", True)
    rows, positions = inputs(model)
    expected = theirs(model, rows, positions, ends)
    ours = Decoder(model)
    cache, states, at = ours.new_cache(), [], 0
    for end in ends:
        states.append(ours.forward(rows[at:end], positions[:, at:end], cache))
        at = end
    torch.testing.assert_close(torch.cat(states), expected, atol=2e-5, rtol=1e-4)
    assert cache.length == ROWS


@pytest.mark.parametrize("block", [16, 512])
def test_the_last_row_alone_is_the_last_of_all_and_leaves_the_same_cache(
    model: Any, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "BLOCK_ROWS", block)
    rows, positions = inputs(model)
    ours = Decoder(model)
    whole, short = ours.new_cache(), ours.new_cache()
    states = ours.forward(rows, positions, whole)
    last = ours.forward(rows, positions, short, last_only=True)
    assert last.shape == (1, model.config.hidden_size)
    torch.testing.assert_close(last[0], states[-1], atol=1e-5, rtol=1e-5)
    step = torch.full((3, 1), 400)
    after = [ours.forward(rows[:1], step, cache) for cache in (whole, short)]
    torch.testing.assert_close(after[0], after[1], atol=1e-5, rtol=1e-5)


def test_its_input_stays_as_it_was(model: Any) -> None:
    rows, positions = inputs(model)
    before = rows.clone()
    ours = Decoder(model)
    ours.forward(rows, positions, ours.new_cache())
    assert torch.equal(rows, before)


def test_frequencies_that_change_with_the_length_are_refused(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.rotary_emb, "rope_type", "dynamic")
    with pytest.raises(CheckpointError, match="dynamic"):
        Decoder(model)

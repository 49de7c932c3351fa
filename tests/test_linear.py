"""Products through oneDNN and attention by blocks: equal to torch's own, whatever the shape and layout."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from multimodal import attention, linear
from multimodal.attention import attend, attend_segments
from multimodal.linear import OneDnnLinear, use_onednn


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 24), (15, 24), (16, 24), (2, 40, 24), (700, 24), (0, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_gives_what_torch_s_gives(shape: tuple[int, ...], bias: bool) -> None:
    layer = torch.nn.Linear(24, 36, bias=bias)
    model = torch.nn.Sequential(layer)
    rows = drawn(*shape)
    expected = F.linear(rows, layer.weight, layer.bias)
    use_onednn(model)
    assert type(model[0]) is OneDnnLinear
    with torch.inference_mode():
        torch.testing.assert_close(model(rows), expected, atol=1e-5, rtol=1e-5)
        wide = drawn(*shape[:-1], 48)[..., ::2]  # rows that do not lie densely
        torch.testing.assert_close(model(wide), F.linear(wide, layer.weight, layer.bias), atol=1e-5, rtol=1e-5)


def test_weights_lie_along_their_longer_side_and_tied_ones_stay() -> None:
    wide, narrow, table = torch.nn.Linear(24, 36), torch.nn.Linear(36, 24), torch.nn.Embedding(36, 24)
    tied = torch.nn.Linear(24, 36, bias=False)
    tied.weight = table.weight
    before = [layer.weight.clone() for layer in (wide, narrow, tied)]
    use_onednn(torch.nn.ModuleList([wide, narrow, table, tied]))
    assert [layer.weight.stride() for layer in (wide, narrow, tied)] == [(1, 36), (36, 1), (24, 1)]
    assert all(torch.equal(layer.weight, old) for layer, old in zip((wide, narrow, tied), before))
    assert tied.weight is table.weight


def test_a_layer_that_learns_keeps_its_gradient() -> None:
    layer = torch.nn.Linear(24, 36)
    model = torch.nn.Sequential(layer)
    use_onednn(model)
    model(drawn(64, 24)).sum().backward()
    assert layer.weight.grad is not None and float(layer.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("rows", [1, 20, linear.BLOCK_ROWS, 2 * linear.BLOCK_ROWS + 3])
def test_a_gated_layer_by_blocks_gives_what_transformers_gives(rows: int) -> None:
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniMLP

    class Config:
        hidden_size, intermediate_size, hidden_act = 24, 56, "silu"

    layer: Any = Qwen2_5OmniMLP(Config(), bias=True)
    hidden = drawn(1, rows, 24)
    with torch.inference_mode():
        expected = layer(hidden)
        use_onednn(layer)
        torch.testing.assert_close(layer(hidden), expected, atol=1e-5, rtol=1e-5)


def test_another_thread_multiplies_with_torch_s_number_of_threads() -> None:
    told: list[int] = []

    def work() -> None:
        with torch.inference_mode():
            linear.linear(drawn(64, 24), drawn(36, 24))
        told.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [torch.get_num_threads()]


@pytest.mark.parametrize("heads,groups", [(4, 1), (6, 3), (2, 2)])
@pytest.mark.parametrize("rows", [1, 17, 130, 333])
@pytest.mark.parametrize("causal", [True, False])
def test_attention_by_blocks_equals_torch_s(
    heads: int, groups: int, rows: int, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "BLOCK_SCORES", 50 * rows)
    monkeypatch.setattr(attention, "BLOCK_ROWS", 16)
    query = drawn(2, rows, heads, 16, seed=1).transpose(1, 2)
    key, value = (drawn(2, rows, heads // groups, 16, seed=n).transpose(1, 2) for n in (2, 3))
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=causal, enable_gqa=groups > 1)
    with torch.inference_mode():
        torch.testing.assert_close(attend(query, key, value, None, causal), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("window", [None, 7, 30, 500])
def test_rows_after_a_cache_see_it_and_each_other_as_far_as_the_window_reaches(
    rows: int, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "BLOCK_SCORES", 1)
    monkeypatch.setattr(attention, "BLOCK_ROWS", 16)
    query, key, value = drawn(1, 6, rows, 16), drawn(1, 2, 90, 16, seed=2), drawn(1, 2, 90, 16, seed=3)
    behind = torch.arange(90 - rows, 90)[:, None] - torch.arange(90)
    mask = (behind >= 0) & (behind < (window or 1000))
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    with torch.inference_mode():
        torch.testing.assert_close(attend(query, key, value, None, True, window), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lengths", [[64], [36, 36, 36], [64, 64, 16, 64, 64, 16, 32, 32, 8], [1, 2, 3]])
def test_segments_attend_each_to_itself(lengths: list[int]) -> None:
    query, key, value = (drawn(sum(lengths), 4, 8, seed=n) for n in range(3))
    expected = []
    for parts in zip(*(part.split(lengths) for part in (query, key, value))):
        asked, found, given = (part.transpose(0, 1)[None] for part in parts)
        expected.append(F.scaled_dot_product_attention(asked, found, given, scale=0.3)[0].transpose(0, 1))
    with torch.inference_mode():
        out = attend_segments(query, key, value, lengths, 0.3)
    torch.testing.assert_close(out, torch.cat(expected), atol=1e-5, rtol=1e-5)

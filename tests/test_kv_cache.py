"""The cache that grows in place: equal to transformers' DynamicCache, croppable, forkable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from multimodal.checkpoint import load
from multimodal.kv_cache import GrowingLayer, KvCache

LAYERS, HEADS, WIDTH = 3, 2, 8


def rows(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (1, HEADS, count, WIDTH)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def fill(cache: Any, counts: list[int], seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Append `counts` rows one after another to every layer; what the last call gave back, layer by layer."""
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    for index, count in enumerate(counts):
        given = [cache.update(*rows(count, seed + 100 * index + layer), layer) for layer in range(LAYERS)]
    return given


def same(left: list[tuple[torch.Tensor, torch.Tensor]], right: list[tuple[torch.Tensor, torch.Tensor]]) -> bool:
    return all(torch.equal(a, b) for pair, other in zip(left, right) for a, b in zip(pair, other))


@pytest.mark.parametrize("counts", [[1], [5, 1, 1], [255, 1, 1], [256, 1], [700, 3], [100] * 9, [0, 4]])
def test_it_gives_back_what_dynamic_cache_gives(counts: list[int]) -> None:
    ours, theirs = KvCache(LAYERS), DynamicCache()
    assert same(fill(ours, counts), fill(theirs, counts))
    assert ours.length == theirs.get_seq_length() == sum(counts)
    assert ours.get_mask_sizes(7, 0) == theirs.get_mask_sizes(7, 0)


def test_rows_are_written_in_place_until_the_buffer_is_full() -> None:
    layer = GrowingLayer(capacity=8)
    layer.update(*rows(6, 0))
    assert layer.keys is not None
    buffer = layer.keys.data_ptr()
    layer.update(*rows(2, 1))
    assert layer.keys.data_ptr() == buffer and layer.capacity == 8
    layer.update(*rows(1, 2))
    assert layer.keys.data_ptr() != buffer and layer.capacity == 16 and layer.length == 9


def test_room_that_was_reserved_keeps_the_rows_where_they_are() -> None:
    cache = KvCache(LAYERS)
    cache.reserve(5000)
    fill(cache, [3])
    layer = cache.layers[0]
    assert isinstance(layer, GrowingLayer) and layer.keys is not None
    buffer = layer.keys.data_ptr()
    fill(cache, [4000, 900])
    assert layer.keys.data_ptr() == buffer
    fresh = KvCache(LAYERS)
    fill(fresh, [3])
    fresh.reserve(5000)
    fill(fresh, [4000, 900])
    assert same(fill(cache, [1], seed=9), fill(fresh, [1], seed=9))


def test_crop_and_continue_equals_never_having_read_the_rest() -> None:
    cropped, fresh = KvCache(LAYERS), KvCache(LAYERS)
    fill(cropped, [300])
    fill(cropped, [50], seed=1)
    cropped.crop_to(300)
    assert cropped.length == 300
    fill(fresh, [300])
    assert same(fill(cropped, [7], seed=2), fill(fresh, [7], seed=2))


def test_cropping_to_more_than_it_holds_is_our_own_mistake() -> None:
    cache = KvCache(LAYERS)
    fill(cache, [4])
    with pytest.raises(AssertionError):
        cache.crop_to(5)


@pytest.mark.parametrize("held", [0, 4, 300])
def test_a_fork_and_its_origin_do_not_see_each_other(held: int) -> None:
    origin, fresh = KvCache(LAYERS), KvCache(LAYERS)
    if held:
        fill(origin, [held])
        fill(fresh, [held])
    twin = origin.fork()
    assert twin.length == held
    fill(twin, [5], seed=3)
    assert origin.length == held
    twin.crop_to(0)
    fill(twin, [held + 9], seed=4)
    assert same(fill(origin, [2], seed=5), fill(fresh, [2], seed=5))


def test_the_thinker_computes_the_same_hidden_states_as_with_dynamic_cache(tiny_checkpoint: Path) -> None:
    thinker = load(tiny_checkpoint, speech=False).thinker
    text = thinker.model.model.language_model
    states: list[torch.Tensor] = []
    with torch.inference_mode():
        embedded = thinker.embed_tokens(list(range(40)))[None]
        for cache in (KvCache(len(text.layers)), DynamicCache()):
            parts = []
            for start, end in [(0, 20), (20, 21), (21, 33), (33, 40)]:
                positions = torch.arange(start, end).expand(3, 1, -1)
                out = text(inputs_embeds=embedded[:, start:end], position_ids=positions, past_key_values=cache)
                parts.append(out.last_hidden_state)
            states.append(torch.cat(parts, dim=1))
    torch.testing.assert_close(states[0], states[1], atol=1e-6, rtol=0)

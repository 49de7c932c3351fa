"""The layers of a decoder (the Thinker's text model, the Talker's model) over a cache that grows.

A layer goes over its rows a block at a time, from its first norm to its last sum: causal rows need no later ones, and
on a processor what lies between two products stays in a core's cache. The numbers are those of transformers'
`Qwen2_5OmniThinkerTextModel` and `Qwen2_5OmniTalkerModel`, whose weights are used as they lie, but for rounding.
"""

from __future__ import annotations

from typing import Any

import torch

from multimodal.attention import attend, rotate
from multimodal.errors import CheckpointError
from multimodal.kv_cache import GrowingLayer, KvCache

BLOCK_ROWS = 512


class Decoder:
    """model: one of the two transformers models. Raises CheckpointError for position frequencies that depend on the
    length, which no model of the family has."""

    def __init__(self, model: Any) -> None:
        self.model = model
        rotary, config = model.rotary_emb, model.config
        if "dynamic" in rotary.rope_type or rotary.rope_type == "longrope":
            raise CheckpointError(f"positions of the kind {rotary.rope_type!r} are not supported: choose another model")
        axes = [axis % 3 for axis, count in enumerate(rotary.mrope_section) for _ in range(count)]
        self._axes = torch.tensor(axes)  # [d / 2]: which of time, height and width a frequency counts
        self._scaling = float(rotary.attention_scaling)
        self._windows = [config.sliding_window if "sliding" in kind else None for kind in config.layer_types]

    def new_cache(self) -> KvCache:
        return KvCache(len(self.model.layers))

    @torch.inference_mode()
    def forward(
        self, rows: torch.Tensor, positions: torch.Tensor, cache: KvCache, last_only: bool = False
    ) -> torch.Tensor:
        """Append rows [n, D] at positions int64 [3, n] to the cache. Returns the last hidden states [n, D], or with
        `last_only` that of the last row [1, D], which the last layer then computes alone."""
        count = len(rows)
        cos, sin = self._angles(positions.to(rows.device), rows.dtype)
        cache.reserve(cache.length + count)
        states = rows.clone()
        final = len(self.model.layers) - 1
        for number, (layer, window) in enumerate(zip(self.model.layers, self._windows)):
            held = cache.layers[number]
            assert isinstance(held, GrowingLayer)
            first = count - 1 if last_only and number == final else 0
            self._through(layer, states, cos, sin, held, window, first)
        return self.model.norm(states[-1:] if last_only else states)

    def _angles(self, positions: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine [n, 1, d / 2] of every frequency at its axis' position."""
        frequencies = self.model.rotary_emb.inv_freq.float()
        angles = positions[self._axes.to(positions.device)].t().float() * frequencies  # [n, d / 2]
        return ((angles.cos() * self._scaling).to(dtype)[:, None], (angles.sin() * self._scaling).to(dtype)[:, None])

    @staticmethod
    def _through(
        layer: Any,
        states: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        held: GrowingLayer,
        window: int | None,
        first: int,
    ) -> None:
        """One layer, in place, for the rows of states [n, D] from `first` on; those before only leave keys and
        values."""
        attention = layer.self_attn
        size = BLOCK_ROWS if states.device.type == "cpu" else len(states)
        for at in range(0, len(states), size):
            end, own = min(at + size, len(states)), max(at, first)
            normed = layer.input_layernorm(states[at:end])
            key = attention.k_proj(normed).unflatten(-1, (-1, attention.head_dim))  # [b, K, d]
            value = attention.v_proj(normed).unflatten(-1, (-1, attention.head_dim))
            rotate(key, cos[at:end], sin[at:end])
            keys, values = held.update(key.transpose(0, 1)[None], value.transpose(0, 1)[None])  # [1, K, L, d]
            if own >= end:
                continue
            query = attention.q_proj(normed[own - at :]).unflatten(-1, (-1, attention.head_dim))  # [b, H, d]
            rotate(query, cos[own:end], sin[own:end])
            seen = attend(query.transpose(0, 1)[None], keys, values, attention.scaling, True, window)  # [1, H, b, d]
            block = states[own:end]
            block += attention.o_proj(seen[0].transpose(0, 1).flatten(1))
            block += layer.mlp(layer.post_attention_layernorm(block))

"""Scaled dot-product attention over grouped key/value heads without copying them, and over many short pieces at once.

transformers repeats keys and values for every query head wherever there is a mask: on a long conversation each
prefill and decode step then copies the whole cache several times. Here the query heads of a group become rows of
one problem instead, which is the same arithmetic on the cache as it lies.

Its vision encoder calls attention once for every window and temporal patch; here those of one length are one call.
"""

from __future__ import annotations

from itertools import pairwise
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F

from multimodal.linear import linear, multiplies_fast

NAME = "grouped_sdpa"
BLOCK_SCORES = 1 << 18  # float32 scores held at once, within a core's cache,
BLOCK_ROWS = 64  # but no fewer rows than this: each block reads the keys anew


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface. query [B, H, n, D]; key, value [B, K, L, D], H a multiple of K;
    attention_mask [B or 1, 1, n, L] or None. Returns [B, n, H, D]."""
    batch, heads, rows, width = query.shape
    groups = heads // key.shape[1]
    if rows > 1 and attention_mask is None:
        causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
        assert not causal or rows == key.shape[2], "rows after a cache need a mask"
        assert not dropout, "for inference only"
        return attend(query, key, value, scaling, causal).transpose(1, 2).contiguous(), None
    folded = query.reshape(batch, key.shape[1], groups * rows, width)  # [B, K, g·n, D]
    mask = attention_mask.repeat(1, 1, groups, 1) if attention_mask is not None and groups > 1 else attention_mask
    out = F.scaled_dot_product_attention(folded, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    out = out.view(batch, key.shape[1], groups, rows, width).permute(0, 3, 1, 2, 4)  # [B, n, K, g, D]
    return out.reshape(batch, rows, heads, width), None


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, causal: bool
) -> torch.Tensor:
    """query [B, H, n, D]; key, value [B, K, L, D], H a multiple of K; causal: n = L. Returns [B, H, n, D].

    On a processor in float32 a block of rows at a time through oneDNN, see `multimodal.linear`.
    """
    groups = query.shape[1] // key.shape[1]
    if not multiplies_fast(query):
        return F.scaled_dot_product_attention(query, key, value, scale=scaling, is_causal=causal, enable_gqa=groups > 1)
    batch, heads, rows, width = query.shape
    length = key.shape[2]
    query = (query * (width**-0.5 if scaling is None else scaling)).contiguous()
    key, value = key.contiguous(), value.contiguous()  # oneDNN is slow where rows do not lie behind one another
    out = torch.empty_like(query, memory_format=torch.contiguous_format)
    blocks = -(-rows // max(BLOCK_ROWS, BLOCK_SCORES // (groups * length)))
    block = -(-rows // blocks)
    later = torch.ones(block, block, dtype=torch.bool).triu(1)  # [row, key]: keys that come after the row
    for b in range(batch):
        for k in range(heads // groups):
            own = slice(k * groups, (k + 1) * groups)
            values = value[b, k].t()  # [D, L]
            for first in range(0, rows, block):
                end = min(rows, first + block)
                seen = end if causal else length
                asking = query[b, own, first:end].reshape(-1, width)  # [g·block, D]
                scores = linear(asking, key[b, k, :seen])
                if causal:
                    size = end - first
                    scores.view(groups, size, seen)[:, :, first:].masked_fill_(later[:size, :size], -torch.inf)
                torch.softmax(scores, -1, out=scores)
                out[b, own, first:end] = linear(scores, values[:, :seen]).view(groups, -1, width)
    return out


def attend_segments(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int], scaling: float
) -> torch.Tensor:
    """Attention inside each of consecutive segments of `lengths`, which add up to n. All [n, H, D]."""
    if len(set(lengths)) == 1:
        shape = (-1, lengths[0], *query.shape[1:])
        asking, keys, values = (part.reshape(shape).transpose(1, 2) for part in (query, key, value))  # [s, H, l, D]
        return attend(asking, keys, values, scaling, False).transpose(1, 2).flatten(0, 1)
    starts = torch.tensor([0, *lengths], device=query.device).cumsum(0)[:-1]
    sizes = torch.tensor(lengths, device=query.device)
    out = torch.empty_like(query)
    for length in sorted(set(lengths)):
        places = (starts[sizes == length][:, None] + torch.arange(length, device=query.device)).flatten()  # [s·l]
        same = [length] * (len(places) // length)
        out[places] = attend_segments(query[places], key[places], value[places], same, scaling)
    return out


def use_segment_attention(tower: Any) -> None:
    """Let transformers' vision encoder attend through `attend_segments`."""
    for block in tower.blocks:
        block.attn.forward = MethodType(_vision_attention, block.attn)


def _vision_attention(
    self: Any,
    hidden_states: torch.Tensor,
    cu_seqlens: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    **_: Any,
) -> torch.Tensor:
    """Qwen2_5OmniVisionAttention.forward. hidden_states [n, D]; cu_seqlens: where segments begin and end."""
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import apply_rotary_pos_emb_vision

    query, key, value = (
        layer(hidden_states).unflatten(-1, (self.num_heads, -1)) for layer in (self.q, self.k, self.v)
    )  # [n, H, D]
    query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    borders = cu_seqlens.tolist()
    lengths = [end - start for start, end in pairwise(borders)]
    out = attend_segments(query, key, value, lengths, self.scaling)
    return self.proj(out.flatten(1))


def use_grouped_attention(decoder: Any) -> None:
    """Let a transformers decoder (Thinker text model, Talker model) attend through `grouped_attention`."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, grouped_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)
    decoder.set_attn_implementation(NAME)

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

from multimodal.linear import FEWEST_ROWS, linear, multiplies_fast

BLOCK_SCORES = 1 << 19  # float32 scores held at once, about a core's cache,
BLOCK_ROWS = 64  # but no fewer rows than this: each block reads the keys anew


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    causal: bool,
    window: int | None = None,
) -> torch.Tensor:
    """query [B, H, n, D]; key, value [B, K, L, D], H a multiple of K; causal: the rows are the last n of the L, and see
    no later ones, of `window` the last so many with themselves. Returns [B, H, n, D].

    On a processor in float32 a block of rows at a time through oneDNN, see `multimodal.linear`.
    """
    batch, heads, rows, width = query.shape
    length, groups = key.shape[2], heads // key.shape[1]
    windowed = causal and window is not None and length > window
    if rows < FEWEST_ROWS or windowed or not multiplies_fast(query):
        return _attend_at_once(query, key, value, scaling, causal, window if windowed else None)
    scale = width**-0.5 if scaling is None else scaling
    out = query.new_empty(batch, rows, heads, width).transpose(1, 2)
    blocks = -(-rows // max(BLOCK_ROWS, BLOCK_SCORES // (groups * length)))
    block = -(-rows // blocks)
    later = torch.ones(block, block, dtype=torch.bool).triu(1) if causal else None  # [row, key] after the row
    for b in range(batch):
        for k in range(heads // groups):
            own = slice(k * groups, (k + 1) * groups)
            keys, values = key[b, k].contiguous(), value[b, k].contiguous()  # oneDNN is slow on scattered rows
            for first in range(0, rows, block):
                end = min(rows, first + block)
                seen = length - rows + end if causal else length
                asking = (query[b, own, first:end] * scale).reshape(-1, width)  # [g·block, D]
                scores = linear(asking, keys[:seen])
                if later is not None:
                    size = end - first
                    scores.view(groups, size, seen)[:, :, -size:].masked_fill_(later[:size, :size], -torch.inf)
                torch.softmax(scores, -1, out=scores)
                out[b, own, first:end] = linear(scores, values.t()[:, :seen]).view(groups, -1, width)
    return out


def _attend_at_once(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, causal: bool, window: int | None
) -> torch.Tensor:
    """`attend` by torch's own kernel. With a mask, or for one row, a group's heads are rows of one problem."""
    batch, heads, rows, width = query.shape
    length, groups = key.shape[2], heads // key.shape[1]
    if window is None and rows > 1 and (rows == length or not causal):
        return F.scaled_dot_product_attention(query, key, value, scale=scaling, is_causal=causal, enable_gqa=groups > 1)
    mask = None
    if causal and (rows > 1 or window is not None):
        mask = torch.ones(rows, length, dtype=torch.bool, device=query.device).tril(length - rows)
        mask = mask if window is None else mask.triu(length - rows - window + 1)
        mask = mask.repeat(groups, 1)  # [g·n, L]
    folded = query.reshape(batch, heads // groups, groups * rows, width)  # [B, K, g·n, D]
    return F.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling).view(query.shape)


def rotate(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Turn heads [n, H, D], in place, by the angles of cos and sin [n, 1, D / 2], each of two halves' pairs by one."""
    first, second = heads.chunk(2, -1)
    turned = first * sin
    first.mul_(cos).addcmul_(second, sin, value=-1)
    second.mul_(cos).add_(turned)


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
    """Qwen2_5OmniVisionAttention.forward. hidden_states [n, D]; cu_seqlens: where segments begin and end; position
    embeddings: cosine and sine float32 [n, d], both halves alike."""
    query, key, value = (
        layer(hidden_states).unflatten(-1, (self.num_heads, -1)) for layer in (self.q, self.k, self.v)
    )  # [n, H, d]
    cos, sin = (part[:, None, : part.shape[-1] // 2] for part in position_embeddings)  # [n, 1, d / 2]
    kind, query, key = query.dtype, query.float(), key.float()
    rotate(query, cos, sin)
    rotate(key, cos, sin)
    borders = cu_seqlens.tolist()
    lengths = [end - start for start, end in pairwise(borders)]
    out = attend_segments(query.to(kind), key.to(kind), value, lengths, self.scaling)
    return self.proj(out.flatten(1))

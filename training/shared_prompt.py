"""Many continuations of one prompt: the prompt goes through a language model once, and every continuation looks back at
its keys and values. Works on the layers of transformers' Thinker and Talker, and equals their forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.packed_thinker import gated, joined, rms_norm, rotate, signed

Memory = list[tuple[Tensor, Tensor]]
"""Keys and values of every layer, each [P, key-value heads, D]."""
Pass = tuple[Tensor, Tensor, Tensor]
LayerPass = Callable[..., Pass]


def layer_pass(
    layer: Any,
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    past: tuple[Tensor, Tensor] | None,
    mask: Tensor | None,
    drop: float,
) -> Pass:
    """One decoder layer. x: [B, T, hidden]; cos, sin (`signed`): [T, D]; past: keys and values before, of all rows; mask:
    what is added to the scores, [T, P + T], or None for causal attention without a past; drop: rate of dropout.
    Returns the new x, and keys and values of x, [B, T, key-value heads, D] each."""
    attention = layer.self_attn
    batch, length, _ = x.shape
    own, shared = attention.num_heads, attention.num_key_value_heads
    y = rms_norm(x, layer.input_layernorm).to(x.dtype)
    heads = joined(y, attention.q_proj, attention.k_proj, attention.v_proj).view(batch, length, own + 2 * shared, -1)
    qk, v = heads.split((own + shared, shared), 2)
    q, k = rotate(qk, cos, sin).split((own, shared), 2)
    keys, values = k, v
    if past is not None:
        keys, values = (torch.cat([p.expand(batch, -1, -1, -1), t], 1) for p, t in zip(past, (k, v), strict=True))
    groups = attention.num_key_value_groups
    q, keys, values = (t.transpose(1, 2) for t in (q, keys, values))  # [B, heads, …, D]
    keys, values = (t.repeat_interleave(groups, 1) for t in (keys, values))
    bias = None if mask is None else mask.to(q.dtype)
    y = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias, is_causal=mask is None, scale=attention.scaling)
    x = x + F.dropout(attention.o_proj(y.transpose(1, 2).flatten(2)), drop, drop > 0)
    y = rms_norm(x, layer.post_attention_layernorm).to(x.dtype)
    return x + F.dropout(gated(y, layer.mlp), drop, drop > 0), k, v


def attention_of(
    layer: Any, x: Tensor, cos: Tensor, sin: Tensor, past: tuple[Tensor, Tensor], mask: Tensor, head: int
) -> Tensor:
    """What `layer_pass` with the same arguments attends to by one of its heads: logarithms of shares, float32 [B, T, P + T]."""
    attention = layer.self_attn
    own, shared = attention.num_heads, attention.num_key_value_heads
    y = rms_norm(x, layer.input_layernorm).to(x.dtype)
    heads = joined(y, attention.q_proj, attention.k_proj, attention.v_proj).view(*x.shape[:2], own + 2 * shared, -1)
    q, k = rotate(heads[:, :, : own + shared], cos, sin).split((own, shared), 2)
    group = head // attention.num_key_value_groups
    keys = torch.cat([past[0][:, group].expand(len(x), -1, -1), k[:, :, group]], 1)  # [B, P + T, D]
    scores = (q[:, :, head] @ keys.transpose(1, 2)).float() * attention.scaling
    return (scores + mask).log_softmax(-1)


def read(
    model: Any,
    x: Tensor,
    positions: Tensor,
    past: Memory | None = None,
    drop: float = 0.0,
    run: LayerPass = layer_pass,
    watch: Callable[..., None] | None = None,
) -> tuple[Tensor, Memory]:
    """The last hidden states [B, T, hidden], and what was added to the memory, of a language model.

    x: [B, T, hidden], continuations of one prompt of which `past` is the memory, or the prompt itself (B = 1);
    positions: int64 [3, T], the same for all; run: `layer_pass` or its compiled form; watch: gets the number of each layer and
    what goes into it.
    """
    cos, sin = (t[0] for t in model.rotary_emb(x.float(), positions[:, None]))  # [T, D]
    sin = signed(sin)
    mask = None
    if past is not None:
        length, before = x.shape[1], len(past[0][0])
        mask = x.new_full((length, before + length), float("-inf"), dtype=torch.float32).triu(before + 1)
    memory: Memory = []
    for i, layer in enumerate(model.layers):
        if watch is not None:
            watch(i, layer, x, cos, sin, past[i] if past is not None else None, mask)
        x, keys, values = run(layer, x, cos, sin, past[i] if past is not None else None, mask, drop)
        if past is None:
            memory.append((keys[0], values[0]))
    return rms_norm(x, model.norm).to(x.dtype), memory

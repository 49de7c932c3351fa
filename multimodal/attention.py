"""Scaled dot-product attention over grouped key/value heads without copying them.

transformers repeats keys and values for every query head wherever there is a mask: on a long conversation each
prefill and decode step then copies the whole cache several times. Here the query heads of a group become rows of
one problem instead, which is the same arithmetic on the cache as it lies.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

NAME = "grouped_sdpa"


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
        out = F.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, scale=scaling, is_causal=causal, enable_gqa=groups > 1
        )
        return out.transpose(1, 2).contiguous(), None
    folded = query.reshape(batch, key.shape[1], groups * rows, width)  # [B, K, g·n, D]
    mask = attention_mask.repeat(1, 1, groups, 1) if attention_mask is not None and groups > 1 else attention_mask
    out = F.scaled_dot_product_attention(folded, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    out = out.view(batch, key.shape[1], groups, rows, width).permute(0, 3, 1, 2, 4)  # [B, n, K, g, D]
    return out.reshape(batch, rows, heads, width), None


def use_grouped_attention(decoder: Any) -> None:
    """Let a transformers decoder (Thinker text model, Talker model) attend through `grouped_attention`."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, grouped_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)
    decoder.set_attn_implementation(NAME)

"""Matrix products of a model on a processor through oneDNN, and gated layers a block of rows at a time.

torch multiplies float32 matrices with MKL, which on AMD processors does without their widest instructions: oneDNN is
more than twice as fast there, except for a few rows (`python -m benchmarks.linear`). Numbers differ by rounding only.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F

FEWEST_ROWS = 16  # below it MKL is as fast: oneDNN lays the weights out anew at each call
BLOCK_ROWS = 512  # of a gated layer, so that what lies between its products stays in a core's cache
_AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class OneDnnLinear(torch.nn.Linear):
    """A `torch.nn.Linear` for inference; same weights, same results but for rounding."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return linear(input, self.weight, self.bias)


def multiplies_fast(rows: torch.Tensor) -> bool:
    """Whether `linear` goes through oneDNN for rows [..., K]."""
    many = rows.numel() >= FEWEST_ROWS * rows.shape[-1]
    place = rows.dtype == torch.float32 and rows.device.type == "cpu"
    return many and place and _AVAILABLE and not torch.is_grad_enabled()


def linear(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, silu: bool = False
) -> torch.Tensor:
    """rows [..., K] · weight [N, K]ᵀ + bias [N] → [..., N], then x·sigmoid(x) if `silu`."""
    if not multiplies_fast(rows):
        out = F.linear(rows, weight, bias)
        return F.silu(out) if silu else out
    torch.get_num_threads()  # a new thread takes torch's setting only when it is asked; oneDNN does not ask
    after = "swish" if silu else "none"
    return torch.ops.mkldnn._linear_pointwise(rows.contiguous(), weight, bias, after, [], "")


def use_onednn(model: torch.nn.Module) -> None:
    """Let the linear layers of `model` multiply through `linear`, and its gated layers go by blocks of rows."""
    from transformers.activations import SiLUActivation

    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = OneDnnLinear
            if id(module.weight) not in tables:
                _turn(module.weight)
        if all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj")):
            if isinstance(getattr(module, "act_fn", None), (torch.nn.SiLU, SiLUActivation)):
                module.forward = MethodType(_gated, module)


def _turn(weight: torch.Tensor) -> None:
    """Lay a weight [N, K] out along its longer side: one row is then multiplied in half the time, and oneDNN rearranges
    less for many."""
    wide = weight.shape[0] >= weight.shape[1]
    if wide and weight.dtype == torch.float32 and weight.device.type == "cpu":
        weight.data = weight.data.t().contiguous().t()


def _gated(self: Any, hidden_state: torch.Tensor) -> torch.Tensor:
    """down(silu(gate(x)) · up(x)) of rows [..., D]."""
    if not multiplies_fast(hidden_state):
        return self.down_proj(self.act_fn(self.gate_proj(hidden_state)) * self.up_proj(hidden_state))
    rows = hidden_state.flatten(0, -2)  # [n, D]
    out = torch.empty_like(rows)
    for first in range(0, len(rows), BLOCK_ROWS):
        block = rows[first : first + BLOCK_ROWS]
        gated = linear(block, self.gate_proj.weight, self.gate_proj.bias, silu=True)
        gated *= self.up_proj(block)
        out[first : first + BLOCK_ROWS] = self.down_proj(gated)
    return out.view_as(hidden_state)

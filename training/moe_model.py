"""moe-nano: transformers' Qwen3MoeForCausalLM, and its forward over packed examples with a fast path for experts.

The weights stay inside transformers' own modules, and the result equals transformers' forward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from training.packed_thinker import attend_flash, attend_padded, joined, rms_norm, rotate, signed

ALIGN = 16  # rows of an expert's group: the grouped kernels want 16-byte borders in the gradient, too


@dataclass(frozen=True)
class MoeSizes:
    """experts: of each layer, of which a token goes to `top_k`, each `expert_width` wide. 19.4 M parameters."""

    vocabulary: int = 2048
    hidden: int = 256
    layers: int = 8
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    experts: int = 16
    top_k: int = 2
    expert_width: int = 176
    context: int = 2048

    def config(self, control: dict[str, int]) -> Any:
        """control: ids of `<|im_end|>` and `<|endoftext|>`."""
        from transformers import Qwen3MoeConfig

        config = Qwen3MoeConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=2 * self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            head_dim=self.head_dim,  # pyright: ignore[reportCallIssue]
            num_experts=self.experts,
            num_experts_per_tok=self.top_k,
            moe_intermediate_size=self.expert_width,
            decoder_sparse_step=1,
            norm_topk_prob=True,
            max_position_embeddings=self.context,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            tie_word_embeddings=True,
            eos_token_id=control["<|im_end|>"],
            pad_token_id=control["<|endoftext|>"],
            bos_token_id=None,
        )
        config.architectures = ["Qwen3MoeForCausalLM"]
        return config


def new_model(sizes: MoeSizes, control: dict[str, int], seed: int = 0) -> Any:
    """Fresh weights; what writes into the residual stream starts smaller, by depth."""
    from transformers import Qwen3MoeForCausalLM

    torch.manual_seed(seed)
    model = Qwen3MoeForCausalLM(sizes.config(control))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj")):
                parameter.mul_((2 * sizes.layers) ** -0.5)
    return model.train()


def experts_dense(x: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor, experts: Any) -> torch.Tensor:
    """Every expert on every token, weighted by the router: exact, without waiting for the device, for small sizes.
    x: [N, hidden]; chosen, weights: [N, top_k]."""
    share = torch.zeros(len(x), experts.num_experts, device=x.device, dtype=weights.dtype).scatter(
        1, chosen, weights
    )  # [N, E]
    gate, up = torch.einsum("nh,eih->eni", x, experts.gate_up_proj).chunk(2, -1)  # [E, N, width]
    inner = F.silu(gate) * up * share.t()[..., None].to(gate.dtype)
    return torch.einsum("eni,ehi->nh", inner, experts.down_proj)


def experts_grouped(x: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor, experts: Any) -> torch.Tensor:
    """Each token on its own experts only: rows sorted by expert, one grouped matrix multiplication a projection."""
    multiply = getattr(F, "grouped_mm", None) or torch._grouped_mm  # pyright: ignore[reportPrivateImportUsage]
    rows, top_k = chosen.shape
    flat = chosen.flatten()  # [N · top_k]
    order = flat.argsort(stable=True)
    counts = torch.zeros(experts.num_experts, dtype=torch.long, device=x.device)  # [E]
    counts = counts.scatter_add(0, flat, torch.ones_like(flat))
    padded = (counts + ALIGN - 1) // ALIGN * ALIGN
    ends = padded.cumsum(0)
    sorted_by = flat[order]
    step = torch.arange(rows * top_k, device=x.device)
    places = step + ((ends - padded) - (counts.cumsum(0) - counts))[sorted_by]  # where each sorted row stands
    room = rows * top_k + ALIGN * experts.num_experts
    offsets = ends.to(torch.int32)
    offsets = torch.cat([offsets[:-1], torch.full_like(offsets[-1:], room)])
    half = x.to(torch.bfloat16)
    grouped = half.new_zeros(room, x.shape[1]).index_copy(0, places, half[order // top_k])
    gate, up = multiply(grouped, experts.gate_up_proj.to(torch.bfloat16).transpose(1, 2), offs=offsets).chunk(2, -1)
    out = multiply(F.silu(gate) * up, experts.down_proj.to(torch.bfloat16).transpose(1, 2), offs=offsets)[places]
    back = torch.empty_like(order).scatter_(0, order, step)
    return (out[back].view(rows, top_k, -1) * weights[..., None]).sum(1)


ExpertPath = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Any], torch.Tensor]


class PackedMoe(torch.nn.Module):
    """model: Qwen3MoeForCausalLM. flash: variable-length attention kernel; experts: how experts are computed."""

    def __init__(self, model: Any, flash: bool = False, experts: ExpertPath = experts_dense) -> None:
        super().__init__()
        self.model, self.flash, self.experts = model, flash, experts

    def forward(
        self, ids: torch.Tensor, positions: torch.Tensor, offsets: torch.Tensor, longest: int, counted: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """ids, positions: int [N]; offsets: int32 [S + 1], borders of the examples, none longer than `longest`;
        counted: bool [N], real tokens. Returns hidden states [N, hidden], the balance loss (1 when all experts get
        the same), and each expert's share of tokens [layers, E]."""
        inner = self.model.model
        config = self.model.config
        x = inner.embed_tokens(ids)  # [N, hidden]
        cos, sin = (part[0].float() for part in inner.rotary_emb(x[None].float(), positions[None].long()))
        sin = signed(sin)
        groups = config.num_attention_heads // config.num_key_value_heads
        attend = attend_flash if self.flash else attend_padded
        real = counted.float()
        balance, shares = x.new_zeros((), dtype=torch.float32), []
        for layer in inner.layers:
            attention = layer.self_attn
            width = attention.head_dim
            y = rms_norm(x, layer.input_layernorm)
            sizes = [config.num_attention_heads * width] + 2 * [config.num_key_value_heads * width]
            q, k, v = joined(y, attention.q_proj, attention.k_proj, attention.v_proj).split(sizes, -1)
            q, k, v = (part.view(len(x), -1, width) for part in (q, k, v))
            q, k = rotate(rms_norm(q, attention.q_norm), cos, sin), rotate(rms_norm(k, attention.k_norm), cos, sin)
            q, k = q.to(v.dtype), k.to(v.dtype)
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
            y = attend(q, k, v, offsets, longest, True, attention.scaling)
            x = x + attention.o_proj(y.reshape(len(x), -1))
            y = rms_norm(x, layer.post_attention_layernorm)
            with torch.autocast(x.device.type, enabled=False):
                routed = F.linear(y.float(), layer.mlp.gate.weight.float()).softmax(-1)  # [N, E]
            weights, chosen = routed.topk(config.num_experts_per_tok, -1)
            weights = weights / weights.sum(-1, keepdim=True)
            x = x + self.experts(y, chosen, weights, layer.mlp.experts).to(x.dtype)
            hit = torch.zeros_like(routed).scatter(1, chosen, 1.0) * real[:, None]
            share = hit.sum(0) / (real.sum() * config.num_experts_per_tok)  # [E]
            balance = balance + config.num_experts * (share * (routed * real[:, None]).sum(0) / real.sum()).sum()
            shares.append(share.detach())
        return rms_norm(x, inner.norm), balance / len(inner.layers), torch.stack(shares)


def grouped_works(device: torch.device, sizes: MoeSizes) -> bool:
    """Whether the grouped path is here and gives what the dense one gives, gradients included."""
    try:
        generator = torch.Generator().manual_seed(0)

        class Experts:
            num_experts = sizes.experts
            gate_up_proj = torch.randn(sizes.experts, 2 * sizes.expert_width, sizes.hidden, generator=generator)
            down_proj = torch.randn(sizes.experts, sizes.hidden, sizes.expert_width, generator=generator)

        def answers(path: ExpertPath) -> list[torch.Tensor]:
            one: Any = Experts()
            one.gate_up_proj = (Experts.gate_up_proj * 0.06).to(device).requires_grad_()
            one.down_proj = (Experts.down_proj * 0.06).to(device).requires_grad_()
            x = torch.randn(333, sizes.hidden, generator=torch.Generator().manual_seed(1)).to(device).requires_grad_()
            scores = torch.rand(333, sizes.experts, generator=torch.Generator().manual_seed(2))
            scores[:, 1] = -1.0  # an expert that nobody is sent to
            weights, chosen = scores.to(device).topk(sizes.top_k, -1)
            with torch.autocast(device.type, torch.bfloat16):
                out = path(x, chosen, weights, one)
            out.float().square().sum().backward()
            grads = (x.grad, one.gate_up_proj.grad, one.down_proj.grad)
            return [out.detach().float(), *(grad.float() for grad in grads if grad is not None)]

        pairs = list(zip(answers(experts_grouped), answers(experts_dense), strict=True))
        return all(bool(a.isfinite().all()) and float((a - b).norm() / b.norm()) < 0.03 for a, b in pairs)
    except (RuntimeError, AttributeError, TypeError, AssertionError, ValueError):
        return False

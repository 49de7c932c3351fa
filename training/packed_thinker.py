"""The Thinker's forward over a packed batch, with the weights inside transformers' own modules.

transformers' encoders loop over segments of different lengths; here all of them go through one call. Attention inside
segments is flash attention's variable-length kernel on a GPU in half precision, and everywhere else ordinary attention
over segments padded for it. Both equal transformers' forward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from training.cells import COLOR_ID, HALVES, LETTER_LABELS, classes
from training.features import CHUNK_FRAMES, MERGE
from training.guidance import TIMES
from training.packing import CHARACTERS
from training.utterances import PHONES

Batch = dict[str, torch.Tensor]
TOKENS_A_CHUNK = CHUNK_FRAMES // 4


def attend_padded(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, offsets: torch.Tensor, longest: int, causal: bool, scale: float
) -> torch.Tensor:
    """Attention inside segments. q, k, v: [N, heads, D], all with the same number of heads; offsets: int [E + 1], the
    borders of consecutive segments; longest: no segment has more rows. Returns [N, heads, D]."""
    offsets = offsets.long()
    step = torch.arange(longest, device=q.device)
    rows = offsets[:-1, None] + step  # [E, longest]
    inside = rows < offsets[1:, None]
    rows = rows.clamp(max=len(q) - 1)
    mask = None
    if not causal:
        inside[:, 0] = True  # an empty segment attends to a row that nobody reads, rather than to nothing
        mask = inside[:, None, None, :]
    query, key, value = (x[rows].transpose(1, 2) for x in (q, k, v))  # [E, heads, longest, D]
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal, scale=scale)
    at = torch.arange(len(q), device=q.device)
    segment = torch.searchsorted(offsets[1:].contiguous(), at, right=True)
    return out.transpose(1, 2)[segment, at - offsets[segment]]


def attend_flash(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, offsets: torch.Tensor, longest: int, causal: bool, scale: float
) -> torch.Tensor:
    """As `attend_padded`, in half precision on a GPU."""
    half = q.dtype if q.dtype in (torch.float16, torch.bfloat16) else torch.bfloat16
    q, k, v = (x.to(half).contiguous() for x in (q, k, v))
    forward = torch.ops.aten._flash_attention_forward
    return forward(q, k, v, offsets, offsets, longest, longest, 0.0, causal, False, scale=scale)[0]


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of x […, N, heads, D] by cos, sin [N, D], in fp32; the first half of sin is negative (`signed`)."""
    return (x * cos[:, None] + x.roll(x.shape[-1] // 2, -1) * sin[:, None]).to(x.dtype)


def signed(sin: torch.Tensor) -> torch.Tensor:
    """sin [N, D] with its first half negative."""
    first, second = sin.chunk(2, -1)
    return torch.cat([-first, second], -1)


def joined(y: torch.Tensor, *layers: torch.nn.Linear) -> torch.Tensor:
    """The outputs of several linear layers for the same input, side by side, from one multiplication."""
    biases = tuple(layer.bias for layer in layers if layer.bias is not None)
    assert len(biases) in (0, len(layers))
    return F.linear(y, torch.cat(tuple(layer.weight for layer in layers)), torch.cat(biases) if biases else None)


def gated(y: torch.Tensor, mlp: Any) -> torch.Tensor:
    """down(silu(gate(y)) · up(y))."""
    gate, up = joined(y, mlp.gate_proj, mlp.up_proj).chunk(2, -1)
    return mlp.down_proj(F.silu(gate) * up)


def rms_norm(x: torch.Tensor, norm: Any) -> torch.Tensor:
    return F.rms_norm(x.float(), norm.weight.shape, norm.weight.float(), norm.variance_epsilon)


@dataclass(frozen=True)
class Inside:
    """What the losses need of a forward. queries, keys: [HEADS, N, D] of the guided heads, after rotation; scale: of their
    product; middle: the hidden states halfway, [N, hidden]."""

    queries: torch.Tensor
    keys: torch.Tensor
    scale: float
    middle: torch.Tensor


class PackedThinker(torch.nn.Module):
    """model: Qwen2_5OmniThinkerForConditionalGeneration, whose vision layers all attend to the whole picture.

    The heads (phones and characters for every 20 ms, read from the audio embeddings, what every cell shows, read from the
    picture embeddings, and the time in a clip, read halfway through the language model) help training and are not exported.
    """

    def __init__(self, model: Any, flash: bool = False) -> None:
        super().__init__()
        vision = model.config.vision_config
        assert set(vision.fullatt_block_indexes) == set(range(vision.depth)), "windowed vision layers are not packed"
        self.model = model
        self.flash = flash
        hidden = model.config.text_config.hidden_size
        self.phone_head = torch.nn.Linear(hidden, 2 * len(PHONES))
        self.character_head = torch.nn.Linear(hidden, 2 * (len(CHARACTERS) + 1))
        self.class_head = torch.nn.Linear(hidden, len(classes()))
        self.color_head = torch.nn.Linear(hidden, len(COLOR_ID))
        self.box_head = torch.nn.Linear(hidden, 8)  # the item's box as seen from the cell, and the cell's own place
        self.letter_head = torch.nn.Linear(hidden, HALVES * LETTER_LABELS)
        torch.nn.init.constant_(self.letter_head.bias, -4.0)  # most cells show no letters
        self.time_head = torch.nn.Linear(hidden, TIMES)
        self.run_eagerly()

    def run_eagerly(self) -> None:
        """Run encoders and language model as they are written."""
        self.run_audio: Callable[..., torch.Tensor] = self.audio
        self.run_vision: Callable[..., torch.Tensor] = self.vision
        self.run_language: Callable[..., tuple[torch.Tensor, ...]] = self.language

    def compile_parts(self) -> None:
        """Compile encoders and language model; shapes must then stay the same."""
        self.run_audio = torch.compile(self.audio, dynamic=False)
        self.run_vision = torch.compile(self.vision, dynamic=False)
        self.run_language = torch.compile(self.language, dynamic=False)

    def _attend(self, *arguments: Any) -> torch.Tensor:
        return attend_flash(*arguments) if self.flash else attend_padded(*arguments)

    def audio(self, mel: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """mel: [A, bins, 200] zero after each chunk's end; frames: int [A]. Returns [A · 50, hidden]; those after a
        chunk's end are meaningless."""
        tower = self.model.model.audio_tower
        step = torch.arange(CHUNK_FRAMES, device=mel.device)
        x = F.gelu(tower.conv1(mel)) * (step < frames[:, None])[:, None]
        x = F.gelu(tower.conv2(x)).transpose(1, 2)  # [A, 100, width]
        count, length, width = x.shape
        x = x + tower.positional_embedding.positional_embedding[:length]
        inside = step[:length] < ((frames - 1) // 2 + 1)[:, None]  # [A, 100]
        mask = torch.zeros(inside.shape, dtype=torch.bfloat16 if self.flash else x.dtype, device=x.device)
        mask = mask.masked_fill(~inside, float("-inf"))[:, None, None, :].expand(-1, 1, length, -1)
        for layer in tower.layers:
            attention = layer.self_attn
            y = layer.self_attn_layer_norm(x)
            shape = (count, length, attention.num_heads, -1)
            q, k, v = (p(y).view(shape).transpose(1, 2) for p in (attention.q_proj, attention.k_proj, attention.v_proj))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype), scale=attention.scaling)
            x = x + attention.out_proj(y.transpose(1, 2).reshape(count, length, width))
            x = x + layer.fc2(F.gelu(layer.fc1(layer.final_layer_norm(x))))
        x = x.view(count, length // 2, 2, width).mean(2)  # [A, 50, width]
        return tower.proj(tower.ln_post(x)).flatten(0, 1)

    def vision(
        self, values: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, offsets: torch.Tensor, largest: int
    ) -> torch.Tensor:
        """values: [P, 1176]; cos, sin: [P, head width] of the patches' places; offsets: int32 [E + 1] of 2-frame images
        with at most `largest` patches. Returns [P / 4, hidden]."""
        tower = self.model.model.visual
        sin = signed(sin)
        x = F.linear(values, tower.patch_embed.proj.weight.flatten(1))  # [P, width]
        for block in tower.blocks:
            attention = block.attn
            y = rms_norm(x, block.norm1)
            heads = joined(y, attention.q, attention.k, attention.v).view(len(y), 3 * attention.num_heads, -1)
            qk, v = heads.split((2 * attention.num_heads, attention.num_heads), 1)
            q, k = rotate(qk, cos, sin).chunk(2, 1)
            y = self._attend(q, k, v, offsets, largest, False, attention.scaling)
            x = x + attention.proj(y.flatten(1))
            y = rms_norm(x, block.norm2)
            x = x + gated(y, block.mlp)
        merger = tower.merger
        return merger.mlp(rms_norm(x, merger.ln_q).view(len(x) // MERGE**2, -1))

    def language(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, offsets: torch.Tensor, longest: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """x: embeddings [N, hidden]; cos, sin: [N, head width]. Returns the last hidden states [N, hidden], and as `Inside`
        has them queries, keys and the hidden states halfway."""
        text = self.model.model.language_model
        sin = signed(sin)
        guided, middle = self.guided_heads(), x
        queries, keys = [], []
        for number, layer in enumerate(text.layers):
            attention = layer.self_attn
            if number == len(text.layers) // 2:
                middle = x
            y = rms_norm(x, layer.input_layernorm)
            heads = joined(y, attention.q_proj, attention.k_proj, attention.v_proj)
            heads = heads.view(len(y), -1, attention.head_dim)  # [N, heads + 2 · key-value heads, D]
            own, shared = attention.num_heads, attention.num_key_value_heads
            qk, v = heads.split((own + shared, shared), 1)
            q, k = rotate(qk, cos, sin).split((own, shared), 1)
            k, v = (t.repeat_interleave(attention.num_key_value_groups, 1) for t in (k, v))
            for _, head in (one for one in guided if one[0] == number):
                queries.append(q[:, head])
                keys.append(k[:, head])
            y = self._attend(q, k, v, offsets, longest, True, attention.scaling)
            x = x + attention.o_proj(y.flatten(1))
            y = rms_norm(x, layer.post_attention_layernorm)
            x = x + gated(y, layer.mlp)
        return rms_norm(x, text.norm), torch.stack(queries), torch.stack(keys), middle

    def guided_heads(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Layer and head of "named" and of "next" (see `guidance`), which share no keys."""
        layers, heads = len(self.model.model.language_model.layers), self.model.config.text_config.num_attention_heads
        return (layers * 3 // 8, 0), (layers * 5 // 8, heads - 1)

    def embed(
        self, batch: Batch, mel: torch.Tensor, values: torch.Tensor, largest_image: int, compiled: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Input embeddings [N, hidden] with media in place, the audio embeddings [A · 50, hidden], and those of pictures
        [P / 4, hidden]."""
        words = self.model.model.language_model.embed_tokens(batch["ids"].long())
        run_audio, run_vision = (self.run_audio, self.run_vision) if compiled else (self.audio, self.vision)
        heard = run_audio(mel, batch["chunks"][:, 2].long())
        cos, sin = self.model.model.visual.rotary_pos_emb(values, batch["places"].long())
        seen = run_vision(values, cos, sin, batch["image_offsets"], largest_image)
        x = torch.cat([words, words.new_zeros(1, words.shape[1])])  # the last row takes what has no place
        x = x.index_copy(0, batch["audio_at"].long(), heard.to(x.dtype))
        x = x.index_copy(0, batch["image_at"].long(), seen.to(x.dtype))
        return x[:-1], heard, seen

    def forward(
        self, batch: Batch, mel: torch.Tensor, values: torch.Tensor, longest: int, largest_image: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Inside]:
        """Last hidden states [N, hidden], audio embeddings [A · 50, hidden] and picture embeddings [P / 4, hidden] of a packed
        batch (see `packing`), and what goes on inside the language model."""
        x, heard, seen = self.embed(batch, mel, values, largest_image)
        rotary = self.model.model.language_model.rotary_emb
        cos, sin = rotary(x.float(), batch["positions"].long()[:, None])  # [1, N, head width]
        hidden, queries, keys, middle = self.run_language(x, cos[0], sin[0], batch["offsets"], longest)
        scale = self.model.model.language_model.layers[0].self_attn.scaling
        return hidden, heard, seen, Inside(queries, keys, scale, middle)

"""Tiny random checkpoints of every class of the family, written to disk as the released ones are laid out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONTROL = (
    *(
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ),
    *("<|audio_pad|>", "<|audio_start|>", "<|audio_end|>"),
    *("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
)
# Named in the vocabulary, but shown as text when decoded.
VISIBLE = ("<tool_call>", "</tool_call>", "<think>", "</think>")

TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if loop.first and tools %}{{- '<|im_start|>system\\n' }}"
    "{%- if message.role == 'system' %}{{- message.content + '\\n\\n' }}{%- endif %}"
    "{{- '<tools>' }}{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}"
    "{{- '\\n</tools><|im_end|>\\n' }}"
    "{%- elif message.role == 'system' %}{{- '<|im_start|>system\\n' + message.content + '<|im_end|>\\n' }}{%- endif %}"
    "{%- if message.role == 'tool' %}"
    "{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}"
    "{%- elif message.role != 'system' %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{- message.content }}{%- else %}{%- for part in message.content %}"
    "{%- if part.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- else %}{{- part.text }}{%- endif %}"
    "{%- endfor %}{%- endif %}"
    "{%- for call in message.tool_calls or [] %}"
    "{{- '\\n<tool_call>\\n' + (call.function | tojson) + '\\n</tool_call>' }}{%- endfor %}"
    "{{- '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n%OPEN%' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- endif %}{%- endif %}"
)


def write_checkpoint(folder: Path, architecture: str, opens_reasoning: bool = False, seed: int = 0) -> Path:
    """A seeded random checkpoint of a transformers class: weights, tokenizer, template, and how it sees if it does."""
    import torch
    import transformers

    tokenizer = _tokenizer(opens_reasoning)
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in (*CONTROL, *VISIBLE)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, architecture)(_config(architecture, len(tokenizer), ids))
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]], pad_token_id=ids["<|endoftext|>"]
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if "VL" in architecture or "Omni" in architecture:
        patch = 16 if "3" in architecture else 14
        processor = {
            "image_processor_type": "Qwen2VLImageProcessor",
            "patch_size": patch,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "min_pixels": 56 * 56,
            "max_pixels": 112 * 112,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def _tokenizer(opens_reasoning: bool) -> Any:
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer

    from multimodal.checkpoint_files import byte_level_tokenizer

    plain = byte_level_tokenizer()
    plain.add_special_tokens(list(CONTROL))
    plain.add_tokens([AddedToken(name, special=False, normalized=False) for name in VISIBLE])
    tokenizer = Qwen2Tokenizer(
        tokenizer_object=plain,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE.replace("%OPEN%", "<think>\\n" if opens_reasoning else "")
    return tokenizer


def _config(architecture: str, vocabulary: int, ids: dict[str, int]) -> Any:
    import transformers

    text: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "pad_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "bos_token_id": None,
    }
    experts: dict[str, Any] = {
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "decoder_sparse_step": 1,
    }
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]}
    media: dict[str, Any] = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }
    eyes: dict[str, Any] = {
        "depth": 2,
        "num_heads": 2,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "spatial_merge_size": 2,
    }
    if architecture == "Qwen2ForCausalLM":
        return transformers.Qwen2Config(**text)
    if architecture == "Qwen3MoeForCausalLM":
        return transformers.Qwen3MoeConfig(**text, **experts)
    if architecture == "Qwen2MoeForCausalLM":
        return transformers.Qwen2MoeConfig(**text, **experts, shared_expert_intermediate_size=24)
    if architecture == "Qwen2_5_VLForConditionalGeneration":
        sight: dict[str, Any] = {
            **eyes,
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 32,
            "window_size": 56,
        }
        text_config = {**text, "rope_parameters": rope}
        return transformers.Qwen2_5_VLConfig(
            text_config=text_config, vision_config={**sight, "fullatt_block_indexes": [1]}, **media
        )
    if architecture == "Qwen2VLForConditionalGeneration":
        sight = {**eyes, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2}
        return transformers.Qwen2VLConfig(text_config={**text, "rope_parameters": rope}, vision_config=sight, **media)
    assert architecture == "Qwen3OmniMoeForConditionalGeneration", architecture
    return _qwen3_omni(text, experts, rope, eyes, media, ids)


def _qwen3_omni(text: dict, experts: dict, rope: dict, eyes: dict, media: dict, ids: dict[str, int]) -> Any:
    import transformers

    thinker = {
        **media,
        "audio_token_id": ids["<|audio_pad|>"],
        "audio_start_token_id": ids["<|audio_start|>"],
        "text_config": {**text, **experts, "rope_parameters": {**rope, "mrope_interleaved": True}},
        "vision_config": {
            **eyes,
            "patch_size": 16,
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        "audio_config": {
            "d_model": 32,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 48,
            "output_dim": 32,
            "downsample_hidden_size": 8,
            "num_mel_bins": 128,
        },
    }
    config = transformers.Qwen3OmniMoeConfig(thinker_config=thinker)
    config.enable_audio_output = False
    return config

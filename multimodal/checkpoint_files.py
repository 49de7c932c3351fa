"""Blueprint and weights → the files of a Qwen2.5-Omni checkpoint.

`omni-nano` and the seeded random checkpoint of the tests are written here; both are then loaded exactly like a
checkpoint from a hub.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from multimodal.blueprint import SPECIAL_TOKENS, TINY, Blueprint

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if loop.first and message['role'] != 'system' %}"
    "{{- '<|im_start|>system\\n%SYSTEM%<|im_end|>\\n' }}"
    "{%- endif %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['content'] is string %}{{- message['content'] }}"
    "{%- else %}{%- for part in message['content'] %}"
    "{%- if part['type'] == 'image' %}{{- '<|vision_bos|><|IMAGE|><|vision_eos|>' }}"
    "{%- elif part['type'] == 'audio' %}{{- '<|audio_bos|><|AUDIO|><|audio_eos|>' }}"
    "{%- elif part['type'] == 'video' %}{{- '<|vision_bos|><|VIDEO|><|vision_eos|>' }}"
    "{%- elif part['type'] == 'text' %}{{- part['text'] }}{%- endif %}"
    "{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def byte_level_tokenizer(merges_from: Any = None) -> Any:
    """A byte-level BPE `tokenizers.Tokenizer` with Qwen2's splitting rule: no merges (256 entries) unless
    `merges_from`, an iterable of texts and a size `(texts, vocab)`, is given to learn them from."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={ch: i for i, ch in enumerate(alphabet)}, merges=[]))
    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    if merges_from is not None:
        texts, size = merges_from
        tokenizer.train_from_iterator(
            texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
        )
    return tokenizer


def write_processor_files(folder: Path, blueprint: Blueprint, tokenizer: Any) -> None:
    """Tokenizer, chat template, preprocessor and generation files beside a model's weights.

    tokenizer: a `tokenizers.Tokenizer` with exactly vocab_size − len(SPECIAL_TOKENS) entries.
    """
    from transformers import Qwen2Tokenizer

    ordinary = blueprint.vocab_size - len(SPECIAL_TOKENS)
    assert tokenizer.get_vocab_size() == ordinary, (tokenizer.get_vocab_size(), ordinary)
    folder.mkdir(parents=True, exist_ok=True)
    extra = {
        "image_token": "<|IMAGE|>",
        "audio_token": "<|AUDIO|>",
        "video_token": "<|VIDEO|>",
        "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>",
        "audio_bos_token": "<|audio_bos|>",
        "audio_eos_token": "<|audio_eos|>",
    }
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    fast = Qwen2Tokenizer(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,  # pyright: ignore[reportArgumentType]
        bos_token=None,
        extra_special_tokens=extra,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE.replace("%SYSTEM%", blueprint.system_prompt)
    fast.save_pretrained(folder)
    preprocessor = {
        "processor_class": "Qwen2_5OmniProcessor",
        "image_processor_type": "Qwen2VLImageProcessor",
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": 128,
        "sampling_rate": 16000,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": 300,
        "padding_value": 0.0,
        "return_attention_mask": True,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "min_pixels": blueprint.image_min_pixels,
        "max_pixels": blueprint.image_max_pixels,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps(blueprint.generation_config(), indent=2) + "\n")


def write_model(folder: Path, model: Any, voices: dict[str, Any], max_shard: str = "15MB") -> None:
    """Save weights as safetensors shards, config.json and spk_dict.pt.

    voices: name → {"bos_token": int, "cond": float32 [1, speaker_emb], "ref_mel": float32 [1, T, mel_dim]}.
    """
    import torch

    model.save_pretrained(folder, max_shard_size=max_shard)
    torch.save(voices, folder / "spk_dict.pt")


def write_random_checkpoint(
    folder: Path, seed: int = 0, blueprint: Blueprint = TINY, tokenizer: Any = None, max_shard: str = "300KB"
) -> Path:
    """Write a seeded random checkpoint of `blueprint` to `folder` and return the folder.

    tokenizer: as for `write_processor_files`; single bytes if None, which fits TINY.

    Weights are scaled so that every layer passes on about the power it was given. With transformers' own small
    initial weights the layers hardly matter beside the residual stream, speech is silence, and whoever compares
    two implementations on such a checkpoint compares nothing.
    """
    import torch
    from transformers import Qwen2_5OmniForConditionalGeneration

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5OmniForConditionalGeneration(blueprint.config())
        _spread_weights(model)
        # The vocoder's residual blocks add up to a hundred times a waveform's range.
        model.token2wav.code2wav_bigvgan_model.conv_post.weight.data *= 0.01
        ids = blueprint.special_ids()
        voices = {
            name: {
                "bos_token": ids[f"<tts_voice_{i}>"],
                "cond": torch.randn(1, blueprint.speaker_emb),
                "ref_mel": torch.randn(1, 60, blueprint.mel_dim) - 4.0,
            }
            for i, name in enumerate(("Ada", "Ben"))
        }
    write_model(folder, model, voices, max_shard)
    write_processor_files(folder, blueprint, byte_level_tokenizer() if tokenizer is None else tokenizer)
    return folder


def _spread_weights(model: Any) -> None:
    """Draw every matrix anew with variance 1 ÷ inputs, biases a tenth of that deviation, embeddings with variance 1."""
    import torch
    from torch import nn

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                module.weight.normal_()
            elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d):
                inputs = module.weight[0].numel()
                if isinstance(module, nn.ConvTranspose1d):  # [in, out, kernel]; each output sees kernel ÷ stride taps
                    inputs = module.weight.shape[0] * module.kernel_size[0] // module.stride[0]
                module.weight.normal_(std=inputs**-0.5)
                if module.bias is not None:
                    module.bias.normal_(std=0.1 * inputs**-0.5)

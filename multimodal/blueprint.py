"""Sizes → the configuration, tokenizer and processor files of a Qwen2.5-Omni checkpoint.

`omni-nano` and the seeded random checkpoint of the tests are written from a `Blueprint`; both are then
loaded exactly like a checkpoint from a hub.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The control tokens of Qwen2.5-Omni, by name; the speech ones have embedding rows but no name there.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|AUDIO|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
    "<|vision_bos|>",
    "<|vision_eos|>",
    "<|vision_pad|>",
    "<|IMAGE|>",
    "<|VIDEO|>",
    "<tts_pad>",
    "<tts_text_bos>",
    "<tts_text_eod>",
    "<tts_voice_0>",
    "<tts_voice_1>",
    "<tts_voice_2>",
    "<tts_voice_3>",
)

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


@dataclass(frozen=True)
class Blueprint:
    """Every size of a small Qwen2.5-Omni checkpoint. `vocab_size` counts text and special tokens."""

    vocab_size: int
    system_prompt: str
    # Thinker language model
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    # Runs of rotary frequencies, highest first, that go to time, height and width in turn; they add up to head_dim / 2.
    mrope_section: tuple[int, ...]
    rope_theta: float = 100_000.0
    max_positions: int = 32_768
    # audio encoder
    audio_width: int = 256
    audio_layers: int = 6
    audio_heads: int = 4
    audio_ffn: int = 1024
    # vision encoder
    vision_width: int = 256
    vision_depth: int = 6
    vision_heads: int = 4
    vision_ffn: int = 768
    vision_window: int = 112
    vision_full_layers: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    image_min_pixels: int = 112 * 112
    image_max_pixels: int = 336 * 336
    # Talker
    talker_hidden: int = 384
    talker_layers: int = 6
    talker_heads: int = 6
    talker_kv_heads: int = 2
    talker_intermediate: int = 1024
    # codec and Token2Wav
    codes: int = 2048
    dit_embeds: int | None = None  # codes the DiT can embed after its null code; all sounds if None
    repeats: int = 4
    dit_hidden: int = 256
    dit_layers: int = 6
    dit_heads: int = 4
    dit_ff_mult: int = 2
    dit_emb: int = 256
    dit_block: int = 24
    dit_look_ahead: tuple[int, ...] = (3,)
    dit_look_backward: tuple[int, ...] = (0, 5)
    speaker_emb: int = 64
    speaker_channels: tuple[int, ...] = (64, 64, 64, 64, 192)
    mel_dim: int = 80
    vocoder_channels: int = 192
    vocoder_rates: tuple[int, ...] = (8, 6, 5)
    vocoder_kernels: tuple[int, ...] = (16, 12, 11)
    vocoder_resblock_kernels: tuple[int, ...] = (3,)
    # how the checkpoint is sampled, stored in generation_config.json
    ode_solver: str = "euler"
    ode_evaluations: int = 4
    guidance_scale: float = 0.0

    # Codec ids: 0 is the DiT's null code, 1…codes are sounds, then the control codes.
    @property
    def codec_pad(self) -> int:
        return self.codes + 1

    @property
    def codec_bos(self) -> int:
        return self.codes + 2

    @property
    def codec_eos(self) -> int:
        return self.codes + 3

    @property
    def codec_mask(self) -> int:
        return self.codes + 4

    @property
    def talker_vocab(self) -> int:
        return -(-(self.codes + 5) // 8) * 8

    def special_ids(self) -> dict[str, int]:
        """Special tokens sit at the end of the vocabulary, in the order of SPECIAL_TOKENS."""
        first = self.vocab_size - len(SPECIAL_TOKENS)
        return {token: first + i for i, token in enumerate(SPECIAL_TOKENS)}

    def config(self) -> Any:
        """The transformers `Qwen2_5OmniConfig` of these sizes."""
        from transformers import Qwen2_5OmniConfig

        ids = self.special_ids()
        rope = {"rope_type": "default", "rope_theta": self.rope_theta, "mrope_section": list(self.mrope_section)}
        media_ids = {
            "audio_token_index": ids["<|AUDIO|>"],
            "image_token_index": ids["<|IMAGE|>"],
            "video_token_index": ids["<|VIDEO|>"],
            "audio_start_token_id": ids["<|audio_bos|>"],
            "audio_end_token_id": ids["<|audio_eos|>"],
            "vision_start_token_id": ids["<|vision_bos|>"],
            "vision_end_token_id": ids["<|vision_eos|>"],
            "position_id_per_seconds": 25,
            "seconds_per_chunk": 2,
        }
        thinker = {
            **media_ids,
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": False,
            "audio_config": {
                "num_mel_bins": 128,
                "d_model": self.audio_width,
                "encoder_layers": self.audio_layers,
                "encoder_attention_heads": self.audio_heads,
                "encoder_ffn_dim": self.audio_ffn,
                "output_dim": self.hidden,
                "n_window": 100,
                "max_source_positions": 1500,
            },
            "vision_config": {
                "depth": self.vision_depth,
                "hidden_size": self.vision_width,
                "num_heads": self.vision_heads,
                "intermediate_size": self.vision_ffn,
                "out_hidden_size": self.hidden,
                "window_size": self.vision_window,
                "fullatt_block_indexes": list(self.vision_full_layers),
                "patch_size": 14,
                "temporal_patch_size": 2,
                "spatial_merge_size": 2,
            },
            "text_config": {
                "vocab_size": self.vocab_size,
                "hidden_size": self.hidden,
                "intermediate_size": self.intermediate,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
                "num_key_value_heads": self.kv_heads,
                "head_dim": self.head_dim,
                "max_position_embeddings": self.max_positions,
                "rope_parameters": rope,
                "tie_word_embeddings": False,
                "pad_token_id": ids["<|endoftext|>"],
            },
        }
        talker = {
            **media_ids,
            "vocab_size": self.talker_vocab,
            "embedding_size": self.hidden,
            "hidden_size": self.talker_hidden,
            "intermediate_size": self.talker_intermediate,
            "num_hidden_layers": self.talker_layers,
            "num_attention_heads": self.talker_heads,
            "num_key_value_heads": self.talker_kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_positions,
            "rope_parameters": rope,
            "tts_text_start_token_id": ids["<tts_text_bos>"],
            "tts_text_end_token_id": ids["<tts_text_eod>"],
            "tts_text_pad_token_id": ids["<tts_pad>"],
            "tts_codec_pad_token_id": self.codec_pad,
            "tts_codec_start_token_id": self.codec_bos,
            "tts_codec_end_token_id": self.codec_eos,
            "tts_codec_mask_token_id": self.codec_mask,
            "spatial_merge_size": 2,
        }
        token2wav = {
            "dit_config": {
                "hidden_size": self.dit_hidden,
                "num_hidden_layers": self.dit_layers,
                "num_attention_heads": self.dit_heads,
                "head_dim": self.dit_hidden // self.dit_heads,
                "ff_mult": self.dit_ff_mult,
                "emb_dim": self.dit_emb,
                "block_size": self.dit_block,
                "look_ahead_layers": list(self.dit_look_ahead),
                "look_backward_layers": list(self.dit_look_backward),
                "repeats": self.repeats,
                "num_embeds": self.dit_embeds or self.codes,
                "mel_dim": self.mel_dim,
                "enc_emb_dim": self.speaker_emb,
                "enc_dim": 64,
                "enc_channels": list(self.speaker_channels),
                "enc_attention_channels": 32,
                "enc_se_channels": 32,
            },
            "bigvgan_config": {
                "mel_dim": self.mel_dim,
                "upsample_initial_channel": self.vocoder_channels,
                "upsample_rates": list(self.vocoder_rates),
                "upsample_kernel_sizes": list(self.vocoder_kernels),
                "resblock_kernel_sizes": list(self.vocoder_resblock_kernels),
                "resblock_dilation_sizes": [[1, 3, 5] for _ in self.vocoder_resblock_kernels],
            },
        }
        return Qwen2_5OmniConfig(thinker_config=thinker, talker_config=talker, token2wav_config=token2wav)

    def generation_config(self) -> dict[str, Any]:
        """generation_config.json: transformers' own keys, and how Token2Wav solves its ODE."""
        ids = self.special_ids()
        return {
            "eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]],
            "pad_token_id": ids["<|endoftext|>"],
            "do_sample": False,
            "token2wav": {
                "solver": self.ode_solver,
                "evaluations": self.ode_evaluations,
                "guidance_scale": self.guidance_scale,
            },
        }


# The smallest shape that still exercises every rule: windows and full attention, grouped heads, two shards.
TINY = Blueprint(
    vocab_size=256 + len(SPECIAL_TOKENS),
    system_prompt="You are Tandem.",
    hidden=64,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    intermediate=96,
    mrope_section=(2, 3, 3),
    audio_width=32,
    audio_layers=2,
    audio_heads=2,
    audio_ffn=64,
    vision_width=32,
    vision_depth=2,
    vision_heads=2,
    vision_ffn=48,
    vision_full_layers=(1,),
    talker_hidden=48,
    talker_layers=2,
    talker_heads=3,
    talker_kv_heads=1,
    talker_intermediate=64,
    codes=40,
    dit_embeds=47,  # control codes too: an untrained Talker draws any of them
    dit_hidden=32,
    dit_layers=4,
    dit_heads=2,
    dit_emb=32,
    dit_look_ahead=(2,),
    dit_look_backward=(0, 3),
    speaker_emb=16,
    speaker_channels=(16, 16, 16, 16, 48),
    vocoder_channels=32,
    ode_solver="rk4",
    ode_evaluations=12,
    guidance_scale=0.5,
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

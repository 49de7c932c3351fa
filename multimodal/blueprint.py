"""The sizes of a small Qwen2.5-Omni checkpoint, and the configurations that follow from them. `checkpoint_files`
writes its files."""

from __future__ import annotations

from dataclasses import dataclass
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

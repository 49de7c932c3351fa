"""The sizes of `models/omni-nano`."""

from __future__ import annotations

from multimodal.blueprint import Blueprint

NANO = Blueprint(
    vocab_size=4096,
    system_prompt="You are Tandem.",
    hidden=384,
    layers=8,
    heads=6,
    kv_heads=2,
    head_dim=64,
    intermediate=1024,
    mrope_section=(8, 12, 12),
)
VOICES = ("Nova", "Reed")  # one female (taught by flite slt), one male (flite rms); bos tokens <tts_voice_0>, <tts_voice_1>

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
    # One frequency after the other goes to time, height and width, so that each axis has the whole range. In three long
    # runs, width would only turn once in thousands of places, and a picture is at most 12 places wide.
    mrope_section=(1,) * 32,
    rope_theta=10_000.0,
)
VOICES = (
    "Nova",
    "Reed",
)  # one female (taught by flite slt), one male (flite rms); bos tokens <tts_voice_0>, <tts_voice_1>

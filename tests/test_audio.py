"""Sound to features to embeddings: equal to transformers' one-shot code, whole, in chunks, and as it arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multimodal.audio import DYNAMIC_RANGE, AudioEncoder, AudioStream, token_count
from multimodal.checkpoint import load
from multimodal.media import AudioClip

RATE = 16_000


@pytest.fixture(scope="module")
def encoder(tiny_checkpoint: Path) -> AudioEncoder:
    return load(tiny_checkpoint, speech=False).thinker.audio


@pytest.fixture(scope="module")
def processor(tiny_checkpoint: Path) -> Any:
    from transformers import Qwen2_5OmniProcessor

    return Qwen2_5OmniProcessor.from_pretrained(tiny_checkpoint)


def noise(samples: int, seed: int, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def tones(seconds: float, seed: int) -> np.ndarray:
    """A few gliding tones with silences between them, so that much of the spectrum lies under the floor."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * (f * time + 30 * time**2)) for f in rng.uniform(150, 3000, 4))
    return (0.1 * wave * (np.sin(2 * np.pi * 0.7 * time) > 0)).astype(np.float32)


def clip(samples: np.ndarray) -> AudioClip:
    return AudioClip(samples, RATE)


SOUNDS = {
    "noise": noise(40_000, 1),
    "tones and silences": tones(3.3, 2),
    "not a multiple of the hop": noise(16_083, 3),
    "one window": noise(400, 4),
    "exactly two seconds": noise(32_000, 5),
    "one frame over two seconds": noise(32_160, 6),
    "silence": np.zeros(20_000, np.float32),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_features_equal_the_processor_s_on_its_valid_frames(encoder: AudioEncoder, processor: Any, name: str) -> None:
    expected = processor.feature_extractor(
        SOUNDS[name], sampling_rate=RATE, padding="max_length", return_attention_mask=True, return_tensors="pt"
    )
    valid = int(expected["attention_mask"].sum())
    ours = encoder.features(clip(SOUNDS[name]))
    assert ours.shape == (128, valid)
    # float32 against float32 over a 300 s transform; the values span about 2.
    torch.testing.assert_close(ours, expected["input_features"][0, :, :valid], atol=2e-5, rtol=0)


@pytest.mark.parametrize("seconds", [0.05, 0.4, 1.99, 2.0, 2.01, 2.02, 2.03, 5.3])
def test_encoding_in_chunks_equals_the_tower_on_the_whole_clip(encoder: AudioEncoder, seconds: float) -> None:
    features = encoder.features(clip(noise(round(seconds * RATE), 7)))
    with torch.inference_mode():
        whole = encoder.tower(features, feature_lens=torch.tensor([features.shape[1]])).last_hidden_state
    chunked = encoder.encode(features)
    assert chunked.shape == whole.shape
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [*range(1, 12), 198, 199, 200, 201, 202, 203, 399, 400, 401, 403, 1001])
def test_token_count_is_the_number_of_embeddings(encoder: AudioEncoder, processor: Any, frames: int) -> None:
    from transformers.models.qwen2_5_omni.processing_qwen2_5_omni import _get_feat_extract_output_lengths

    assert token_count(frames) == max(0, int(_get_feat_extract_output_lengths(torch.tensor(frames))))
    assert len(encoder.encode(torch.zeros(128, frames))) == token_count(frames)


def test_two_seconds_of_sound_are_fifty_tokens() -> None:
    assert token_count(200) == 50


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 161, 479, 480, 481, 700])
def test_very_short_clips_have_a_token_and_the_stream_agrees(encoder: AudioEncoder, samples: int) -> None:
    wave = noise(samples, 8)
    features = encoder.features(clip(wave))
    assert token_count(features.shape[1]) == len(encoder.encode(features)) >= 1
    torch.testing.assert_close(stream_encode(encoder, wave, [samples]), encoder.encode(features), atol=1e-5, rtol=0)


def test_a_clip_of_another_rate_is_refused(encoder: AudioEncoder) -> None:
    with pytest.raises(AssertionError, match="16000"):
        encoder.features(AudioClip(noise(8000, 1), 8000))


def stream_encode(encoder: AudioEncoder, wave: np.ndarray, sizes: list[int]) -> torch.Tensor:
    stream = AudioStream(encoder)
    parts, start = [], 0
    for size in sizes:
        parts += stream.push(wave[start : start + size])
        start += size
    parts += stream.push(wave[start:])
    parts += stream.finish()
    return torch.cat(parts) if parts else torch.zeros(0, encoder.tower.proj.out_features)


def random_sizes(total: int, largest: int, seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(int(rng.integers(0, largest + 1)))
    return sizes


@pytest.mark.parametrize("largest", [160, 399, 1600, 5000, 40_000])
@pytest.mark.parametrize("seconds", [1.37, 4.0, 6.81])
def test_a_stream_equals_the_whole_clip_where_the_loudest_part_comes_first(
    encoder: AudioEncoder, seconds: float, largest: int
) -> None:
    wave = tones(seconds, 9)
    wave[:800] = np.sin(2 * np.pi * 440 * np.arange(800) / RATE).astype(np.float32)  # a click far above the rest
    whole = encoder.encode(encoder.features(clip(wave)))
    streamed = stream_encode(encoder, wave, random_sizes(len(wave), largest, int(largest * seconds)))
    torch.testing.assert_close(streamed, whole, atol=2e-5, rtol=0)


def test_each_full_chunk_comes_as_soon_as_its_frames_are_certain(encoder: AudioEncoder) -> None:
    stream = AudioStream(encoder)
    wave = noise(3 * RATE, 10)
    needed = 199 * 160 + 200  # the last frame of the chunk looks half a window ahead
    assert stream.push(wave[: needed - 1]) == []
    (chunk,) = stream.push(wave[needed - 1 : needed])
    assert chunk.shape == (50, encoder.tower.proj.out_features)


def test_a_later_peak_changes_only_bins_under_the_final_floor(encoder: AudioEncoder) -> None:
    """The floor is the one part of the front end that is not causal; its whole effect is bounded here.

    A bin differs by at most (final floor − floor of that time) / 4, and only if it lies under the final floor.
    """
    wave = tones(6.0, 11)
    wave[: 4 * RATE] *= 0.05  # 26 dB quieter than what comes: power 2.6 lower in log10
    log_mel = encoder.log_mel(torch.from_numpy(wave))
    final_floor = log_mel.max() - DYNAMIC_RANGE
    seen: list[torch.Tensor] = []
    encode_chunk = encoder.encode_chunk
    encoder.encode_chunk = lambda chunk: (seen.append(chunk), encode_chunk(chunk))[1]
    try:
        streamed = stream_encode(encoder, wave, random_sizes(len(wave), 3000, 12))
    finally:
        del encoder.encode_chunk
    features, whole = torch.cat(seen, dim=1), encoder.features(clip(wave))
    assert features.shape == whole.shape and len(streamed) == token_count(whole.shape[1])
    difference = (features - whole).abs()
    early = log_mel[:, : features.shape[1]].cummax(dim=1).values.max(dim=0).values  # a lower bound of the peak used
    bound = (log_mel.max() - early) / 4
    assert (difference <= bound[None] + 2e-5).all()
    assert difference[log_mel > final_floor].max() < 2e-5, "audible bins are exact"
    assert difference.max() > 0.1, "the case is meant to show the difference"
    assert difference[:, 401:].max() < 2e-5, "after the peak the stream equals the whole clip"
    assert (features <= whole + 2e-5).all(), "a floor of its time is never higher than the final one"

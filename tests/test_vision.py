"""Pictures and frames to patches to embeddings: equal to transformers' processors and tower, frame by frame too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multimodal import vision
from multimodal.checkpoint import load
from multimodal.errors import MediaError
from multimodal.media import Picture
from multimodal.vision import VisionEncoder

# height, width: square, wide, tall, tiny, a multiple of nothing, larger than the largest, very long and thin
SIZES = [(112, 112), (130, 470), (470, 130), (9, 13), (131, 97), (700, 900), (40, 1500)]


@pytest.fixture(scope="module")
def encoder(tiny_checkpoint: Path) -> VisionEncoder:
    return load(tiny_checkpoint, speech=False).thinker.vision


@pytest.fixture(scope="module")
def processor(tiny_checkpoint: Path) -> Any:
    from transformers import Qwen2_5OmniProcessor

    return Qwen2_5OmniProcessor.from_pretrained(tiny_checkpoint)


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Path) -> Any:
    """transformers' own tower, untouched."""
    from transformers import Qwen2_5OmniForConditionalGeneration

    return Qwen2_5OmniForConditionalGeneration.from_pretrained(tiny_checkpoint).eval().thinker.model.visual


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)


def encoded_by(tower: Any, patches: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    with torch.inference_mode():
        return tower(patches, grid_thw=torch.tensor([grid])).pooler_output


@pytest.mark.parametrize("size", SIZES)
def test_picture_patches_equal_the_processor_s(encoder: VisionEncoder, processor: Any, size: tuple[int, int]) -> None:
    image = pixels(*size)
    expected = processor(text="<|IMAGE|>", images=[image], return_tensors="pt")
    patches, grid = encoder.picture_patches(Picture(image))
    assert grid == tuple(expected["image_grid_thw"][0].tolist())
    assert grid[0] == 1 and grid[1] % 2 == 0 and grid[2] % 2 == 0
    assert 112 * 112 <= grid[1] * grid[2] * 14 * 14 <= 336 * 336, "within the checkpoint's pixel budget"
    torch.testing.assert_close(patches, expected["pixel_values"], atol=0, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_is_a_quarter_as_many_tokens_as_patches(
    encoder: VisionEncoder, reference: Any, size: tuple[int, int]
) -> None:
    patches, grid = encoder.picture_patches(Picture(pixels(*size)))
    encoded = encoder.encode(patches, grid)
    assert len(encoded) == grid[1] * grid[2] // 4
    torch.testing.assert_close(encoded, encoded_by(reference, patches, grid), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(2, 56, 56), (4, 112, 140), (6, 28, 280), (8, 252, 84)])
def test_frame_patches_equal_the_video_processor_s(
    encoder: VisionEncoder, processor: Any, shape: tuple[int, int, int]
) -> None:
    frames = pixels(*shape)
    expected = processor.video_processor(
        videos=[torch.from_numpy(frames).permute(0, 3, 1, 2)],
        do_resize=False,
        do_sample_frames=False,
        return_tensors="pt",
    )
    patches, grid = encoder.frame_patches(frames)
    assert grid == tuple(expected["video_grid_thw"][0].tolist())
    torch.testing.assert_close(patches, expected["pixel_values_videos"], atol=1e-5, rtol=0)


def test_a_picture_s_patches_are_those_of_two_equal_frames(encoder: VisionEncoder) -> None:
    image = pixels(112, 140)  # a size that the processor keeps
    patches, grid = encoder.picture_patches(Picture(image))
    twice, same_grid = encoder.frame_patches(np.stack([image, image]))
    assert grid == same_grid
    torch.testing.assert_close(patches, twice, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(8, 56, 56), (6, 112, 252), (4, 280, 28), (6, 140, 196)])
def test_encoding_one_temporal_patch_at_a_time_equals_the_tower_on_the_whole(
    encoder: VisionEncoder, reference: Any, shape: tuple[int, int, int]
) -> None:
    frames = pixels(*shape)
    patches, grid = encoder.frame_patches(frames)
    whole = encoded_by(reference, patches, grid)
    torch.testing.assert_close(encoder.encode(patches, grid), whole, atol=1e-5, rtol=0)
    pieces = []
    for first in range(0, len(frames), 2):
        two, small_grid = encoder.frame_patches(frames[first : first + 2])
        assert small_grid == (1, *grid[1:])
        pieces.append(encoder.encode(two, small_grid))
    torch.testing.assert_close(torch.cat(pieces), whole, atol=1e-5, rtol=0)


def test_a_long_video_is_encoded_in_calls_of_bounded_size(
    encoder: VisionEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches, grid = encoder.frame_patches(pixels(14, 56, 84))
    whole = encoder.encode(patches, grid)
    sizes: list[int] = []
    forward = encoder.tower.forward
    monkeypatch.setattr(encoder.tower, "forward", lambda x, **k: (sizes.append(len(x)), forward(x, **k))[1])
    monkeypatch.setattr(vision, "PATCHES_PER_CALL_CPU", 3 * 24 + 5)
    torch.testing.assert_close(encoder.encode(patches, grid), whole, atol=1e-5, rtol=0)
    assert sizes == [72, 72, 24]


def test_a_picture_that_stands_still_is_encoded_once(
    encoder: VisionEncoder, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = pixels(2, 56, 84), pixels(3, 56, 84)[:2], pixels(4, 56, 84)[:2]
    patches, grid = encoder.frame_patches(np.concatenate([one, one, two, two, two, one, three]))
    sizes: list[int] = []
    forward = encoder.tower.forward
    monkeypatch.setattr(encoder.tower, "forward", lambda x, **k: (sizes.append(len(x)), forward(x, **k))[1])
    torch.testing.assert_close(encoder.encode(patches, grid), encoded_by(reference, patches, grid), atol=1e-5, rtol=0)
    assert sum(sizes) == 4 * 24


def test_frames_that_do_not_fit_the_patches_are_our_own_mistake(encoder: VisionEncoder) -> None:
    for shape in [(3, 56, 56), (2, 60, 56), (2, 56, 42)]:
        with pytest.raises(AssertionError):
            encoder.frame_patches(pixels(*shape))


def test_a_picture_too_thin_to_be_resized_is_refused_with_its_size(encoder: VisionEncoder) -> None:
    with pytest.raises(MediaError, match="2 × 500"):
        encoder.picture_patches(Picture(pixels(2, 500)))

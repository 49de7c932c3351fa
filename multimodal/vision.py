"""Pictures and frames → patches → vision embeddings.

Attention never crosses temporal patches (two frames each), so a video encoded as it arrives equals the whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from multimodal.errors import MediaUnreadable
from multimodal.media import Picture

Grid = tuple[int, int, int]

# Patches encoded in one call; bounds the memory of attention over long videos.
PATCHES_PER_CALL = 16_384


class VisionEncoder:
    """tower: Qwen2_5OmniVisionEncoder; processor: Qwen2VLImageProcessor (sizes, mean and deviation are used)."""

    def __init__(self, tower: Any, processor: Any) -> None:
        self.tower = tower
        self.processor = processor
        self.patch = int(processor.patch_size)
        self.temporal_patch = int(processor.temporal_patch_size)
        self.merge = int(processor.merge_size)
        self._mean = torch.tensor(processor.image_mean).view(1, 3, 1, 1)
        self._deviation = torch.tensor(processor.image_std).view(1, 3, 1, 1)

    def picture_patches(self, picture: Picture) -> tuple[torch.Tensor, Grid]:
        """Patches float32 [h·w, 3·temporal·patch²] and grid (1, h, w) of a picture, resized by the processor's rule.
        MediaUnreadable where that rule has no size for it: a side 200 times as long as the other."""
        from PIL import Image

        try:
            out = self.processor(images=[Image.fromarray(picture.pixels)], return_tensors="pt")
        except ValueError as error:
            height, width = picture.size
            refusal = f"a picture of {height} × {width} pixels cannot be resized: crop it ({error})"
            raise MediaUnreadable(refusal) from error
        t, h, w = out["image_grid_thw"][0].tolist()
        return out["pixel_values"], (t, h, w)

    def frame_patches(self, frames: np.ndarray) -> tuple[torch.Tensor, Grid]:
        """Patches and grid (t, h, w) of frames uint8 [T, H, W, 3]; T, H and W already fit the patch sizes."""
        count, height, width, _ = frames.shape
        assert count % self.temporal_patch == 0 and height % (self.patch * self.merge) == 0
        assert width % (self.patch * self.merge) == 0
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255  # [T, 3, H, W]
        pixels = (pixels - self._mean) / self._deviation
        grid = (count // self.temporal_patch, height // self.patch, width // self.patch)
        p, m = self.patch, self.merge
        blocks = pixels.reshape(grid[0], self.temporal_patch, 3, grid[1] // m, m, p, grid[2] // m, m, p)
        # t, rows of merged cells, columns of merged cells, cell row, cell column, channel, frame, y, x
        blocks = blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
        return blocks.reshape(grid[0] * grid[1] * grid[2], -1), grid  # [t·h·w, 3·temporal·p²]

    @torch.inference_mode()
    def encode(self, patches: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Embeddings [t·h·w / merge², D]."""
        t, h, w = grid
        weight = self.tower.patch_embed.proj.weight
        grids_per_call = max(1, PATCHES_PER_CALL // (h * w))
        parts = []
        for first in range(0, t, grids_per_call):
            size = min(grids_per_call, t - first)
            block = patches[first * h * w : (first + size) * h * w].to(weight.device, weight.dtype)
            shape = torch.tensor([[size, h, w]], device=weight.device)
            parts.append(self.tower(block, grid_thw=shape).pooler_output)
        return torch.cat(parts)

"""Pictures and frames → patches → vision embeddings.

Attention never crosses temporal patches (two frames each), so a video encoded as it arrives equals the whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from multimodal.attention import use_segment_attention
from multimodal.errors import MediaUnreadable
from multimodal.linear import linear
from multimodal.media import Picture

Grid = tuple[int, int, int]

# Patches encoded in one call; bounds the memory of long videos, and keeps a layer's values in a processor's cache.
PATCHES_PER_CALL = 16_384
PATCHES_PER_CALL_CPU = 1024


class VisionEncoder:
    """tower: Qwen2_5OmniVisionEncoder; processor: Qwen2VLImageProcessor (sizes, mean and deviation are used)."""

    def __init__(self, tower: Any, processor: Any) -> None:
        self.tower = tower
        self.processor = processor
        self.patch = int(processor.patch_size)
        self.temporal_patch = int(processor.temporal_patch_size)
        self.merge = int(processor.merge_size)
        use_segment_attention(tower)
        tower.patch_embed.forward = self._embed_patches
        self._mean = torch.tensor(processor.image_mean).view(3, 1)
        self._deviation = torch.tensor(processor.image_std).view(3, 1)

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
        grid = (count // self.temporal_patch, height // self.patch, width // self.patch)
        p, m = self.patch, self.merge
        blocks = torch.from_numpy(frames).reshape(
            grid[0], self.temporal_patch, grid[1] // m, m, p, grid[2] // m, m, p, 3
        )
        # t, rows of merged cells, columns of merged cells, cell row, cell column, channel, frame, y, x
        blocks = blocks.permute(0, 2, 5, 3, 6, 8, 1, 4, 7)
        patches = torch.empty(grid[0], grid[1] * grid[2], 3, self.temporal_patch * p * p)
        for block, out in zip(blocks, patches):  # one after the other: each stays in a core's cache
            out.view(block.shape).copy_(block)
            out.div_(255).sub_(self._mean).div_(self._deviation)
        return patches.view(grid[0] * grid[1] * grid[2], -1), grid  # [t·h·w, 3·temporal·p²]

    def _embed_patches(self, patches: torch.Tensor) -> torch.Tensor:
        """Rows [n, D] of patches [n, 3·temporal·patch²]: a convolution whose steps do not overlap is one product."""
        weight = self.tower.patch_embed.proj.weight
        return linear(patches.to(weight.dtype), weight.flatten(1))

    @torch.inference_mode()
    def encode(self, patches: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Embeddings [t·h·w / merge², D]. A temporal patch that equals the one before it, as on slides and in scenes
        where nothing moves, is not computed again."""
        t, h, w = grid
        weight = self.tower.patch_embed.proj.weight
        steps = patches.view(t, h * w, -1)
        new = [i == 0 or not torch.equal(steps[i], steps[i - 1]) for i in range(t)]
        first = [i for i in range(t) if new[i]]
        most = PATCHES_PER_CALL_CPU if weight.device.type == "cpu" else PATCHES_PER_CALL
        size = max(1, most // (h * w))
        parts = []
        for at in range(0, len(first), size):
            chosen = first[at : at + size]
            whole = chosen[-1] - chosen[0] == len(chosen) - 1
            block = steps[chosen[0] : chosen[-1] + 1] if whole else steps[chosen]
            shape = torch.tensor([[len(chosen), h, w]], device=weight.device)
            block = block.flatten(0, 1).to(weight.device, weight.dtype)
            parts.append(self.tower(block, grid_thw=shape).pooler_output)
        encoded = torch.cat(parts)
        if len(first) == t:
            return encoded
        shown = torch.tensor(new).cumsum(0).to(weight.device) - 1  # [t]: which of the computed ones
        return encoded.view(len(first), -1, encoded.shape[-1])[shown].flatten(0, 1)

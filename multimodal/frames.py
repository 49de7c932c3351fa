"""Decoded frames → the upright, resized frames of a clip.

The resize is torch's antialiased bicubic on 8-bit pixels, the one that transformers' image and video processors apply
to tensors. qwen-vl-utils computes the same filter in float32; the two differ by the rounding between the passes (0.1 to
0.3 of 255 on average) and by up to 8 levels where the filter overshoots at hard edges. libswscale could scale and
convert at once in half the time, but its filter has other coefficients and lands tens of levels away there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from multimodal.errors import MediaUnreadable
from multimodal.sampling import FrameBudget, frame_size, repeat_to_multiple
from multimodal.source import Health


@dataclass(frozen=True)
class Orientation:
    """How a decoded frame becomes upright: transposed first, then flipped."""

    transposed: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """pixels: [H, W, 3]"""
        pixels = pixels.transpose(1, 0, 2) if self.transposed else pixels
        pixels = pixels[::-1] if self.flip_rows else pixels
        return pixels[:, ::-1] if self.flip_columns else pixels


def upright(frame: Any) -> Orientation:
    """From a frame's display matrix (x' = a·x + c·y, y' = b·x + d·y), to the nearest quarter turn."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX" and data.buffer_size >= 36:
            a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].tolist()
            if abs(b) > abs(a):
                return Orientation(True, flip_rows=b < 0, flip_columns=c < 0)
            return Orientation(False, flip_rows=d < 0, flip_columns=a < 0)
    return Orientation()


class FrameSink:
    """Receives decoded frames in order of presentation and keeps the wanted ones, upright and resized."""

    def __init__(self, slots: dict[int, list[int]], budget: FrameBudget) -> None:
        """slots: presentation time → places of the result that show the frame of that time."""
        self._slots, self._budget = slots, budget
        self._pending = deque(sorted(slots))
        self._count = sum(len(places) for places in slots.values())
        self._frames = np.empty((0, 0, 0, 3), np.uint8)
        self._filled = np.zeros(self._count, bool)
        self._orientation = Orientation()
        self._previous: Any = None

    def take(self, frames: list[Any], health: Health) -> None:
        for frame in frames:
            if frame.is_corrupt:
                health.whole = False
                continue
            at = frame.pts if frame.pts is not None else frame.dts
            while self._pending and at is not None and self._pending[0] <= at:
                due = self._pending.popleft()
                if due == at:
                    self._keep(frame, due)
                elif self._previous is not None:  # no frame came for that time: what is on screen then
                    self._keep(self._previous, due)
            self._previous = frame

    def _keep(self, frame: Any, due: int) -> None:
        pixels = self._orientation.apply(frame.to_ndarray(format="rgb24"))
        if not self._frames.size:
            self._orientation = upright(frame)
            pixels = self._orientation.apply(pixels)
            height, width = frame_size(*pixels.shape[:2], self._count, self._budget)
            room = self._count + self._budget.temporal_patch - 1
            self._frames = np.empty((room, height, width, 3), np.uint8)
        places = self._slots[due]
        self._frames[places] = resize(pixels, *self._frames.shape[1:3])
        self._filled[places] = True

    def result(self, name: str, count: int) -> tuple[np.ndarray, slice]:
        if not self._filled.any():
            raise MediaUnreadable(f"{name} holds no frame that can be decoded: export or download it again")
        good = np.flatnonzero(self._filled)
        first, end = int(good[0]), int(good[-1]) + 1
        for place in np.flatnonzero(~self._filled[first:end]) + first:
            self._frames[place] = self._frames[place - 1]
        repeated = repeat_to_multiple(end - first, self._budget.temporal_patch)
        self._frames[end : end + repeated] = self._frames[end - 1]
        return self._frames[first : end + repeated], slice(first, end)


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [H, W, 3] → uint8 [height, width, 3], bicubic with antialiasing."""
    if pixels.shape[:2] == (height, width):
        return pixels
    planes = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]  # [1, 3, H, W]
    small = torch.nn.functional.interpolate(planes, size=(height, width), mode="bicubic", antialias=True)
    return small[0].permute(1, 2, 0).numpy()  # [height, width, 3]

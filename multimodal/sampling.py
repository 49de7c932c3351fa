"""Which frames of a video are kept, at what size, and which packets must be decoded to get them.

Frame counts and sizes follow qwen-vl-utils; the times come from the file's own presentation times. Nothing here
opens a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from multimodal.errors import MediaError, MediaTooLarge

SIDE_RATIO = 200  # qwen-vl-utils resizes nothing narrower than 1 : 200
RESTART_PACKETS = 4  # restarting a decoder costs about as much as decoding this many packets


@dataclass(frozen=True)
class FrameBudget:
    """How many frames of a clip are kept and how large. The defaults are those of qwen-vl-utils.

    fps: frames wanted per second, where min_frames … max_frames allow.
    min_pixels, max_pixels: bounds of height × width of one frame.
    total_pixels: bound of all frames together, counted per temporal patch.
    factor: height and width are multiples of it (patch size × merge size).
    temporal_patch: frames that make one grid step.
    """

    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 768
    min_pixels: int = 128 * 28 * 28
    max_pixels: int = 768 * 28 * 28
    total_pixels: float = 128_000 * 28 * 28 * 0.9
    factor: int = 28
    temporal_patch: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise MediaError(f"{self.fps} frames a second cannot be sampled: give a rate above 0 and up to 1000")
        if not 2 <= self.min_frames <= self.max_frames:
            raise MediaError(
                f"a clip of {self.min_frames} to {self.max_frames} frames is not possible: "
                "give at least 2, and no more at least than at most"
            )
        if self.factor < 1 or self.temporal_patch < 1:
            raise MediaError("a frame budget needs a factor and a temporal patch of at least 1")
        if not self.factor**2 <= self.min_pixels <= self.max_pixels or not self.total_pixels > 0:
            raise MediaError(
                f"frames of {self.min_pixels} to {self.max_pixels} pixels are not possible: "
                f"give at least {self.factor**2}, and no more at least than at most"
            )

    @classmethod
    def from_preprocessor(cls, config: Mapping[str, Any], **overrides: Any) -> FrameBudget:
        """The budget that fits a checkpoint's preprocessor configuration (preprocessor_config.json as a mapping).

        Patch, merge and temporal patch sizes set the factor, and the token bounds of qwen-vl-utils scale with it.
        A `max_pixels` below that bound marks a checkpoint made for smaller frames: then its own `min_pixels` and
        `max_pixels` hold. overrides: fields of `FrameBudget`, applied last.
        """
        size = config.get("size") or {}
        factor = int(config.get("patch_size", 14)) * int(config.get("merge_size", 2))
        area = factor * factor
        lowest = int(config.get("min_pixels") or size.get("shortest_edge") or 128 * area)
        highest = int(config.get("max_pixels") or size.get("longest_edge") or 768 * area)
        smaller = highest < 768 * area
        values: dict[str, Any] = {
            "factor": factor,
            "temporal_patch": int(config.get("temporal_patch_size", 2)),
            "min_pixels": lowest if smaller else 128 * area,
            "max_pixels": highest if smaller else 768 * area,
            "total_pixels": 128_000 * area * 0.9,
        }
        return cls(**(values | overrides))


DEFAULT_BUDGET = FrameBudget()


@dataclass(frozen=True, eq=False)
class FrameChoice:
    """indices: int64 [T] into the frames in order of presentation; times_sec: float64 [T]; fps: sampled rate."""

    indices: np.ndarray
    times_sec: np.ndarray
    fps: float


def choose_frames(times_sec: np.ndarray, nominal_fps: float, tick_sec: float, budget: FrameBudget) -> FrameChoice:
    """Choose frames from the sorted presentation times of all frames, float64 [N], N ≥ 1.

    At a constant rate the indices are qwen-vl-utils' own: evenly spaced from the first to the last. At a variable
    rate the samples are evenly spaced in time, and each takes the frame that is on screen then; a frame that is
    still on screen at a later sample carries that sample's time.
    nominal_fps: the container's rate, or 0 where it names none; tick_sec: the container's time unit.
    """
    import torch

    total = len(times_sec)
    assert total > 0
    constant = is_constant_rate(times_sec, nominal_fps, tick_sec)
    if constant:
        rate = nominal_fps
    else:
        span = float(times_sec[-1] - times_sec[0])
        last = span / (total - 1) if total > 1 else 1 / (nominal_fps or budget.fps)
        rate = total / (span + last) if span + last > 0 else budget.fps
    if total == 1:
        return FrameChoice(np.zeros(1, np.int64), times_sec.copy(), fps=budget.temporal_patch * rate)
    # At a variable rate, a hair more than the clip's length keeps rounding from losing the frame of a whole second.
    kept = frame_count(total, rate if constant else rate / (1 + 1e-9), budget)
    fps = kept / total * rate
    if constant:
        indices = torch.linspace(0, total - 1, kept).round().long().numpy()
        return FrameChoice(indices, times_sec[indices], fps)
    targets = np.linspace(times_sec[0], times_sec[-1], kept)
    indices = np.searchsorted(times_sec, targets + max(tick_sec / 2, 1e-6), side="right") - 1
    held = np.concatenate([[False], indices[1:] == indices[:-1]])
    return FrameChoice(indices, np.where(held, targets, times_sec[indices]), fps)


def is_constant_rate(times_sec: np.ndarray, nominal_fps: float, tick_sec: float) -> bool:
    """Whether every frame stands where `nominal_fps` puts it, up to the rounding of the container's time unit."""
    if not nominal_fps > 0:
        return False
    ideal = times_sec[0] + np.arange(len(times_sec)) / nominal_fps
    slack = min(2 * tick_sec, 0.5 / nominal_fps) + 1e-6
    return bool(np.abs(times_sec - ideal).max() <= slack)


def frame_count(total: int, rate: float, budget: FrameBudget) -> int:
    """Frames to keep of `total` at `rate` frames a second: qwen-vl-utils' rule, always even and at least 2."""
    from qwen_vl_utils.vision_process import smart_nframes

    assert total >= 2
    most = max(2, min(budget.max_frames, total))
    if total / rate * budget.fps > total:  # smart_nframes logs a warning there, and the answer is known
        return most // 2 * 2
    ele = {"fps": budget.fps, "min_frames": min(budget.min_frames, most), "max_frames": most}
    return max(2, smart_nframes(ele, total_frames=total, video_fps=rate))


def frame_size(height: int, width: int, frames: int, budget: FrameBudget) -> tuple[int, int]:
    """(height, width) that all frames of a clip of `frames` frames are resized to: qwen-vl-utils' rule.

    Raises MediaTooLarge where one side is more than 200 times the other.
    """
    from qwen_vl_utils.vision_process import smart_resize

    if max(height, width) > SIDE_RATIO * min(height, width):
        raise MediaTooLarge(
            f"frames of {width}×{height} are too narrow: crop them to a side ratio of at most {SIDE_RATIO}"
        )
    share = budget.total_pixels / frames * budget.temporal_patch
    most: Any = max(min(budget.max_pixels, share), int(budget.min_pixels * 1.05))
    sides = smart_resize(height, width, budget.factor, min_pixels=budget.min_pixels, max_pixels=most)
    # smart_resize rounds a narrow side down to 0
    return max(budget.factor, sides[0]), max(budget.factor, sides[1])


def decode_spans(pts: np.ndarray, is_key: np.ndarray, wanted: np.ndarray) -> list[tuple[int, int]]:
    """The runs of packets [first, last] that must be decoded to get the packets `wanted`; the rest may be skipped.

    pts: int64 [P], is_key: bool [P], in decoding order; wanted: packet numbers, any order. A packet needs everything
    from the last keyframe that is before it both in decoding order and in time: a picture that precedes its keyframe
    in time leans on the group before. Runs that nearly touch are joined.
    """
    keys = np.flatnonzero(is_key)
    needed: list[tuple[int, int]] = []
    for packet in np.unique(wanted).tolist():
        before = keys[: np.searchsorted(keys, packet, side="right")]
        usable = before[pts[before] <= pts[packet]]
        needed.append((int(usable[-1]) if len(usable) else 0, packet))
    spans: list[tuple[int, int]] = []
    for first, last in sorted(needed):
        if spans and first <= spans[-1][1] + RESTART_PACKETS:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last))
        else:
            spans.append((first, last))
    return spans


def repeat_to_multiple(count: int, multiple: int) -> int:
    """How many times the last of `count` frames is added so that they fill whole temporal patches."""
    return math.ceil(count / multiple) * multiple - count

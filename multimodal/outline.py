"""What a video holds and which frames would be taken from it, from its packets alone: about a second an hour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from multimodal.frames import upright
from multimodal.limits import DEFAULT_LIMITS, MediaLimits
from multimodal.packets import index_packets, presented
from multimodal.sampling import FrameBudget, choose_frames, frame_size, repeat_to_multiple
from multimodal.source import Health, Source, decode_packet, discard_others, open_container, packets_of, video_stream

_MISSING_SEC = 1.0  # a file that ends this much before its header says was cut short


@dataclass(frozen=True)
class Sampled:
    """What `read_video` would take from a part: frames (even), frames a second, and their height and width."""

    frames: int
    fps: float
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Outline:
    """shown_sec: float64 [N], presentation times of all frames from the first; size: upright (height, width).

    duration_sec: to the end of the last frame. sound_sec: where the sound begins and ends, or None without sound.
    declared_sec: where the header says that the file ends, 0 where it does not. whole: False where packets are damaged
    or missing.
    """

    shown_sec: np.ndarray
    size: tuple[int, int]
    nominal_fps: float
    tick_sec: float
    duration_sec: float
    sound_sec: tuple[float, float] | None
    declared_sec: float
    whole: bool

    def sampled(self, budget: FrameBudget, limits: MediaLimits, start_sec: float, end_sec: float) -> Sampled | None:
        """The frames that `read_video` takes between two times, None where there is none."""
        inside = (self.shown_sec >= start_sec - self.tick_sec / 2) & (self.shown_sec <= end_sec + self.tick_sec / 2)
        times = self.shown_sec[inside]
        if not len(times):
            return None
        most = min(budget.max_frames, limits.video_frames)
        budget = replace(budget, min_frames=min(budget.min_frames, most), max_frames=most)
        choice = choose_frames(times, self.nominal_fps, self.tick_sec, budget)
        count = len(choice.indices)
        height, width = frame_size(*self.size, count, budget)
        return Sampled(count + repeat_to_multiple(count, budget.temporal_patch), choice.fps, height, width)


def outline(source: Path | bytes, limits: MediaLimits = DEFAULT_LIMITS) -> Outline:
    """Read the packets' times and decode one frame, for its orientation. Raises as `read_video` does."""
    found, health = Source.of(source), Health()
    index = index_packets(found, limits, health)
    packets, shown_sec = presented(found, index, None, None)
    with open_container(found) as container:
        stream = video_stream(container)
        height, width = stream.height, stream.width
        discard_others(container, stream)
        first = next((f for p in packets_of(container, stream, Health()) for f in decode_packet(p, Health())), None)
        if first is not None and upright(first).transposed:
            height, width = width, height
    zero_sec = index.zero_pts * index.tick_sec
    sound_sec = _sound_extent(found, zero_sec) if index.has_sound else None
    span = float(shown_sec[-1])
    frame_sec = 1 / index.nominal_fps if index.nominal_fps > 0 else span / max(1, len(packets) - 1)
    duration_sec = span + frame_sec
    reached = max(duration_sec, sound_sec[1] if sound_sec else 0.0)
    whole = health.whole and reached >= index.end_sec - _MISSING_SEC
    return Outline(
        *(shown_sec, (height, width), index.nominal_fps, index.tick_sec),
        *(duration_sec, sound_sec, index.end_sec, whole),
    )


def _sound_extent(found: Source, zero_sec: float) -> tuple[float, float] | None:
    """Where the first sound track's packets begin and end, counted from the first frame."""
    first = last = None
    with open_container(found) as container:
        stream = next((s for s in container.streams.audio if s.codec_context is not None), None)
        if stream is None:
            return None
        discard_others(container, stream)
        for packet in packets_of(container, stream, Health()):
            if packet.size and packet.pts is not None:
                begin = float(packet.pts * packet.time_base)
                first = begin if first is None else min(first, begin)
                last = max(last or begin, begin + float((packet.duration or 0) * packet.time_base))
    return None if first is None or last is None else (first - zero_sec, last - zero_sec)

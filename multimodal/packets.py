"""The packets of a video track: which there are, when they are shown, where to read them from. Nothing is decoded."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import av.error
import numpy as np
from av.container import InputContainer

from multimodal.errors import MediaError, MediaTooLarge, MediaUnreadable
from multimodal.limits import MediaLimits
from multimodal.source import (
    Health,
    Source,
    discard_others,
    open_container,
    packets_of,
    seeks_exactly,
    video_stream,
)

REORDER_PACKETS = 32  # within so many packets a frame has come, and from a keyframe on the first one shown
_SEEK_BACK_SEC = (0.0, 2.0, 10.0, 60.0)  # how far before a window to look for its keyframe, then the file's start


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """The packets of a video track in decoding order, from the keyframe before a window to its end.

    pts: int64 [P]; is_key, is_shown: bool [P]; zero_pts: the track's first frame; seek_pts: where reading starts
    (None: at the start of the file); end_sec: where the header says that the longest track ends, counted from the first
    frame (0: it does not say, or only a part was read); has_sound: whether there is a sound track.
    """

    pts: np.ndarray
    is_key: np.ndarray
    is_shown: np.ndarray
    zero_pts: int
    tick_sec: float
    nominal_fps: float
    seek_pts: int | None
    end_sec: float
    has_sound: bool


def index_packets(
    found: Source, limits: MediaLimits, health: Health, start_sec: float | None = None, end_sec: float | None = None
) -> PacketIndex:
    """List the packets of the video track, for a window only those from the keyframe before it to its end."""
    pts: list[int] = []
    is_key: list[bool] = []
    is_shown: list[bool] = []
    seek_pts = None
    with open_container(found) as container:
        stream = _checked_stream(found, container, limits)
        tick_sec = float(stream.time_base)
        packets = packets_of(container, stream, health)
        opening = list(itertools.islice(packets, REORDER_PACKETS))
        zero_pts = _first_shown(opening)
        last_pts = None if end_sec is None else zero_pts + round(end_sec / tick_sec)
        if start_sec and seeks_exactly(container):
            seek_pts = _seek_point(container, stream, zero_pts, zero_pts + round(start_sec / tick_sec))
        if seek_pts is not None:
            container.seek(seek_pts, stream=stream)
            packets, opening = packets_of(container, stream, health), []
        for packet in itertools.chain(opening, packets):
            if not packet.size:
                continue
            if last_pts is not None and packet.dts is not None and packet.dts > last_pts:
                break
            at = time_of(packet)
            health.whole &= not packet.is_corrupt
            pts.append((pts[-1] + 1 if pts else zero_pts) if at is None else at)
            is_key.append(packet.is_keyframe)
            is_shown.append(not packet.is_discard)
        declared = stream.frames if seek_pts is None and last_pts is None else 0
        end_of_file_sec = 0.0
        if container.duration and seek_pts is None and last_pts is None:
            end_of_file_sec = ((container.start_time or 0) + container.duration) / 1e6 - zero_pts * tick_sec
        nominal_fps = float(stream.average_rate or 0)
        has_sound = bool(container.streams.audio)
    if not pts:
        raise MediaUnreadable(f"{found.name} holds no readable frames: export or download it again")
    if len(pts) < declared:
        health.whole = False
    index = PacketIndex(
        *(np.array(pts, np.int64), np.array(is_key, bool), np.array(is_shown, bool)),
        *(zero_pts, tick_sec, nominal_fps, seek_pts, end_of_file_sec, has_sound),
    )
    # What comes before the first keyframe, in decoding order or in time, leans on frames that are not there.
    if index.is_key.any():
        first = int(index.is_key.argmax())
        index.is_shown[:first] = False
        index.is_shown[index.pts < index.pts[first]] = False
    return index


def presented(
    found: Source, index: PacketIndex, start_sec: float | None, end_sec: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Packet numbers of a window in order of presentation, int64 [N], and their times from the first frame, [N]."""
    packets = np.flatnonzero(index.is_shown)
    packets = packets[np.argsort(index.pts[packets], kind="stable")]
    shown_sec = (index.pts[packets] - index.zero_pts) * index.tick_sec
    low, high = start_sec or -np.inf, np.inf if end_sec is None else end_sec
    inside = (shown_sec >= low - index.tick_sec / 2) & (shown_sec <= high + index.tick_sec / 2)
    if inside.any():
        return packets[inside], shown_sec[inside]
    if len(shown_sec) and shown_sec[-1] < low:
        raise MediaError(f"{found.name} ends at {shown_sec[-1]:.1f} s: start before that")
    raise MediaUnreadable(f"{found.name} has no frame there: choose a longer part, or export it again")


def time_of(packet: Any) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts


def _first_shown(packets: list[Any]) -> int:
    """The presentation time of a track's first frame, from its first packets."""
    timed = [(packet, at) for packet in packets if packet.size and (at := time_of(packet)) is not None]
    key_pts = next((at for packet, at in timed if packet.is_keyframe), None)
    return min((at for packet, at in timed if not packet.is_discard and (key_pts is None or at >= key_pts)), default=0)


def _seek_point(container: InputContainer, stream: Any, zero_pts: int, target_pts: int) -> int | None:
    """A time to seek to that lands on a keyframe shown no later than `target_pts`; None: the start of the file."""
    for back_sec in _SEEK_BACK_SEC:
        seek_pts = target_pts - round(back_sec / float(stream.time_base))
        if seek_pts <= zero_pts:
            return None
        try:
            container.seek(seek_pts, stream=stream)
            first = next((p for p in container.demux(stream) if p.size and p.is_keyframe), None)
        except (av.error.FFmpegError, OSError):
            return None
        if first is not None and first.pts is not None and first.pts <= target_pts:
            return seek_pts
    return None


def _checked_stream(found: Source, container: InputContainer, limits: MediaLimits) -> Any:
    stream = video_stream(container)
    if stream is None:
        if container.streams.audio:
            raise MediaUnreadable(f"{found.name} has sound but no pictures: hand it over as sound")
        raise MediaUnreadable(f"{found.name} has no picture track that can be decoded: export it as MP4 (H.264)")
    if not stream.width or not stream.height or not stream.time_base:
        raise MediaUnreadable(f"{found.name} names no frame size: export or download it again")
    if stream.width * stream.height > limits.video_frame_pixels:
        raise MediaTooLarge(
            f"{found.name} has frames of {stream.width}×{stream.height} pixels, and they may have "
            f"{limits.video_frame_pixels / 1e6:.1f} million: scale it down"
        )
    discard_others(container, stream)
    return stream

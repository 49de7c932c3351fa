"""Video files → VideoClip: frames sampled by their presentation times, resized as they come, never all in memory.

Three passes over a file, each with its own demuxer: the packets' times and keyframes (nothing is decoded), the frames
(only the packets that the sampled frames lean on are decoded, in one sweep from keyframe to keyframe), and the sound.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from av.container import InputContainer

from multimodal.errors import MediaError, MediaTooLarge, MediaUnreadable
from multimodal.frames import FrameSink
from multimodal.limits import DEFAULT_LIMITS, MediaLimits
from multimodal.media import AudioClip, VideoClip
from multimodal.sampling import DEFAULT_BUDGET, FrameBudget, choose_frames, decode_spans
from multimodal.soundtrack import MonoTrack, decode_track
from multimodal.source import (
    CODEC_OPTIONS,
    Health,
    Source,
    decode_packet,
    discard_others,
    open_container,
    packets_of,
    picture_format,
    seeks_exactly,
    video_stream,
)

SOUND_HZ = 16_000
_LARGE_FRAME_PIXELS = 4096 * 2304  # above it one decoding thread, because each holds frames of its own
_MISSING_SEC = 1.0  # a file that ends this much before its header says was cut short
_REORDER_PACKETS = 32  # within so many packets from a keyframe, the first frame shown has come
_SKIPS_EXACTLY = ("h264", "hevc")  # decoders that judge frame by frame what no other frame leans on
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


def read_video(
    source: Path | bytes,
    budget: FrameBudget = DEFAULT_BUDGET,
    limits: MediaLimits = DEFAULT_LIMITS,
    audio: bool = True,
    start_sec: float | None = None,
    end_sec: float | None = None,
    threads: int | None = None,
) -> VideoClip:
    """Sample a video, or the part of it from `start_sec` to `end_sec`.

    Times count from the first frame of the file. `times_sec[i]` is the presentation time of `frames[i]`, or a later
    one at which it is still on screen. `fps` is frames kept ÷ length, as qwen-vl-utils computes it; `duration_sec` is
    the length of the part that was read. The sound comes as 16 kHz mono with its offset to the first frame; audio is
    None where there is none, or `audio` is False.
    A damaged middle freezes the last good frame, damaged ends are left out; both, like damaged sound, clear
    `complete`. threads: of the picture decoder, None for up to four. Raises MediaUnreadable where there is no picture
    track or nothing could be decoded, MediaTooLarge over a limit, MediaError for a part that does not exist.
    """
    found = Source.of(source)
    if isinstance(found.data, bytes):
        found.check_size(limits.video_upload_bytes, "an uploaded video")
    _check_window(start_sec, end_sec)
    head = found.head()
    if picture_format(head):
        raise MediaUnreadable(f"{found.name} is a picture, not a video: hand it over as a picture")
    health = Health()
    index = index_packets(found, limits, health, start_sec, end_sec)
    packets, shown_sec = presented(found, index, start_sec, end_sec)
    most = min(budget.max_frames, limits.video_frames)
    choice = choose_frames(
        shown_sec,
        index.nominal_fps,
        index.tick_sec,
        replace(budget, min_frames=min(budget.min_frames, most), max_frames=most),
    )
    frames, present = decode_frames(found, index, packets[choice.indices], budget, health, threads=threads)
    times_sec = choice.times_sec[present]
    repeated = 1 + np.arange(len(frames) - len(times_sec))
    times_sec = np.concatenate([times_sec, times_sec[-1] + repeated / choice.fps])
    sound = None
    if audio:
        sound = _read_sound(found, limits, health, index, (start_sec, end_sec), float(times_sec[0]))
    reached_sec = max(shown_sec[-1], 0.0 if sound is None else times_sec[0] + sound.start_sec + sound.duration_sec)
    if (audio or not index.has_sound) and reached_sec < index.end_sec - _MISSING_SEC:
        health.whole = False
    duration_sec = (len(choice.indices) if len(packets) > 1 else budget.temporal_patch) / choice.fps
    return VideoClip(frames, times_sec, choice.fps, duration_sec, sound, health.whole)


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
        opening = list(itertools.islice(packets, _REORDER_PACKETS))
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
            at = _time_of(packet)
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


def _time_of(packet: Any) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts


def _first_shown(packets: list[Any]) -> int:
    """The presentation time of a track's first frame, from its first packets."""
    timed = [(packet, at) for packet in packets if packet.size and (at := _time_of(packet)) is not None]
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


def decode_frames(
    found: Source,
    index: PacketIndex,
    wanted: np.ndarray,
    budget: FrameBudget,
    health: Health,
    skip: bool = True,
    threads: int | None = None,
) -> tuple[np.ndarray, slice]:
    """Decode and resize the frames of the packets `wanted`, int64 [T] in order of presentation.

    skip: leave out packets that no wanted frame leans on; the result is the same without, only slower.
    Returns uint8 [T', H, W, 3], the last repeated to whole temporal patches, and which of `wanted` they begin with:
    all but unreadable ones at either end.
    """
    spans = deque(decode_spans(index.pts, index.is_key, wanted) if skip else [(0, int(wanted.max()))])
    slots: dict[int, list[int]] = {}
    for slot, packet in enumerate(wanted.tolist()):
        slots.setdefault(int(index.pts[packet]), []).append(slot)
    sink = FrameSink(slots, budget)
    wanted_packets = set(wanted.tolist())
    with open_container(found) as container:
        stream = video_stream(container)
        context = stream.codec_context
        context.options = dict(CODEC_OPTIONS)
        context.thread_type = "AUTO"
        large = stream.width * stream.height > _LARGE_FRAME_PIXELS
        context.thread_count = 1 if large else threads or min(4, os.cpu_count() or 1)
        discard_others(container, stream)
        if index.seek_pts is not None:
            container.seek(index.seek_pts, stream=stream)
        number = -1
        for packet in packets_of(container, stream, health):
            number += 1
            if not packet.size or number < spans[0][0]:
                number -= not packet.size
                continue
            if skip and context.name in _SKIPS_EXACTLY:  # frames that no other leans on cost nothing unless wanted
                context.skip_frame = "DEFAULT" if number in wanted_packets else "NONREF"
            sink.take(decode_packet(packet, health), health)
            if number == spans[0][1]:
                sink.take(_drain(context, health), health)
                spans.popleft()
                if not spans:
                    break
        else:
            sink.take(_drain(context, health), health)
    return sink.result(found.name, len(wanted))


def _drain(context: Any, health: Health) -> list[Any]:
    """The frames that a decoder still holds; afterwards it can start anew at a keyframe."""
    try:
        return context.decode(None)
    except av.error.EOFError:
        return []
    except (av.error.FFmpegError, OSError):
        health.whole = False
        return []
    finally:
        context.flush_buffers()


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


def _check_window(start_sec: float | None, end_sec: float | None) -> None:
    start, end = start_sec or 0.0, np.inf if end_sec is None else end_sec
    if not (np.isfinite(start) and start >= 0 and end > start):
        raise MediaError(f"there is no part of a video from {start:g} s to {end:g} s: give 0 ≤ start < end")


def _read_sound(
    found: Source,
    limits: MediaLimits,
    health: Health,
    index: PacketIndex,
    window: tuple[float | None, float | None],
    first_frame_sec: float,
) -> AudioClip | None:
    """The sound of a window (its times, and that of the first frame, counted from the file's first frame)."""
    zero_sec = index.zero_pts * index.tick_sec
    low, high = window[0] or -np.inf, np.inf if window[1] is None else window[1]
    with open_container(found) as container:
        stream = next((s for s in container.streams.audio if s.codec_context is not None), None)
        if stream is None:
            health.whole &= not index.has_sound
            return None
        track = MonoTrack(SOUND_HZ, found.name, result_bytes=limits.soundtrack_pcm_bytes)
        start_sec = decode_track(container, stream, track, health, zero_sec + low, zero_sec + high)
        samples = track.finish()
    if start_sec is None or not len(samples):
        return None
    return AudioClip(samples, SOUND_HZ, start_sec - zero_sec - first_frame_sec)

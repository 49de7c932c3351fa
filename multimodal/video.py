"""Video files → VideoClip: frames sampled by their presentation times, resized as they come, never all in memory.

Three passes over a file, each with its own demuxer: the packets' times and keyframes (nothing is decoded), the frames
(in one sweep from keyframe to keyframe), and the sound.
"""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from multimodal.errors import MediaError, MediaUnreadable
from multimodal.limits import DEFAULT_LIMITS, MediaLimits
from multimodal.media import AudioClip, VideoClip
from multimodal.packets import PacketIndex, index_packets, presented
from multimodal.reel import Reel
from multimodal.sampling import DEFAULT_BUDGET, FrameBudget, choose_frames
from multimodal.soundtrack import MonoTrack, decode_track
from multimodal.source import Health, Source, open_container, picture_format

SOUND_HZ = 16_000
_MISSING_SEC = 1.0  # a file that ends this much before its header says was cut short


def read_video(
    source: Path | bytes,
    budget: FrameBudget = DEFAULT_BUDGET,
    limits: MediaLimits = DEFAULT_LIMITS,
    audio: bool = True,
    start_sec: float | None = None,
    end_sec: float | None = None,
    reel: Reel | None = None,
) -> VideoClip:
    """Sample a video, or the part of it from `start_sec` to `end_sec`.

    Times count from the first frame of the file. `times_sec[i]` is the presentation time of `frames[i]`, or a later
    one at which it is still on screen. `fps` is frames kept ÷ length, as qwen-vl-utils computes it; `duration_sec` is
    the length of the part that was read. The sound comes as 16 kHz mono with its offset to the first frame; audio is
    None where there is none, or `audio` is False.
    A damaged middle freezes the last good frame, damaged ends are left out; both, like damaged sound, clear
    `complete`. reel: of the same source, which goes on from where it stands if it can; the clip is the same.
    Raises MediaUnreadable where there is no picture track or nothing could be decoded, MediaTooLarge over a limit,
    MediaError for a part that does not exist.
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
    with closing(Reel(found)) if reel is None else nullcontext(reel) as reel:
        frames, present = reel.frames(index, packets[choice.indices], budget, health)
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

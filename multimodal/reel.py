"""The decoder of one video file, which stays where it is between two parts of it.

Only the packets that the wanted frames lean on are decoded, from keyframe to keyframe. A part that begins where the one
before ended goes on from there, and gives the same frames as from its own keyframe.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import av.error
import numpy as np

from multimodal.frames import FrameSink
from multimodal.packets import REORDER_PACKETS, PacketIndex, time_of
from multimodal.sampling import FrameBudget, decode_spans
from multimodal.source import (
    CODEC_OPTIONS,
    Health,
    Source,
    decode_packet,
    discard_others,
    open_container,
    packets_of,
    translate_errors,
    video_stream,
)

_LARGE_FRAME_PIXELS = 4096 * 2304  # above it one decoding thread, because each holds frames of its own
_SKIPS_EXACTLY = ("h264", "hevc")  # decoders that judge frame by frame what no other frame leans on


@dataclass(frozen=True, eq=False)
class _Place:
    """Where the decoder stands. first_pts: of the keyframe since which nothing was left out but what no frame leans
    on; fed_pts: of the packet it got last; done_pts: of the last wanted frame, after which nothing was left out at all;
    held: that frame and what has come after it."""

    first_pts: int
    fed_pts: int
    done_pts: int
    held: tuple[Any, ...]


class Reel:
    """threads: of the picture decoder, None for up to four."""

    def __init__(self, found: Source, threads: int | None = None) -> None:
        self._found, self._threads = found, threads
        self._opened = ExitStack()
        self._packets: Iterator[Any] = iter(())
        self._reading = Health()
        self._context: Any = None
        self._place: _Place | None = None

    def close(self) -> None:
        self._place = None
        self._opened.close()

    def frames(
        self, index: PacketIndex, wanted: np.ndarray, budget: FrameBudget, health: Health, skip: bool = True
    ) -> tuple[np.ndarray, slice]:
        """Decode and resize the frames of the packets `wanted` of `index`, int64 [T] in order of presentation.

        skip: leave out packets that no wanted frame leans on; the result is the same without, only slower.
        Returns uint8 [T', H, W, 3], the last repeated to whole temporal patches, and which of `wanted` they begin with:
        all but unreadable ones at either end.
        """
        spans = deque(decode_spans(index.pts, index.is_key, wanted) if skip else [(0, int(wanted.max()))])
        slots: dict[int, list[int]] = {}
        for slot, packet in enumerate(wanted.tolist()):
            slots.setdefault(int(index.pts[packet]), []).append(slot)
        taken = _Taken(FrameSink(slots, budget), max(slots), health)
        number = _number(self._place, index, spans[0][0], wanted)
        place, self._place = self._place, None
        try:
            with translate_errors(self._found.name):
                if place is None or number is None:
                    self._begin(index)
                    self._place = self._sweep(index, -1, spans, int(index.pts[spans[0][0]]), wanted, taken, skip)
                else:
                    taken.give(place.held)
                    self._place = self._sweep(index, number, spans, place.first_pts, wanted, taken, skip)
        except BaseException:
            self.close()
            raise
        return taken.sink.result(self._found.name, len(wanted))

    def _begin(self, index: PacketIndex) -> None:
        self._opened.close()
        container = self._opened.enter_context(open_container(self._found))
        stream = video_stream(container)
        self._context = stream.codec_context
        self._context.options = dict(CODEC_OPTIONS)
        self._context.thread_type = "AUTO"
        large = stream.width * stream.height > _LARGE_FRAME_PIXELS
        self._context.thread_count = 1 if large else self._threads or min(4, os.cpu_count() or 1)
        discard_others(container, stream)
        if index.seek_pts is not None:
            container.seek(index.seek_pts, stream=stream)
        self._reading = Health()
        self._packets = packets_of(container, stream, self._reading)

    def _sweep(
        self,
        index: PacketIndex,
        number: int,
        spans: deque[tuple[int, int]],
        first_pts: int,
        wanted: np.ndarray,
        taken: _Taken,
        skip: bool,
    ) -> _Place | None:
        """Feed the decoder from the packet after `number` on until all that is wanted has come. Returns where it stands
        then, None where it cannot go on from there."""
        context, health = self._context, taken.health
        skips = skip and context.name in _SKIPS_EXACTLY
        kept = set(wanted.tolist())
        fed_pts: int | None = None if number < 0 else int(index.pts[number])
        while number < spans[-1][1]:
            if number >= spans[0][1]:
                taken.give(_drain(context, health))
                spans.popleft()
                first_pts = int(index.pts[spans[0][0]])
            packet = next(self._packets, None)
            if packet is None:
                break
            if not packet.size:
                continue
            number += 1
            if number >= spans[0][0]:
                if skips:  # frames that no other leans on cost nothing unless wanted, here or by the next part
                    decoded = number in kept or index.pts[number] > taken.last_pts
                    context.skip_frame = "DEFAULT" if decoded else "NONREF"
                taken.give(decode_packet(packet, health))
                fed_pts = time_of(packet)
        context.skip_frame = "DEFAULT"
        beyond = Health()  # damage there is told by the part that it belongs to
        for _ in range(REORDER_PACKETS):
            packet = None if taken.whole else next(self._packets, None)
            if packet is None or not packet.size:
                break
            taken.give(decode_packet(packet, beyond))
            fed_pts = time_of(packet)
        if not taken.whole:
            taken.give(_drain(context, health))
            fed_pts = None
        health.whole &= self._reading.whole
        if fed_pts is None or not (health.whole and beyond.whole):
            return None
        return _Place(first_pts, fed_pts, taken.last_pts, tuple(taken.held))


class _Taken:
    """What has come out of the decoder: to the sink up to the last wanted frame, that one and what follows are held."""

    def __init__(self, sink: FrameSink, last_pts: int, health: Health) -> None:
        self.sink, self.last_pts, self.health = sink, last_pts, health
        self.held: list[Any] = []
        self.whole = False

    def give(self, frames: Iterable[Any]) -> None:
        for frame in frames:
            at = frame.pts if frame.pts is not None else frame.dts
            if at is None or at <= self.last_pts:
                self.sink.take([frame], self.health)
                self.held = [frame]
            else:
                self.held.append(frame)
            self.whole |= at is not None and at >= self.last_pts


def _number(place: _Place | None, index: PacketIndex, first: int, wanted: np.ndarray) -> int | None:
    """The packet of `index` that the decoder got last, where it can go on from there to get the packets `wanted`, which
    lean on those from `first` on."""
    if place is None:
        return None
    found = np.flatnonzero(index.pts == place.fed_pts)
    if len(found) != 1 or index.pts[wanted].min() <= place.done_pts:
        return None
    number = int(found[0])
    return number if first <= number + 1 and place.first_pts <= index.pts[first] else None


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

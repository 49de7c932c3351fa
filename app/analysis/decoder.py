"""Each item is opened in a child process of its own: no network, no other file, bounded memory and time, killable.

The children are forked from a server that has the libraries loaded, so that one costs milliseconds. A child works one
request ahead: the next window is decoded while the model answers the one before, and no more than that is held.
"""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.isolation import confine
from multimodal.errors import MediaError, MediaTooLarge, MediaUnreadable, TandemError
from multimodal.limits import MediaLimits
from multimodal.media import VideoClip
from multimodal.outline import Outline, outline
from multimodal.reel import Reel
from multimodal.sampling import FrameBudget
from multimodal.source import Source, file_name
from multimodal.video import read_video

import qwen_vl_utils.vision_process  # isort: skip # noqa: F401  a confined child could not import it

_PARENT_DEATH = 1  # prctl
_CUT_FPS, _CUT_BLOCK_SEC = 4.0, 60.0
_EVERY_FRAME_FPS = 1000.0
_CUT_LEVEL, _CUT_RATIO = 24.0, 3.0  # mean difference of 255, and times what is usual around it
_CUT_PIXELS = 56 * 112


class DecoderTimeout(TandemError):
    """The child took too long and was killed."""


class Decoder:
    """The child of one file. threads: of the picture decoder. most_sec: for one answer."""

    def __init__(self, path: Path, limits: MediaLimits, threads: int, most_sec: float) -> None:
        Source.of(path)
        self._name, self._most_sec = file_name(path), most_sec
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", "app.analysis.decoder"])
        self._line, theirs = context.Pipe()
        self._child = context.Process(target=_serve, args=(theirs, path, limits, threads), name="decoder", daemon=True)
        self._child.start()
        theirs.close()

    def outline(self) -> Outline:
        self.ask("outline")
        return self.answer()

    def sha256(self) -> str:
        self.ask("sha256")
        return self.answer()

    def cuts(self, start_sec: float, end_sec: float) -> list[float]:
        """Times at which another scene begins. Asked for block by block, so that each keeps the time limit."""
        changes: dict[float, float] = {}
        at = start_sec
        while at < end_sec:
            # A little of the block before, so that a change at the border is seen.
            self.ask("changes", max(start_sec, at - 1.0), min(at + _CUT_BLOCK_SEC, end_sec))
            for moment, change in self.answer():
                changes.setdefault(moment, change)
            at += _CUT_BLOCK_SEC
        moments = sorted(changes)
        found = find_cuts(moments, [changes[moment] for moment in moments])
        return [
            self._exact(moment, max((one for one in moments if one < moment), default=start_sec)) for moment in found
        ]

    def _exact(self, moment: float, before: float) -> float:
        """The frame between two of those looked at with which the new scene begins."""
        self.ask("changes", max(0.0, before - 1 / _CUT_FPS), moment, _EVERY_FRAME_FPS)
        changes = self.answer()
        return max(changes, key=lambda change: change[1])[0] if changes else moment

    def ask(self, what: str, *arguments: Any) -> None:
        """Let the child begin; `answer` gives what came out, in the order of asking. "window" takes a FrameBudget,
        whether to read sound, start and end."""
        try:
            self._line.send((what, *arguments))
        except OSError:
            raise self._gone() from None

    def answer(self) -> Any:
        """Raises what the decoder raises; DecoderTimeout after `most_sec`."""
        try:
            if not self._line.poll(self._most_sec):
                self.close()
                raise DecoderTimeout(f"{self._name} took longer than {self._most_sec:g} s to decode: raise --timeout")
            kind, result = self._line.recv()
        except (EOFError, OSError):
            raise self._gone() from None
        if kind == "error":
            raise result
        return result

    def _gone(self) -> MediaUnreadable:
        self.close()
        return MediaUnreadable(
            f"{self._name} broke its decoder, or needs more memory than it may have: export it again"
        )

    def close(self) -> None:
        self._child.kill()
        self._child.join()
        self._line.close()


def _serve(line: Connection, path: Path, limits: MediaLimits, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL)
    torch.set_num_threads(1)
    confine(os.path.realpath(path))
    reel = Reel(Source.of(path), threads)  # most windows begin where the one before ended

    def window(budget: FrameBudget, audio: bool, start_sec: float, end_sec: float) -> VideoClip:
        return read_video(path, budget, limits, audio, start_sec or None, end_sec, reel)

    work = {
        "outline": lambda: outline(path, limits),
        "sha256": lambda: _sha256(path),
        "changes": lambda start, end, fps=_CUT_FPS: _changes(path, limits, reel, start, end, fps),
        "window": window,
    }
    while True:
        try:
            what, *arguments = line.recv()
        except (EOFError, OSError):
            return
        try:
            result = ("done", work[what](*arguments))
        except TandemError as error:
            result = ("error", error)
        except MemoryError:
            result = ("error", MediaTooLarge(f"{file_name(path)} needs more memory than it may have: make it smaller"))
        line.send(result)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _changes(
    path: Path, limits: MediaLimits, reel: Reel, start_sec: float, end_sec: float, fps: float
) -> list[tuple[float, float]]:
    """(time, mean difference to the frame before) of small frames; nothing where they are damaged."""
    budget = FrameBudget(fps=fps, min_pixels=28 * 28, max_pixels=_CUT_PIXELS)
    try:
        clip = read_video(path, budget, limits, False, start_sec or None, end_sec, reel)
    except MediaError:
        return []
    frames = clip.frames.astype(np.int16)
    steps = np.abs(frames[1:] - frames[:-1]).mean(axis=(1, 2, 3))
    return [(round(float(at), 3), float(step)) for at, step in zip(clip.times_sec[1:], steps)]


def find_cuts(moments: Sequence[float], changes: Sequence[float]) -> list[float]:
    """The moments whose change is large, and large beside those around it: a moving camera is no cut."""
    found = []
    for i, change in enumerate(changes):
        around = [*changes[max(0, i - 4) : i], *changes[i + 1 : i + 5]]
        usual = float(np.median(around)) if around else 0.0
        if change >= _CUT_LEVEL and change >= _CUT_RATIO * usual:
            found.append(moments[i])
    return found

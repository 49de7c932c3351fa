"""Which windows an item has, how many frames and tokens each costs; known from headers, before anything is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.analysis import windows
from app.analysis.answerer import Answerer
from app.analysis.manifest import Item
from app.analysis.options import DEFAULT_FPS, AnalysisOptions
from app.analysis.tasks import QUESTIONS
from multimodal.errors import MediaError, MediaUnreadable
from multimodal.limits import MediaLimits
from multimodal.outline import Outline, Sampled
from multimodal.sampling import FrameBudget


@dataclass(frozen=True)
class PlannedWindow:
    """A window with its budget. read_to_sec: the end of what is read, which leaves out a frame that stands just where
    the next window begins. sampled: None where no frame lies in it. tokens: of its prompt."""

    start_sec: float
    end_sec: float
    read_to_sec: float
    budget: FrameBudget
    sampled: Sampled | None
    tokens: int


@dataclass(frozen=True)
class ItemPlan:
    """audio: whether the sound is read; gaps_sec: parts that the file promises and does not have."""

    item: Item
    question: str
    start_sec: float
    end_sec: float
    audio: bool
    windows: tuple[PlannedWindow, ...]
    gaps_sec: tuple[tuple[float, float], ...]

    @property
    def frames(self) -> int:
        return sum(one.sampled.frames for one in self.windows if one.sampled)

    @property
    def tokens(self) -> int:
        return sum(one.tokens for one in self.windows)


def extent(item: Item, outline: Outline) -> tuple[float, float]:
    """The part of the file that is analysed. Raises MediaError for one that lies behind its end."""
    start = item.start_sec or 0.0
    if start >= outline.duration_sec:
        raise MediaError(f"it ends at {outline.duration_sec:.1f} s, before the part that starts at {start:g} s")
    return start, min(outline.duration_sec, item.end_sec or outline.duration_sec)


def plan(
    item: Item,
    outline: Outline,
    cuts_sec: Sequence[float],
    options: AnalysisOptions,
    answerer: Answerer,
    limits: MediaLimits,
) -> ItemPlan:
    """Raises MediaError for an item that cannot be analysed as the options want."""
    start, end = extent(item, outline)
    if options.audio == "on" and outline.sound_sec is None:
        raise MediaUnreadable("it has no sound track: use --audio auto to go on without")
    if options.task == "transcript" and outline.sound_sec is None:
        raise MediaUnreadable("it has no sound track, so there is nothing to transcribe")
    audio = options.audio != "off" and outline.sound_sec is not None and answerer.hears
    question = item.prompt or options.prompt or QUESTIONS[options.task]
    if options.window == "whole":
        cut = [windows.Window(start, end)]
    elif options.window == "scenes":
        cut = windows.scenes(start, end, cuts_sec)
    else:
        cut = windows.fixed(start, end, options.window, options.overlap_sec)
    # Sound that goes on after the last frame is heard with the last window, as far as a window reaches.
    if audio and outline.sound_sec is not None and item.end_sec is None and outline.sound_sec[1] > end:
        length = options.window if isinstance(options.window, float | int) else windows.LONGEST_SCENE_SEC
        last = cut[-1]
        cut[-1] = windows.Window(last.start_sec, max(end, min(outline.sound_sec[1], last.start_sec + length)))
    fps = options.fps or DEFAULT_FPS
    if options.max_frames is not None:
        fps = min(fps, options.max_frames / max(end - start, 1e-3))
    reached = [*(one.end_sec - outline.tick_sec for one in cut[:-1]), cut[-1].end_sec]
    planned = tuple(
        _window(one, to, outline, fps, options, answerer, limits, audio, question) for one, to in zip(cut, reached)
    )
    missing = outline.declared_sec - max(outline.duration_sec, outline.sound_sec[1] if outline.sound_sec else 0.0)
    gaps = ((outline.duration_sec, outline.declared_sec),) if missing > 1 and item.end_sec is None else ()
    return ItemPlan(item, question, start, end, audio, planned, gaps)


def _window(
    one: windows.Window,
    read_to_sec: float,
    outline: Outline,
    fps: float,
    options: AnalysisOptions,
    answerer: Answerer,
    limits: MediaLimits,
    audio: bool,
    question: str,
) -> PlannedWindow:
    length = one.end_sec - one.start_sec
    least = 2 if options.max_frames is not None else 4
    wanted = max(least, 2 * round(fps * length / 2)) if options.max_frames is not None else limits.video_frames
    budget = answerer.budget(fps=fps, min_frames=least, max_frames=min(wanted, limits.video_frames))
    if options.task == "transcript":  # the sound is what counts
        budget = answerer.budget(fps=fps, min_frames=2, max_frames=2)
    sampled = outline.sampled(budget, limits, one.start_sec, read_to_sec)
    tokens = 0
    if sampled is not None:
        sound_sec = 0.0
        if audio and outline.sound_sec is not None:
            first = float(outline.shown_sec[outline.shown_sec >= one.start_sec - outline.tick_sec / 2][0])
            begins, ends = max(outline.sound_sec[0], one.start_sec), min(outline.sound_sec[1], read_to_sec)
            sound_sec = max(0.0, ends - first) if ends > begins else 0.0
        tokens = answerer.tokens(sampled, sound_sec, question)
    return PlannedWindow(one.start_sec, one.end_sec, read_to_sec, budget, sampled, tokens)

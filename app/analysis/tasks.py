"""What can be asked of a window, and how the windows' answers become the answer about the whole. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.analysis import times

QUESTIONS = {
    "caption": "Describe the clip.",
    "events": "What happens in the video, and when?",
    "ocr": "What does the text say?",
    "transcript": "Transcribe the speech.",
}
SEAM_SEC = 0.6  # two tellings of one event in neighbouring windows differ by at most this, plus a frame
_WORDS = {
    **dict(zip("zero one two three four five six seven eight nine ten eleven twelve".split(), range(13))),
    "no": 0,
    "none": 0,
    "never": 0,
    "once": 1,
    "twice": 2,
}


@dataclass(frozen=True)
class Answered:
    """A window's answer, with the times of its sentences bound. frame_sec: between two frames that the model saw."""

    start_sec: float
    end_sec: float
    text: str
    told: tuple[times.Told, ...]
    frame_sec: float
    data: Any = None
    problem: str | None = None

    def segment(self, **more: Any) -> dict[str, Any]:
        """The answer as one segment of the record."""
        text = " ".join(told.text for told in self.told) or self.text
        segment = {"start_sec": self.start_sec, "end_sec": self.end_sec, "text": text, **more}
        if self.data is not None:
            segment["data"] = self.data
        return segment | ({"problem": self.problem} if self.problem else {})


def reduce(task: str, answers: Sequence[Answered]) -> tuple[str, list[dict[str, Any]]]:
    """The answer about the whole, and segments in order of time."""
    if task == "events":
        segments = _events(answers)
        return "\n".join(_line(one) for one in segments), segments
    if task == "count":
        segments = [one.segment(count=number_in(one.text)) for one in answers]
        counted = [segment["count"] for segment in segments if segment["count"] is not None]
        return (str(sum(counted)) if counted else ""), segments
    segments = [one.segment() for one in answers]
    if task in ("caption", "ocr"):
        segments = _joined(segments)
    if task in ("ocr", "transcript") or len(segments) == 1:
        separator = " " if task == "transcript" else "\n"
        return separator.join(dict.fromkeys(s["text"] for s in segments if s["text"])), segments
    return "\n".join(_line(one) for one in segments), segments


def number_in(text: str) -> int | None:
    """The first count in a sentence: "3", "three", "twice"; None where there is none."""
    for word in re.findall(r"\d+|[a-z]+", text.lower()):
        if word.isdigit():
            return int(word)
        if word in _WORDS:
            return _WORDS[word]
    return None


def _events(answers: Sequence[Answered]) -> list[dict[str, Any]]:
    """A segment for each sentence; what two windows tell of the same moment is one event."""
    found: list[dict[str, Any]] = []
    for answer in answers:
        for told in answer.told:
            start = answer.start_sec if told.start_sec is None else told.start_sec
            end = answer.end_sec if told.end_sec is None else told.end_sec
            same = next((one for one in reversed(found) if _same(one, told, start, end, answer)), None)
            if same is None:
                event = {"start_sec": start, "end_sec": end, "text": told.text, "timed": told.start_sec is not None}
                found.append(event | ({"problem": answer.problem} if answer.problem else {}))
            elif not same["timed"]:
                same["end_sec"] = max(same["end_sec"], end)
    return sorted(found, key=lambda event: (event["start_sec"], event["end_sec"]))


def _same(event: dict[str, Any], told: times.Told, start: float, end: float, answer: Answered) -> bool:
    if event["timed"] != (told.start_sec is not None):
        return False
    if times.without_times(event["text"]) != times.without_times(told.text):
        return False
    near = SEAM_SEC + answer.frame_sec
    if event["timed"]:
        return abs(event["start_sec"] - start) <= near and abs(event["end_sec"] - end) <= near
    return start <= event["end_sec"] + near  # the same state, still going on


def _joined(segments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours that say the same become one."""
    kept: list[dict[str, Any]] = []
    for segment in segments:
        before = kept[-1] if kept else None
        if before is not None and before["text"] == segment["text"] and "data" not in segment:
            before["end_sec"] = segment["end_sec"]
        else:
            kept.append(segment)
    return kept


def _line(segment: dict[str, Any]) -> str:
    start, end = (times.write(segment[key]) for key in ("start_sec", "end_sec"))
    return f"{start if start == end else f'{start}–{end}'} {segment['text']}"

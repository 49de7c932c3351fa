"""One item → one record: plan, decode window by window, answer, reduce. Knows nothing of where it runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from app.analysis import times
from app.analysis.answerer import Answer, Answerer, AnswerFailed
from app.analysis.decoder import Decoder, DecoderTimeout
from app.analysis.manifest import Item, shown
from app.analysis.options import AnalysisOptions
from app.analysis.plan import ItemPlan, PlannedWindow, extent, plan
from app.analysis.speech import utterances
from app.analysis.tasks import Answered, reduce
from multimodal.errors import MediaError, MediaUnreadable, TandemError
from multimodal.limits import MediaLimits
from multimodal.media import VideoClip
from multimodal.prompt import Content
from reasoning.errors import SchemaViolation
from reasoning.json_schema import JsonSchema

TIME_FIELDS = ("start_sec", "end_sec", "time_sec", "at_sec")
MOST_NOTES_CHARS = 12_000


class Windows(Protocol):
    """Answers of windows that an interrupted run has left."""

    def window(self, item: str, sha256: str, number: int) -> dict[str, Any] | None: ...

    def keep_window(self, item: str, sha256: str, number: int, answer: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Analyst:
    """What every item is analysed with. tell: (item, windows done, windows); may raise to stop the work."""

    options: AnalysisOptions
    answerer: Answerer
    limits: MediaLimits
    windows: Windows
    schema: JsonSchema | None = None
    decode_threads: int = 1
    tell: Callable[[Item, int, int, float], None] = lambda item, done, count, seconds: None


@dataclass
class _Work:
    """What is known of an item while it is worked on."""

    item: Item
    started: float = field(default_factory=time.monotonic)
    sha256: str | None = None
    plan: ItemPlan | None = None
    duration_sec: float | None = None
    whole: bool = True
    answers: list[dict[str, Any]] = field(default_factory=list)
    gaps_sec: list[tuple[float, float]] = field(default_factory=list)
    decode_sec: float = 0.0
    answer_sec: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def analyze(item: Item, analyst: Analyst) -> dict[str, Any]:
    """The record of an item; whatever is wrong with it is told in the record."""
    work = _Work(item)
    try:
        if item.problem:
            raise MediaError(item.problem)
        answer, segments, data = _analyzed(work, analyst)
        return _record(work, analyst, answer=answer, segments=segments, data=data)
    except (TandemError, AnswerFailed) as error:
        return _record(work, analyst, error=error)


def _analyzed(work: _Work, analyst: Analyst) -> tuple[str, list[dict[str, Any]], Any]:
    options = analyst.options
    decoder = Decoder(work.item.source, analyst.limits, analyst.decode_threads, options.timeout)
    try:
        outline = decoder.outline()
        work.duration_sec, work.whole = round(outline.duration_sec, 3), outline.whole
        work.sha256 = decoder.sha256()
        cuts = decoder.cuts(*extent(work.item, outline)) if options.window == "scenes" else ()
        work.plan = plan(work.item, outline, cuts, options, analyst.answerer, analyst.limits)
        work.gaps_sec += work.plan.gaps_sec
        _answer_windows(work, work.plan, analyst, decoder)
        answered = [Answered(**{**one["answered"], "told": _told(one)}) for one in work.answers]
        if not answered:
            raise MediaUnreadable("no part of it could be decoded: export or download it again")
        if all(one.problem == "repetition" for one in answered):
            raise Repetition("the model only repeated itself, in a second try too: ask differently")
        return _reduced(work, analyst, decoder, answered)
    finally:
        decoder.close()


class Repetition(TandemError):
    """Nothing but circles came out of the model."""


def _told(one: dict[str, Any]) -> tuple[times.Told, ...]:
    return tuple(times.Told(**told) for told in one["answered"]["told"])


def _answer_windows(work: _Work, planned: ItemPlan, analyst: Analyst, decoder: Decoder) -> None:
    """Answer what no earlier run has answered; the next window is decoded meanwhile."""
    assert work.sha256 is not None
    item, count = work.item, len(planned.windows)
    kept = {n: analyst.windows.window(item.id, work.sha256, n) for n in range(count)}
    todo = [n for n in range(count) if kept[n] is None]
    ahead = iter(todo)

    def ask_next() -> None:
        if (number := next(ahead, None)) is not None:
            window = planned.windows[number]
            decoder.ask("window", window.budget, planned.audio, window.start_sec, window.read_to_sec)

    ask_next()
    for number, window in enumerate(planned.windows):
        result = kept[number]
        if result is None:
            result = _window_result(work, planned, window, number, analyst, decoder, ask_next)
            analyst.windows.keep_window(item.id, work.sha256, number, result)
        work.prompt_tokens += result["prompt_tokens"]
        work.completion_tokens += result["completion_tokens"]
        work.whole &= result["whole"]
        if result["answered"] is None or not result["whole"]:
            work.gaps_sec.append((window.start_sec, window.end_sec))
        if result["answered"] is not None:
            work.answers.append(result)
        analyst.tell(item, number + 1, count, window.end_sec - window.start_sec)


def _window_result(
    work: _Work,
    planned: ItemPlan,
    window: PlannedWindow,
    number: int,
    analyst: Analyst,
    decoder: Decoder,
    ask_next: Callable[[], None],
) -> dict[str, Any]:
    started = time.monotonic()
    empty = {"answered": None, "whole": False, "frames": 0, "prompt_tokens": 0, "completion_tokens": 0}
    try:
        clip: VideoClip = decoder.answer()
    except DecoderTimeout:
        raise
    except MediaUnreadable:
        ask_next()
        return empty
    ask_next()
    work.decode_sec += time.monotonic() - started
    started = time.monotonic()
    seed = _seed(analyst.options.seed, work.item.id, number)
    if analyst.options.task == "transcript":
        answered, tokens = _transcribed(clip, planned, window, analyst, seed)
    else:
        answer, problem = ask(analyst, (clip, planned.question), seed, analyst.schema)
        data = _data(analyst.schema, answer.text, problem)
        answered = [_bound(answer.text, data, problem, clip, window, planned)]
        tokens = (answer.prompt_tokens, answer.completion_tokens)
    work.answer_sec += time.monotonic() - started
    return {
        "answered": asdict(answered[0]) if len(answered) == 1 else asdict(_merged(answered, window)),
        "whole": clip.complete,
        "frames": len(clip.frames),
        "prompt_tokens": tokens[0],
        "completion_tokens": tokens[1],
    }


def ask(
    analyst: Analyst, content: tuple[Content, ...], seed: int, schema: JsonSchema | None
) -> tuple[Answer, str | None]:
    """The answer, and what is wrong with it: a text in circles is asked for once more with other sampling."""
    limit = analyst.options.max_tokens
    answer = analyst.answerer.answer(content, limit, seed, schema, False)
    if answer.status == "repetition":
        second = analyst.answerer.answer(content, limit, seed + 1, schema, True)
        tokens = (answer.prompt_tokens + second.prompt_tokens, answer.completion_tokens + second.completion_tokens)
        answer = Answer(second.text, second.status, *tokens)
    return answer, None if answer.status == "completed" else answer.status


def _data(schema: JsonSchema | None, text: str, problem: str | None) -> Any:
    if schema is None:
        return None
    if problem == "repetition":
        raise SchemaViolation("the model only repeated itself inside the JSON: bound its texts with maxLength")
    return schema.parse(text)


def _bound(
    text: str, data: Any, problem: str | None, clip: VideoClip, window: PlannedWindow, planned: ItemPlan
) -> Answered:
    """The answer with its times bound: the model counts from the window's first frame, at an even rate."""
    axis = np.arange(len(clip.frames)) / clip.fps
    low, high = window.start_sec, min(window.end_sec, planned.end_sec)

    def real(seconds: float) -> float:
        moment = np.interp(seconds, axis, clip.times_sec) + max(0.0, seconds - axis[-1])
        return round(float(np.clip(moment, low, high)), 3)

    told = () if data is not None else tuple(times.bind(text, real))
    data = _bound_fields(data, real)
    text = json.dumps(data, ensure_ascii=False) if data is not None else text
    return Answered(round(low, 3), round(high, 3), text.strip(), told, 1 / clip.fps, data, problem)


def _bound_fields(data: Any, real: Callable[[float], float]) -> Any:
    if isinstance(data, list):
        return [_bound_fields(one, real) for one in data]
    if isinstance(data, dict):
        return {
            key: real(float(value))
            if key in TIME_FIELDS and isinstance(value, int | float) and not isinstance(value, bool)
            else _bound_fields(value, real)
            for key, value in data.items()
        }
    return data


def _transcribed(
    clip: VideoClip, planned: ItemPlan, window: PlannedWindow, analyst: Analyst, seed: int
) -> tuple[list[Answered], tuple[int, int]]:
    """What is said, an utterance at a time, with the times at which it is said."""
    found, prompt, completion = [], 0, 0
    for spoken in utterances(clip):
        answer, problem = ask(analyst, (spoken, planned.question), seed, None)
        start = round(float(clip.times_sec[0]) + spoken.start_sec, 3)
        end = round(start + spoken.duration_sec, 3)
        told = (times.Told(answer.text.strip(), start, end),)
        found.append(Answered(start, end, answer.text.strip(), told, 0.0, None, problem))
        prompt, completion = prompt + answer.prompt_tokens, completion + answer.completion_tokens
    return found, (prompt, completion)


def _merged(answered: Sequence[Answered], window: PlannedWindow) -> Answered:
    told = tuple(told for one in answered for told in one.told)
    problem = next((one.problem for one in answered if one.problem), None)
    start, end = round(window.start_sec, 3), round(window.end_sec, 3)
    return Answered(start, end, " ".join(one.text for one in answered), told, 0.0, None, problem)


def _reduced(
    work: _Work, analyst: Analyst, decoder: Decoder, answered: list[Answered]
) -> tuple[str, list[dict[str, Any]], Any]:
    assert work.plan is not None
    options = analyst.options
    if options.task == "transcript":
        segments = [
            {"start_sec": told.start_sec, "end_sec": told.end_sec, "text": told.text}
            for one in answered
            for told in one.told
        ]
        return " ".join(segment["text"] for segment in segments), segments, None
    answer, segments = reduce(options.task, answered)
    if analyst.schema is not None:
        data = _reduced_data(work, analyst, answered)
        return json.dumps(data, ensure_ascii=False), segments, data
    if options.task == "qa" and len(answered) > 1:
        started = time.monotonic()
        answer = _answer_over_windows(work, work.plan, analyst, decoder, answered)
        work.answer_sec += time.monotonic() - started
    return answer, segments, None


def _reduced_data(work: _Work, analyst: Analyst, answered: list[Answered]) -> Any:
    """Lists are joined; anything else is written by the model from the windows' values."""
    assert work.plan is not None and analyst.schema is not None
    if len(answered) == 1:
        return answered[0].data
    if all(isinstance(one.data, list) for one in answered):
        return [value for one in answered for value in one.data]
    question = f"{_notes(answered)}\n\nThese are notes on the parts of one video. {work.plan.question}"
    answer, problem = ask(analyst, (question,), _seed(analyst.options.seed, work.item.id, -1), analyst.schema)
    _count(work, answer)
    return _data(analyst.schema, answer.text, problem)


def _answer_over_windows(
    work: _Work, planned: ItemPlan, analyst: Analyst, decoder: Decoder, answered: list[Answered]
) -> str:
    """Ask which window answers the question. One: look at it again, closer. Several: answer from the notes."""
    seed = _seed(analyst.options.seed, work.item.id, -1)
    names = [str(number + 1) for number in range(len(answered))]
    notes = _notes(answered)
    choice = JsonSchema({"enum": ["all", *names]})
    which = f"{notes}\n\nThese are notes on the parts of one video. Which part answers this: {planned.question}"
    chosen, problem = ask(analyst, (which,), seed, choice)
    _count(work, chosen)
    name = "all" if problem else choice.parse(chosen.text)
    if name != "all":
        start = answered[int(name) - 1].start_sec
        window = next(one for one in planned.windows if abs(one.start_sec - start) < 1e-2)
        budget = analyst.answerer.budget(
            fps=min(60.0, 2 * window.budget.fps), max_frames=2 * window.budget.max_frames, min_frames=4
        )
        decoder.ask("window", budget, planned.audio, start, window.read_to_sec)
        clip: VideoClip = decoder.answer()
        answer, problem = ask(analyst, (clip, planned.question), seed, None)
        closer = _bound(answer.text, None, problem, clip, window, planned)
        text = " ".join(told.text for told in closer.told)
    else:
        question = f"{notes}\n\nThese are notes on the parts of one video. {planned.question}"
        answer, _ = ask(analyst, (question,), seed, None)
        text = answer.text.strip()
    _count(work, answer)
    return text


def _count(work: _Work, answer: Answer) -> None:
    work.prompt_tokens += answer.prompt_tokens
    work.completion_tokens += answer.completion_tokens


def _notes(answered: Sequence[Answered]) -> str:
    room = max(40, MOST_NOTES_CHARS // len(answered))
    return "\n".join(
        f"{n}. {times.write(one.start_sec)}–{times.write(one.end_sec)}: {one.segment()['text'][:room]}"
        for n, one in enumerate(answered, 1)
    )


def _seed(seed: int, item: str, number: int) -> int:
    """The same whatever the order and the machine."""
    told = f"{seed} {number} {item}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(told).digest()[:4], "big") >> 1


def _record(
    work: _Work,
    analyst: Analyst,
    answer: str | None = None,
    segments: Sequence[dict[str, Any]] = (),
    data: Any = None,
    error: Exception | None = None,
) -> dict[str, Any]:
    item, planned = work.item, work.plan
    frames = sum(one["frames"] for one in work.answers)
    seen_sec = (planned.end_sec - planned.start_sec) if planned else 0.0
    gaps = [[round(a, 3), round(b, 3)] for a, b in sorted(work.gaps_sec)]
    told = {"type": type(error).__name__, "message": " ".join(str(error).split())} if error else None
    return {
        "id": item.id,
        "source": shown(item.source),
        "sha256": work.sha256,
        "status": "error" if error else "ok",
        "duration_sec": work.duration_sec,
        "prompt": planned.question if planned else item.prompt or analyst.options.prompt,
        "answer": answer,
        **({"data": data} if analyst.schema else {}),
        "segments": list(segments),
        "coverage": {
            "frames": frames,
            "effective_fps": round(frames / seen_sec, 3) if seen_sec else 0.0,
            "gaps_sec": gaps,
            "truncated": bool(planned) and not work.whole,
            "sound": bool(planned and planned.audio),
        },
        "model": analyst.answerer.name,
        "tokens": {"prompt": work.prompt_tokens, "completion": work.completion_tokens},
        "timings_sec": {
            "decode_wait": round(work.decode_sec, 3),
            "answer": round(work.answer_sec, 3),
            "total": round(time.monotonic() - work.started, 3),
        },
        "error": told,
    }

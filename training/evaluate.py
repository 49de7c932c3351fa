"""Measures an exported checkpoint on held-out data, through the application's own pipeline, and fills its model card.

    python -m training.evaluate --model models/omni-nano --processes 2            every bar, 200 examples each
    python -m training.evaluate --quick                                           10 examples each
    python -m training.evaluate --tasks pictures,reading --log runs/wrong.jsonl   some bars, with every wrong answer

Prints one JSON line for each figure and one for all. `--card` (on by default for a full run of every task) writes them
into the folder's README.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from training.judge import Judge
from training.scoring import Outcome
from training.tasks import SPEECH_TASKS, TASKS, Exam

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Bar:
    """One line of the table. figures: the tasks it is computed from; a second one is subtracted from the first."""

    name: str
    tasks: tuple[str, ...]
    must: float
    goal: float
    better: Better = "higher"

    def value(self, figures: dict[str, float]) -> float | None:
        found = [figures.get(task) for task in self.tasks]
        if any(figure is None for figure in found):
            return None
        return found[0] - found[1] if len(found) == 2 else found[0]  # type: ignore[operator]

    def verdict(self, value: float) -> str:
        def reaches(limit: float) -> bool:
            return value >= limit if self.better == "higher" else value <= limit

        return "goal" if reaches(self.goal) else "must" if reaches(self.must) else "missed"


BARS = (
    Bar("picture questions, exact answer", ("pictures",), 0.92, 0.98),
    Bar("reading printed words, character error rate", ("reading",), 0.06, 0.02, "lower"),
    Bar("grounding, F1 at IoU 0.5", ("grounding",), 0.85, 0.95),
    Bar("video questions, times within 0.5 s", ("video",), 0.88, 0.95),
    Bar("audio-visual time questions", ("audiovisual",), 0.88, 0.95),
    Bar("the same with time ids destroyed", ("audiovisual_scrambled",), 0.60, 0.35, "lower"),
    Bar("dictation, seen kinds of voice, word error rate", ("dictation_seen",), 0.08, 0.04, "lower"),
    Bar("dictation, unseen voices at 20 dB, word error rate", ("dictation_unseen",), 0.20, 0.10, "lower"),
    Bar("spoken questions about a picture, unseen voices", ("spoken_questions",), 0.88, 0.95),
    Bar("told facts and follow-ups", ("facts",), 0.95, 0.99),
    Bar("out-of-world questions refused", ("refusals",), 0.95, 0.99),
    Bar("own speech by an independent recognizer, WER above the teacher's", ("speech", "teacher"), 0.12, 0.05, "lower"),
    Bar("own speech transcribed by omni-nano, word error rate", ("speech_heard",), 0.10, 0.05, "lower"),
)


@dataclass(frozen=True)
class Settings:
    """What each worker process needs to judge."""

    model: str
    seed: int
    greedy_speech: bool


_judge: tuple[Judge, Exam] | None = None


def _start(settings: Settings) -> None:
    global _judge
    import torch

    torch.set_num_threads(1)
    _judge = Judge(settings.model, settings.greedy_speech), Exam(settings.seed)


def _answer(job: tuple[str, int]) -> list[Outcome]:
    assert _judge is not None
    (judge, exam), (task, index) = _judge, job
    if task in SPEECH_TASKS:
        return judge.speech_outcomes(exam.speech_case(index), index, exam.recognizer)
    return [judge.outcome(exam.case(task, index))]


def run(settings: Settings, tasks: Sequence[str], examples: int, processes: int) -> Iterator[Outcome]:
    """Outcomes of `examples` examples of each task, as they come."""
    # The first examples of all tasks come first, so that a run that is stopped early has seen every task.
    jobs = [(task, index) for index in range(examples) for task in tasks]
    context = multiprocessing.get_context("spawn")
    told = time.monotonic()
    with ProcessPoolExecutor(processes, context, initializer=_start, initargs=(settings,)) as pool:
        for done, outcomes in enumerate(pool.map(_answer, jobs, chunksize=4), 1):
            yield from outcomes
            if time.monotonic() - told > 30:
                told = time.monotonic()
                print(json.dumps({"stage": "evaluate", "done": done, "of": len(jobs)}), flush=True)


def summarize(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Task → figure, number of examples, and the figure of each kind of example where there are several."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.task].append(outcome)
    summary: dict[str, dict[str, Any]] = {}
    for task, members in groups.items():
        kinds = sorted({outcome.kind for outcome in members})
        summary[task] = {"figure": ratio(members), "examples": len(members)}
        if len(kinds) > 1:
            summary[task]["kinds"] = {kind: round(ratio([o for o in members if o.kind == kind]), 4) for kind in kinds}
    return summary


def ratio(outcomes: Sequence[Outcome]) -> float:
    """Sum of the parts ÷ sum of the wholes: an accuracy, an error rate or an F1, as the task defines them."""
    return sum(o.part for o in outcomes) / max(sum(o.whole for o in outcomes), 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/omni-nano", help="exported folder")
    parser.add_argument("--tasks", help=f"of {', '.join((*TASKS, *SPEECH_TASKS))}; all if left out")
    parser.add_argument("--examples", type=int, default=200, help="of each task")
    parser.add_argument("--quick", action="store_true", help="10 examples of each task")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the held-out examples")
    parser.add_argument("--greedy-speech", action="store_true", help="speak greedily, whatever the checkpoint says")
    parser.add_argument("--log", type=Path, help="JSON lines of every answer that was not fully right")
    parser.add_argument("--card", action=argparse.BooleanOptionalAction, help="write the figures into the model card")
    options = parser.parse_args()

    began = time.monotonic()
    tasks = options.tasks.split(",") if options.tasks else [*TASKS, *SPEECH_TASKS]
    unknown = set(tasks) - {*TASKS, *SPEECH_TASKS}
    if unknown:
        parser.error(f"no task {', '.join(sorted(unknown))}: choose from {', '.join((*TASKS, *SPEECH_TASKS))}")
    examples = 10 if options.quick else options.examples
    settings = Settings(options.model, options.seed, options.greedy_speech)
    outcomes = list(run(settings, tasks, examples, options.processes))
    if options.log:
        options.log.parent.mkdir(parents=True, exist_ok=True)
        wrong = [vars(o) for o in outcomes if not o.right]
        options.log.write_text("".join(json.dumps(o, ensure_ascii=False) + "\n" for o in wrong))
    summary = summarize(outcomes)
    for task, found in summary.items():
        print(json.dumps({"stage": "evaluate", "task": task, **found, "figure": round(found["figure"], 4)}), flush=True)
    figures = {task: found["figure"] for task, found in summary.items()}
    verdicts: dict[str, Any] = {}
    for bar in BARS:
        value = bar.value(figures)
        if value is not None:
            verdicts[bar.name] = {
                "value": round(value, 4),
                "must": bar.must,
                "goal": bar.goal,
                "reached": bar.verdict(value),
            }
    wall_sec = round(time.monotonic() - began, 1)
    about = {
        "stage": "evaluate",
        "model": options.model,
        "seed": options.seed,
        "examples": examples,
        "wall_sec": wall_sec,
    }
    print(json.dumps({**about, "bars": verdicts}, ensure_ascii=False), flush=True)
    wanted = options.card if options.card is not None else not (options.quick or options.tasks)
    if wanted:
        from training.model_card import write_card

        write_card(Path(options.model), verdicts, summary, options.seed)


if __name__ == "__main__":
    main()

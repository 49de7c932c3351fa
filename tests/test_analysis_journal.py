"""What a run keeps: one record an item, whatever ends it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.analysis.journal import Journal, OutputFailed
from app.analysis.manifest import Item
from app.analysis.options import AnalysisError
from app.analysis.progress import Progress
from app.analysis.run import Run
from tests.analysis_process import ITEMS, JOBS, WINDOWS

ROOT = Path(__file__).resolve().parent.parent
KILLS = 50


def started(results: Path, computed: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.analysis_process", str(results), str(computed)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "started\n"
    return child


def answers(results: Path) -> dict[str, str]:
    lines = results.read_text().splitlines()
    found = {record["id"]: record["answer"] for record in map(json.loads, lines)}
    assert len(found) == len(lines), "an item has two records"
    return found


def test_a_run_killed_at_fifty_random_points_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    child = started(whole, tmp_path / "whole.txt")
    child.communicate()
    assert child.returncode == 0
    expected = answers(whole)
    assert len(expected) == ITEMS
    rng = random.Random(7)
    kills = round_number = 0
    while kills < KILLS:
        round_number += 1
        results, computed = tmp_path / f"{round_number}.jsonl", tmp_path / f"{round_number}.txt"
        killed_here = 0
        while True:
            child = started(results, computed)
            time.sleep(rng.uniform(0, 0.05))
            child.kill()
            child.communicate()
            if child.returncode == 0:  # it was quicker
                break
            kills, killed_here = kills + 1, killed_here + 1
            if kills == KILLS:
                last = started(results, computed)
                last.communicate()
                assert last.returncode == 0
                break
        assert answers(results) == expected
        times = Counter(computed.read_text().split("\n")[:-1])
        assert len(times) == ITEMS * WINDOWS
        assert sum(times.values()) - len(times) <= JOBS * killed_here, "more than the windows in flight came twice"


def record(name: str, status: str = "ok") -> dict[str, Any]:
    return {"id": name, "status": status, "answer": "x"}


def test_a_second_run_on_one_output_is_refused_and_may_come_later(tmp_path: Path) -> None:
    first = Journal(tmp_path / "r.jsonl", "same")
    with pytest.raises(AnalysisError, match="another run"):
        Journal(tmp_path / "r.jsonl", "same")
    first.close()
    Journal(tmp_path / "r.jsonl", "same").close()


def test_results_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    Journal(path, "a question that was never answered").close()
    journal = Journal(path, "one question")
    journal.write(record("a"))
    journal.close()
    with pytest.raises(AnalysisError, match="another question"):
        Journal(path, "another")
    again = Journal(path, "another", overwrite=True)
    assert again.done == {} and path.read_bytes() == b""
    again.close()


def test_a_torn_last_line_is_cut_off_and_its_item_done_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    journal = Journal(path, "f")
    journal.write(record("a"))
    journal.close()
    whole = path.read_bytes()
    for torn in (b'{"id": "b", "sta', b'{"id": "b", "status": "ok"}', b"\x00\x00\x00"):
        path.write_bytes(whole + torn)
        again = Journal(path, "f")
        assert again.done == {"a": "ok"} and path.read_bytes() == whole
        again.close()


def test_a_file_that_is_no_results_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("my notes\nmore of them\n")
    with pytest.raises(AnalysisError, match="not a results file"):
        Journal(path, "f")
    assert path.read_text() == "my notes\nmore of them\n"


def test_failed_items_can_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    journal = Journal(path, "f")
    for name, status in (("a", "ok"), ("b", "error"), ("c", "ok")):
        journal.write(record(name, status))
    journal.close()
    kept = Journal(path, "f")
    assert kept.done == {"a": "ok", "b": "error", "c": "ok"}
    kept.close()
    again = Journal(path, "f", retry_failed=True)
    assert again.done == {"a": "ok", "c": "ok"}
    again.write(record("b"))
    again.close()
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["a", "c", "b"]


def test_a_full_disk_ends_the_run_and_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "r.jsonl", "f")
    journal.write(record("a"))
    write, calls = os.write, []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:5])

    monkeypatch.setattr("app.analysis.journal.os.write", full)
    with pytest.raises(OutputFailed, match=r"No space left.*make room"):
        journal.write(record("b"))
    monkeypatch.undo()
    assert [json.loads(line)["id"] for line in (tmp_path / "r.jsonl").read_text().splitlines()] == ["a"]
    journal.write(record("b"))
    assert journal.done == {"a": "ok", "b": "ok"}
    journal.close()


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no such folder"):
        Journal(tmp_path / "no" / "r.jsonl", "f")
    with pytest.raises(AnalysisError, match="not a file"):
        Journal(tmp_path, "f")


def test_windows_of_other_content_are_not_taken(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "r.jsonl", "f")
    journal.keep_window("a", "old", 0, {"text": "x"})
    assert journal.window("a", "old", 0) == {"text": "x"}
    assert journal.window("a", "new", 0) is None and journal.window("b", "old", 0) is None
    journal.write(record("a"))
    assert journal.window("a", "old", 0) is None
    journal.close()


# --- the loop -------------------------------------------------------------------------------------------------------


def looped(tmp_path: Path, analyze: Any, **options: Any) -> tuple[Run, Journal]:
    journal = Journal(tmp_path / "r.jsonl", "f")
    return Run(analyze, journal, Progress("quiet", 3), **options), journal


ITEMS_OF_THREE = [Item(name, Path(name)) for name in "abc"]


def full_record(name: str, error: str | None = None) -> dict[str, Any]:
    told = {"type": error, "message": "…"} if error else None
    return {**record(name, "error" if error else "ok"), "duration_sec": 1.0, "error": told}


def test_failures_by_chance_are_tried_again_and_others_are_not(tmp_path: Path) -> None:
    tries: Counter[str] = Counter()

    def analyze(item: Item) -> dict[str, Any]:
        tries[item.id] += 1
        chance = {"a": "AnswerFailed" if tries["a"] < 3 else None, "b": "MediaUnreadable", "c": "DecoderTimeout"}
        return full_record(item.id, chance[item.id])

    loop, journal = looped(tmp_path, analyze, retries=2)
    loop.all(ITEMS_OF_THREE)
    journal.close()
    assert tries == {"a": 3, "b": 1, "c": 3}
    assert journal.done == {"a": "ok", "b": "error", "c": "error"}


def test_a_stopped_run_leaves_its_item_for_the_next(tmp_path: Path) -> None:
    def analyze(item: Item) -> dict[str, Any]:
        if item.id == "b":
            loop.stop.set()
        loop.tell(item, 1, 2, 1.0)
        return full_record(item.id)

    loop, journal = looped(tmp_path, analyze)
    loop.all(ITEMS_OF_THREE)
    assert journal.done == {"a": "ok"}
    loop.stop.clear()
    Run(lambda item: full_record(item.id), journal, Progress("quiet", 2)).all(ITEMS_OF_THREE)
    journal.close()
    assert journal.done == {"a": "ok", "b": "ok", "c": "ok"}


def test_an_output_that_fails_stops_all_workers_and_a_fault_of_ours_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, journal = looped(tmp_path, lambda item: full_record(item.id), jobs=2)

    def fail(record: dict[str, Any]) -> None:
        raise OutputFailed("make room")

    monkeypatch.setattr(journal, "write", fail)
    assert loop.all(ITEMS_OF_THREE).stopped == "make room" and journal.done == {}

    def broken(item: Item) -> dict[str, Any]:
        raise AssertionError("a fault of ours")

    with pytest.raises(AssertionError, match="a fault of ours"):
        Run(broken, journal, Progress("quiet", 3)).all(ITEMS_OF_THREE)
    journal.close()

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
from app.analysis.options import AnalysisError
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

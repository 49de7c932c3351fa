"""The pure parts of the analysis: what is named, how it is cut, how times are bound, how answers are joined."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.analysis import times
from app.analysis.command import flags_from_file
from app.analysis.manifest import Item, collect, in_shard
from app.analysis.options import AnalysisError, AnalysisOptions, parse_formats, parse_shard, parse_window
from app.analysis.progress import Progress
from app.analysis.report import file_stem, srt, vtt, write_reports
from app.analysis.tasks import Answered, number_in, reduce
from app.analysis.windows import fixed, scenes


def names(*paths: Any, lists: tuple[str, ...] = (), stdin: bytes = b"") -> list[str]:
    return [item.id for item in collect([str(p) for p in paths], lists, io.BytesIO(stdin)).items]


# --- what is named --------------------------------------------------------------------------------------------------


def test_folders_are_walked_in_order_and_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("2.mp4", "1.MKV", "notes.txt", "b/3.webm"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b" / "circle").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    found = names(tmp_path)
    assert found == [str(tmp_path / name) for name in ("1.MKV", "2.mp4", "b/3.webm")]
    assert names(tmp_path, tmp_path / "2.mp4") == found  # named twice, done once
    assert names(tmp_path / "*.mp4") == [str(tmp_path / "2.mp4")]
    assert names(tmp_path / "notes.txt") == [str(tmp_path / "notes.txt")]  # named itself: it gets a record


def test_names_that_are_not_utf8_get_a_valid_id(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.mp4", "wb") as file:
        file.write(b"x")
    (item,) = collect([str(tmp_path)], [], io.BytesIO()).items
    assert item.id.endswith(r"caf\xe9.mp4") and item.source.exists()
    json.dumps(item.id).encode()


def test_a_manifest_names_parts_and_prompts(tmp_path: Path) -> None:
    lines = [
        '{"id": "one", "source": "a.mp4", "prompt": "Why?", "start": 1, "end": 2.5}',
        '{"source": "a.mp4"}',
        "# a note",
        "b.mp4",
        "",
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    found = collect([str(tmp_path / "list.jsonl")], [], io.BytesIO())
    assert found.complaints == []
    assert found.items[0] == Item("one", tmp_path / "a.mp4", "Why?", 1.0, 2.5)
    assert [item.id for item in found.items] == ["one", "a.mp4", "b.mp4"]
    assert names(lists=("-",), stdin=b"x.mp4\ny.mp4\n") == ["x.mp4", "y.mp4"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"id": "x"', "not valid JSON"),
        ('{"prompt": "x"}', "has no source"),
        ('{"source": "a", "start": "soon"}', "start is no time"),
        ('{"source": "a", "end": NaN}', "end is no time"),
        ('{"source": 7}', "source is no text"),
        ('{"source": "a", "colour": 1}', "'colour' is no field"),
        ('{"id": "same", "source": "b.mp4"}', "already taken"),
        ("{" * 50_000, "not valid JSON"),
    ],
)
def test_a_bad_manifest_line_is_told_and_the_rest_goes_on(line: str, complaint: str) -> None:
    text = f'{{"id": "same", "source": "a.mp4"}}\n{line}\nlast.mp4\n'
    found = collect([], ["-"], io.BytesIO(text.encode()))
    assert [item.id for item in found.items] == ["same", "last.mp4"]
    assert len(found.complaints) == 1 and complaint in found.complaints[0] and "line 2" in found.complaints[0]


def test_a_line_with_an_id_gets_a_record_even_without_a_source() -> None:
    found = collect([], ["-"], io.BytesIO(b'{"id": "x"}\n{"id": "y", "source": "a", "start": 3, "end": 2}\n'))
    assert [bool(item.problem) for item in found.items] == [True, True]


def test_shards_share_everything_out_once() -> None:
    items = [Item(f"clip {n}", Path("x")) for n in range(300)]
    parts = [[item.id for item in items if in_shard(item, (i, 4))] for i in range(1, 5)]
    assert sorted(name for part in parts for name in part) == sorted(item.id for item in items)
    assert min(map(len, parts)) > 40


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "sing"},
        {"task": "qa"},
        {"task": "count", "prompt": " "},
        {"task": "caption", "fps": 0.0},
        {"task": "caption", "window": 0.5},
        {"task": "caption", "window": 10.0, "overlap": 6.0},
        {"task": "caption", "window": "scenes", "overlap": 1.0},
        {"task": "caption", "max_frames": 1},
        {"task": "caption", "jobs": 0},
        {"task": "caption", "shard": (3, 2)},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AnalysisError):
        AnalysisOptions(**wrong)


def test_flags_are_parsed_or_refused() -> None:
    assert parse_shard("2/8") == (2, 8) and parse_window("whole") == "whole" and parse_window("12.5") == 12.5
    assert parse_formats("jsonl, csv,csv") == ("jsonl", "csv")
    for parse, text in ((parse_shard, "2"), (parse_window, "long"), (parse_formats, "pdf")):
        with pytest.raises(AnalysisError):
            parse(text)


def test_a_run_goes_on_only_with_the_same_question() -> None:
    one = AnalysisOptions(task="caption", jobs=1)
    assert one.fingerprint("m") == AnalysisOptions(task="caption", jobs=2, retries=5).fingerprint("m")
    assert one.fingerprint("m") != AnalysisOptions(task="caption", fps=1.0).fingerprint("m")
    assert one.fingerprint("m") != one.fingerprint("n")


# --- how it is cut --------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.floats(0, 50), st.floats(0.01, 4000), st.floats(1, 600), st.floats(0, 0.5))
def test_fixed_windows_cover_everything_and_overlap_as_asked(
    start: float, duration: float, length: float, part: float
) -> None:
    overlap = part * length
    windows = fixed(start, start + duration, length, overlap)
    assert windows[0].start_sec == start and windows[-1].end_sec == start + duration
    for one, other in zip(windows, windows[1:]):
        assert one.end_sec - other.start_sec == pytest.approx(overlap, abs=1e-6)
        assert one.end_sec - one.start_sec == pytest.approx(length, abs=1e-6)
    assert windows[-1].end_sec - windows[-1].start_sec <= length + 1 + 1e-6


@settings(deadline=None)
@given(st.lists(st.floats(0, 300), max_size=30), st.floats(0.05, 300))
def test_scenes_cover_everything_without_gaps(cuts: list[float], duration: float) -> None:
    windows = scenes(0.0, duration, cuts)
    assert windows[0].start_sec == 0 and windows[-1].end_sec == duration
    for one, other in zip(windows, windows[1:]):
        assert one.end_sec == pytest.approx(other.start_sec)
    assert all(one.end_sec - one.start_sec <= 60 + 1e-6 for one in windows)


# --- times in words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bound", "start", "end"),
    [
        ("The red ball appears at 3.5 seconds.", "The red ball appears at 103.5 seconds.", 103.5, 103.5),
        ("It is shown from 2 to 5 seconds.", "It is shown from 102 to 105 seconds.", 102.0, 105.0),
        ("0:03 - 0:07 a dog runs", "1:43 - 1:47 a dog runs", 103.0, 107.0),
        ("[0:03] A dog runs", "[1:43] A dog runs", 103.0, 103.0),
        ("[2.0s - 4.5s] A dog", "[102s - 104.5s] A dog", 102.0, 104.5),
        ("After 1 second it is gone.", "After 101 second it is gone.", 101.0, 101.0),
        ("Between 1 and 2 seconds it flashes.", "Between 101 and 102 seconds it flashes.", 101.0, 102.0),
        ("Three dogs and 12 cats at 50% size.", "Three dogs and 12 cats at 50% size.", None, None),
        ("At 5 houses we stop.", "At 5 houses we stop.", None, None),
        ("It ends at 99 seconds.", "It ends at 110 seconds.", 110.0, 110.0),
    ],
)
def test_times_in_an_answer_become_real_and_stay_inside(
    text: str, bound: str, start: float | None, end: float | None
) -> None:
    (told,) = times.bind(text, lambda seconds: min(100 + seconds, 110.0))
    assert (told.text, told.start_sec, told.end_sec) == (bound, start, end)


def test_sentences_are_told_apart() -> None:
    told = times.bind("A cat comes at 1.5 seconds. It goes at 3 seconds.\nA dog", lambda seconds: seconds)
    assert [one.start_sec for one in told] == [1.5, 3.0, None]


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_answer_breaks_the_reading_of_times(text: str) -> None:
    for told in times.bind(text, lambda seconds: min(seconds, 10.0)):
        assert (told.start_sec is None) == (told.end_sec is None)
        assert told.end_sec is None or told.end_sec <= 10


# --- how answers are joined -----------------------------------------------------------------------------------------


def answered(start: float, end: float, text: str, offset: float = 0.0) -> Answered:
    told = tuple(times.bind(text, lambda seconds: min(end, offset + seconds)))
    return Answered(start, end, text, told, 0.5)


def test_an_event_at_a_seam_is_found_once_and_two_of_a_kind_stay_two() -> None:
    windows = [
        answered(0, 10, "A red ball appears at 9 seconds. A dog barks at 2 seconds."),
        answered(8, 18, "A red ball appears at 1.5 seconds. A dog barks at 6 seconds.", 8),
    ]
    answer, segments = reduce("events", windows)
    assert [(one["start_sec"], one["text"].split(" at")[0]) for one in segments] == [
        (2.0, "A dog barks"),
        (9.0, "A red ball appears"),
        (14.0, "A dog barks"),
    ]
    assert answer.count("red ball") == 1


def test_captions_that_say_the_same_become_one() -> None:
    _, segments = reduce("caption", [answered(0, 5, "A road."), answered(5, 10, "A road."), answered(10, 12, "A cat.")])
    assert [(one["start_sec"], one["end_sec"], one["text"]) for one in segments] == [
        (0, 10, "A road."),
        (10, 12, "A cat."),
    ]


def test_counts_are_added() -> None:
    answer, segments = reduce("count", [answered(0, 5, "It flashes twice."), answered(5, 10, "It flashes 3 times.")])
    assert answer == "5" and [one["count"] for one in segments] == [2, 3]
    assert reduce("count", [answered(0, 5, "Perhaps.")])[0] == ""
    assert [number_in(text) for text in ("None.", "three cats", "I see 12.", "a lot")] == [0, 3, 12, None]


# --- what is told and written ---------------------------------------------------------------------------------------


def test_progress_tells_rates_failures_and_what_is_left() -> None:
    now, out = [0.0], io.StringIO()
    progress = Progress("lines", 4, clock=lambda: now[0], out=out)
    assert progress.eta_sec is None
    for name, status in (("a", "ok"), ("b", "error")):
        now[0] += 5
        progress.window(Item(name, Path("x")), 1, 1, 20.0)
        error = {"type": "X", "message": "is broken"} if status == "error" else None
        progress.item({"id": name, "status": status, "duration_sec": 20.0, "error": error})
    assert progress.eta_sec == pytest.approx(10)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("1/4 ok a · 4.0 × real time, 15 s to go")
    assert "2/4 error b: is broken" in lines[1] and "1 failed" in lines[1]


def test_progress_for_programs_is_json() -> None:
    out = io.StringIO()
    progress = Progress("json", 1, clock=lambda: 1.0, out=out)
    progress.item({"id": "a", "status": "ok", "duration_sec": 1.0, "error": None})
    assert json.loads(out.getvalue())["event"] == "item"


EVIL = '<img src=x onerror=alert(1)> --> \n\n{{7*7}} "quoted" =1+1'


def results(tmp_path: Path) -> Path:
    record = {
        "id": "../../x.html",
        "source": "gone.mp4",
        "sha256": "0",
        "status": "ok",
        "duration_sec": 10.0,
        "prompt": EVIL,
        "answer": "=cmd()",
        "segments": [
            {"start_sec": 0.0, "end_sec": 4.0, "text": EVIL},
            {"start_sec": 3725.5, "end_sec": 3725.5, "text": "A moment."},
            {"start_sec": 5.0, "end_sec": 6.0, "text": " "},
        ],
        "coverage": {"frames": 8, "effective_fps": 2.0, "gaps_sec": [[8, 9]], "truncated": True, "sound": False},
        "model": "m",
        "error": None,
    }
    failed = {**record, "id": "b", "status": "error", "segments": [], "answer": None, "duration_sec": None}
    failed["error"] = {"type": "MediaUnreadable", "message": EVIL}
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (record, failed)))
    return path


def test_reports_hold_what_the_records_say_and_nothing_of_it_is_markup(tmp_path: Path) -> None:
    path = results(tmp_path)
    made = write_reports(path, ("jsonl", "csv", "parquet", "srt", "vtt", "html"))
    assert [one.name for one in made] == ["r.csv", "r.parquet", "r.srt", "r.vtt", "r.html"]

    import csv

    import pyarrow.parquet

    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert [row["status"] for row in rows] == ["ok", "error"] and rows[0]["answer"] == "'=cmd()"
    assert json.loads(rows[0]["segments"])[0]["text"] == EVIL
    table = pyarrow.parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert table[0]["segments"][0] == {"start_sec": 0.0, "end_sec": 4.0, "text": EVIL}
    assert table[1]["duration_sec"] is None and table[0]["truncated"] is True

    page = (tmp_path / "r.html").read_text()
    assert "<img src=x" not in page and "&lt;img src=x onerror" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "http://" not in page and "https://" not in page
    (subtitle,) = (tmp_path / "r.srt").iterdir()
    assert subtitle.parent == tmp_path / "r.srt" and ".." not in subtitle.name


def test_subtitles_keep_their_form_whatever_the_text() -> None:
    segments = [
        {"start_sec": 0.0, "end_sec": 4.0, "text": EVIL},
        {"start_sec": 3725.5, "end_sec": 3725.5, "text": "A moment."},
    ]
    blocks = srt(segments).strip().split("\n\n")
    assert len(blocks) == 2 and blocks[1] == "2\n01:02:05,500 --> 01:02:07,500\nA moment."
    assert blocks[0].count("-->") == 1
    assert vtt(segments).startswith("WEBVTT\n\n00:00:00.000 --> 00:00:04.000\n&lt;img")


def test_file_names_of_different_ids_differ() -> None:
    assert len({file_stem(name) for name in ("a/b", "a_b", "a\\b", "../a b", "..")}) == 5


def test_what_is_no_results_file_is_named(tmp_path: Path) -> None:
    for text in ("nonsense\n", '{"id": 1}\n', "[]\n", "[" * 50_000 + "\n"):
        (tmp_path / "r.jsonl").write_text(text)
        with pytest.raises(AnalysisError, match=r"r\.jsonl, line 1"):
            write_reports(tmp_path / "r.jsonl", ("csv",))
    with pytest.raises(AnalysisError, match="cannot be read"):
        write_reports(tmp_path / "no.jsonl", ("csv",))


# --- flags from a file ----------------------------------------------------------------------------------------------

KNOWN: dict[str, Any] = {
    "paths": None,
    "lists": None,
    "prompt": None,
    "task": None,
    "schema": None,
    "out": Path("results.jsonl"),
    "fps": "auto",
    "window": "30",
    "jobs": 1,
    "quiet": False,
    "config": None,
}


def test_flags_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "analysis.toml"
    file.write_text(
        'a = ["list.txt"]\ntask = "events"\nwindow = 12.5\nfps = 1\njobs = 2\nout = "x.jsonl"\nquiet = true\n'
    )
    found = flags_from_file(file, KNOWN)
    assert found == {
        "lists": ["list.txt"],
        "task": "events",
        "window": "12.5",
        "fps": "1",
        "jobs": 2,
        "out": Path("x.jsonl"),
        "quiet": True,
    }


@pytest.mark.parametrize(
    "text", ["colour = 1", "jobs = true", "jobs = {}", "task =", 'quiet = "yes"', "prompt = true", "a = [1]"]
)
def test_a_file_of_flags_that_is_wrong_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "analysis.toml").write_text(text)
    with pytest.raises(AnalysisError, match=r"analysis\.toml"):
        flags_from_file(tmp_path / "analysis.toml", KNOWN)

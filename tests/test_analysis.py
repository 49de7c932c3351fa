"""Items → records, on clips whose content is known: a stand-in that really looks at the frames answers, so that times,
seams, coverage and damage are tested; the seeded random checkpoint answers where only the shape matters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.analysis import times
from app.analysis.answerer import Answer, AnswerFailed, Circles, ThinkerAnswerer
from app.analysis.decoder import Decoder
from app.analysis.item import Analyst, analyze
from app.analysis.manifest import Item
from app.analysis.options import AnalysisOptions
from app.analysis.plan import plan
from multimodal.checkpoint import load
from multimodal.limits import DEFAULT_LIMITS
from multimodal.media import AudioClip, VideoClip
from multimodal.outline import Sampled, outline
from multimodal.sampling import FrameBudget
from multimodal.video import read_video
from reasoning.json_schema import JsonSchema
from tests.media_files import B_FRAMES, ENCRYPTED, SMALL, click_track, tone, write_video
from tests.scripted_server import answer, scripted

ROOT = Path(__file__).resolve().parent.parent
EVENTS = AnalysisOptions(task="events", window=10.0)


class NoWindows:
    def window(self, item: str, sha256: str, number: int) -> None:
        return None

    def keep_window(self, item: str, sha256: str, number: int, answer: dict[str, Any]) -> None:
        json.dumps(answer)


@dataclass
class Watcher:
    """Answers what it sees: when the picture turns bright, how bright it is on the left, when a click is heard.

    script: answers to give instead, one after another.
    """

    name: str = "watcher"
    hears: bool = True
    script: list[Any] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def budget(self, **overrides: Any) -> FrameBudget:
        return replace(SMALL, **overrides)

    def tokens(self, sampled: Sampled, sound_sec: float, question: str) -> int:
        return sampled.frames

    def answer(
        self, content: tuple[Any, ...], max_tokens: int, seed: int, schema: JsonSchema | None, second_try: bool
    ) -> Answer:
        self.asked.append((*content, seed, second_try))
        if self.script:
            made = self.script.pop(0)
            if isinstance(made, Exception):
                raise made
            return made if isinstance(made, Answer) else Answer(made, "completed", 10, 5)
        assert isinstance(content[0], VideoClip)
        return Answer(watch(content[0]), "completed", 10, 5)

    def close(self) -> None:
        pass


def watch(clip: VideoClip) -> str:
    """Times as a model tells them: from the window's first frame, by the number of the frame."""
    bright = clip.frames.mean(axis=(1, 2, 3)) > 128
    turns = [i for i in range(1, len(bright)) if bright[i] and not bright[i - 1]]
    return " ".join(f"A flash appears at {i / clip.fps:g} seconds." for i in turns)


def flashes(*spans: tuple[int, int]) -> Callable[[int, int, int], np.ndarray]:
    """Frames that are bright between two numbers."""

    def draw(number: int, height: int, width: int) -> np.ndarray:
        level = 220 if any(first <= number < last for first, last in spans) else 30
        return np.full((height, width, 3), level, np.uint8)

    return draw


def done(path: Path, options: AnalysisOptions = EVENTS, watcher: Any = None, **item: Any) -> dict[str, Any]:
    analyst = Analyst(options, watcher or Watcher(), DEFAULT_LIMITS, NoWindows())
    record = analyze(Item(path.name, path, **item), analyst)
    json.dumps(record, allow_nan=False)
    return record


def starts(record: dict[str, Any]) -> list[float]:
    assert record["status"] == "ok", record["error"]
    return [segment["start_sec"] for segment in record["segments"]]


# --- times ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flashing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 s at 10 frames a second; flashes at 3, 10 (a border of windows), 18.5 and 27 s."""
    draw = flashes((30, 35), (100, 110), (185, 195), (270, 280))
    return write_video(tmp_path_factory.mktemp("flash") / "flash.mp4", 300, 10, draw=draw)


@pytest.mark.parametrize("window", [7.0, 10.0, 13.0, 30.0, "whole"])
def test_events_have_real_times_and_those_at_seams_come_once(flashing: Path, window: Any) -> None:
    record = done(flashing, replace(EVENTS, window=window))
    np.testing.assert_allclose(starts(record), [3.0, 10.0, 18.5, 27.0], atol=0.5)
    assert record["coverage"]["gaps_sec"] == [] and not record["coverage"]["truncated"]
    assert record["coverage"]["effective_fps"] == pytest.approx(2.0, rel=0.35)
    assert "0:18" in record["answer"] and record["answer"].count("\n") == 3


def test_a_part_of_a_video_has_the_times_of_the_whole(flashing: Path) -> None:
    record = done(flashing, replace(EVENTS, window=5.0), start_sec=15.0, end_sec=25.0)
    np.testing.assert_allclose(starts(record), [18.5], atol=0.5)
    assert done(flashing, start_sec=99.0)["error"]["message"].startswith("it ends at 30.0 s")


def test_variable_frame_rates_keep_their_times(tmp_path: Path) -> None:
    times_ms = [*range(0, 4000, 40), *range(4000, 16_000, 400), *range(16_000, 20_000, 40)]
    bright = [n for n, ms in enumerate(times_ms) if 12_000 <= ms < 13_500]
    path = write_video(tmp_path / "v.mp4", times_ms=times_ms, draw=flashes((bright[0], bright[-1] + 1)))
    np.testing.assert_allclose(starts(done(path)), [12.0], atol=0.5)


@pytest.mark.parametrize("rotation", [None, 90.0, 180.0])
@pytest.mark.parametrize("size", [(192, 96), (96, 192)])
def test_rotated_and_portrait_clips_are_upright(tmp_path: Path, rotation: float | None, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "r.mp4", 40, 10, size=size, rotation=rotation, draw=flashes((20, 30)))
    watcher = Watcher()
    np.testing.assert_allclose(starts(done(path, watcher=watcher)), [2.0], atol=0.5)
    height, width = watcher.asked[0][0].frames.shape[1:3]
    assert (height > width) == ((size[0] > size[1]) != (rotation == 90.0))


@pytest.mark.parametrize(("frames", "fps"), [(1, 10), (2, 10), (6, 30)])
def test_the_shortest_clips_have_a_record(tmp_path: Path, frames: int, fps: int) -> None:
    record = done(write_video(tmp_path / "s.mp4", frames, fps), AnalysisOptions(task="caption"), Watcher(script=["x"]))
    assert record["status"] == "ok" and record["answer"] == "x"
    assert record["segments"][0]["end_sec"] <= record["duration_sec"] + 1e-3


def test_a_4k_clip_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "4k.mp4", 20, 10, size=(2160, 3840), draw=flashes((10, 20)))
    np.testing.assert_allclose(starts(done(path)), [1.0], atol=0.5)


def test_an_hour_is_answered_to_its_end(tmp_path: Path) -> None:
    draw = flashes((2000, 2004), (3600, 3610), (7150, 7160))  # the second on a border of windows
    hour = write_video(tmp_path / "hour.mp4", 7200, 2, (32, 64), options={"preset": "ultrafast", "g": "600"}, draw=draw)
    watcher = Watcher()
    record = done(hour, replace(EVENTS, window=60.0), watcher)
    np.testing.assert_allclose(starts(record), [1000.0, 1800.0, 3575.0], atol=0.5)
    assert record["duration_sec"] == pytest.approx(3600.0) and len(watcher.asked) >= 60
    assert record["coverage"]["gaps_sec"] == [] and "59:35" in record["answer"]


def test_sound_longer_than_the_pictures_is_heard_and_times_stay_in_the_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", 50, 10, sound=tone(9, 48_000), draw=flashes((20, 30)))
    watcher = Watcher()
    record = done(path, watcher=watcher)
    clip = watcher.asked[-1][0]
    assert clip.audio.duration_sec == pytest.approx(9, abs=0.1) and record["duration_sec"] == pytest.approx(5, abs=0.1)
    assert all(segment["end_sec"] <= 5.001 for segment in record["segments"])


def test_sound_is_heard_wanted_or_left_out(tmp_path: Path) -> None:
    silent = write_video(tmp_path / "silent.mp4", 30, 10)
    loud = write_video(tmp_path / "loud.mp4", 30, 10, sound=tone(3, 48_000))
    for path, audio, hears, expected in (
        (silent, "auto", True, False),
        (loud, "auto", True, True),
        (loud, "off", True, False),
        (loud, "auto", False, False),
        (loud, "on", True, True),
    ):
        watcher = Watcher(hears=hears)
        record = done(path, replace(EVENTS, audio=audio), watcher)
        assert record["coverage"]["sound"] == expected == (watcher.asked[0][0].audio is not None)
    assert "no sound track" in done(silent, replace(EVENTS, audio="on"))["error"]["message"]


def test_scenes_are_cut_where_the_picture_changes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "scenes.mp4", 200, 10, draw=flashes((60, 130)))
    watcher = Watcher(script=["one", "two", "three"])
    record = done(path, AnalysisOptions(task="caption", window="scenes"), watcher)
    np.testing.assert_allclose(starts(record), [0.0, 6.0, 13.0], atol=1e-3)
    assert record["segments"][-1]["end_sec"] == pytest.approx(20.0)
    for clip, level in zip([content[0] for content in watcher.asked], (30, 220, 30), strict=True):
        assert np.abs(clip.frames.astype(int) - level).max() < 12, "no frame of a scene is seen with another"


def test_a_cut_between_two_blocks_is_found_and_a_moving_camera_is_no_cut(tmp_path: Path) -> None:
    def panning(number: int, height: int, width: int) -> np.ndarray:
        stripes = ((np.arange(width) + 9 * number) // 16 % 2 * 180 + 30).astype(np.uint8)
        return np.repeat(np.tile(stripes, (height, 1))[..., None], 3, axis=2)

    still = write_video(tmp_path / "still.mp4", 320, 4, draw=flashes((240, 330)))
    decoder = Decoder(still, DEFAULT_LIMITS, 1, 60)
    np.testing.assert_allclose(decoder.cuts(0.0, 80.0), [60.0], atol=1e-3)
    decoder.close()
    decoder = Decoder(write_video(tmp_path / "pan.mp4", 100, 10, draw=panning), DEFAULT_LIMITS, 1, 60)
    assert decoder.cuts(0.0, 10.0) == []
    decoder.close()


def test_windows_that_a_decoder_reads_one_after_the_other_are_those_read_alone(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", 160, 20, options=B_FRAMES, sound=tone(8, 48_000))
    windows = [(n * 1.0, n + 1 - 1e-3) for n in range(8)]
    decoder = Decoder(path, DEFAULT_LIMITS, 1, 60)
    try:
        for start, end in windows:
            decoder.ask("window", SMALL, True, start, end)
        for start, end in windows:
            clip, alone = decoder.answer(), read_video(path, SMALL, DEFAULT_LIMITS, True, start or None, end)
            assert np.array_equal(clip.frames, alone.frames) and np.array_equal(clip.times_sec, alone.times_sec)
            assert alone.audio is not None and np.array_equal(clip.audio.samples, alone.audio.samples)
            assert clip.complete
    finally:
        decoder.close()


def test_a_decoder_ends_with_its_run(tmp_path: Path, flashing: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from app.analysis.decoder import Decoder; "
        "from multimodal.limits import DEFAULT_LIMITS\n"
        "if __name__ == '__main__':\n"
        "    decoder = Decoder(Path(sys.argv[1]), DEFAULT_LIMITS, 1, 60); decoder.outline()\n"
        "    print(decoder._child.pid, flush=True); time.sleep(60)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen([sys.executable, str(script), str(flashing)], stdout=subprocess.PIPE, text=True, env=environ)
    assert run.stdout is not None
    child = int(run.stdout.readline())
    run.kill()
    run.communicate()
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{child}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{child}")


def test_a_confined_decoder_knows_its_processor() -> None:
    code = (
        "import sys, torch; from app.isolation import confine; confine(sys.prefix)\n"
        "torch.nn.functional.interpolate(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), size=(2, 2), mode='bicubic')\n"
        "print(torch.backends.cpu.get_cpu_capability())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == torch.backends.cpu.get_cpu_capability() and not run.stderr


def test_fewer_frames_are_taken_where_a_most_is_given(flashing: Path) -> None:
    record = done(flashing, replace(EVENTS, max_frames=12), Watcher())
    assert record["coverage"]["frames"] <= 16 and record["coverage"]["effective_fps"] < 0.6


# --- damage and bad input -------------------------------------------------------------------------------------------


def broken(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_is_no_video_gets_a_record_that_says_what_to_do(tmp_path: Path, flashing: Path) -> None:
    sound = write_video(tmp_path / "s.mp4", 5, 10, sound=tone(1, 48_000))
    encrypted = write_video(tmp_path / "e.mp4", 60, 10, sound=tone(6, 48_000), container_options=ENCRYPTED)
    cases = {
        "nothing.mp4": (None, "does not exist"),
        "empty.mp4": (b"", "is empty"),
        "list.mp4": (b"#EXTM3U\nhttp://example.org/a.ts\n", "playlist"),
        "text.mp4": (b"hello " * 100, "damaged|text"),
        "half.mp4": (flashing.read_bytes()[:2000], "damaged|cut short"),
        "drm.mp4": (encrypted.read_bytes(), "encrypted"),
        "noise.mp4": (sound.read_bytes()[:40] + os.urandom(5000), "damaged|cut short|no picture"),
    }
    for name, (content, complaint) in cases.items():
        path = tmp_path / name if content is None else broken(tmp_path / name, content)
        record = done(path)
        assert record["status"] == "error" and record["segments"] == [], name
        message = record["error"]["message"]
        assert any(part in message for part in complaint.split("|")) and "\n" not in message, (name, message)
        assert str(tmp_path) not in message


def test_a_file_cut_short_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    whole = write_video(
        tmp_path / "whole.mp4", 300, 10, draw=flashes((30, 40), (250, 260)), container_options={"movflags": "faststart"}
    )
    data = whole.read_bytes()
    record = done(broken(tmp_path / "cut.mp4", data[: len(data) * 6 // 10]))
    np.testing.assert_allclose(starts(record), [3.0], atol=0.5)
    assert record["coverage"]["truncated"] and record["coverage"]["gaps_sec"]


def test_a_damaged_middle_is_flagged_and_the_rest_is_answered(tmp_path: Path) -> None:
    path = write_video(tmp_path / "d.ts", 300, 10, options=B_FRAMES, draw=flashes((30, 40), (270, 280)), sound=None)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 188 * 12] = os.urandom(188 * 12)
    record = done(broken(tmp_path / "damaged.ts", bytes(data)))
    assert record["status"] == "ok" and 3.0 in [round(start) for start in starts(record)]
    assert 27.0 in [round(start) for start in starts(record)] and record["coverage"]["truncated"]


def test_a_decoder_that_hangs_is_killed(flashing: Path) -> None:
    started = time.monotonic()
    record = done(flashing, replace(EVENTS, timeout=0.001))
    assert record["error"]["type"] == "DecoderTimeout" and "--timeout" in record["error"]["message"]
    assert time.monotonic() - started < 30


def test_one_broken_file_in_a_hundred_costs_one_record(tmp_path: Path) -> None:
    from app.analysis.journal import Journal
    from app.analysis.manifest import collect
    from app.analysis.progress import Progress
    from app.analysis.run import Run

    videos = tmp_path / "videos"
    videos.mkdir()
    first = write_video(videos / "0.mp4", 10, 10, draw=flashes((5, 8)))
    for n in range(1, 100):
        data = first.read_bytes()
        (videos / f"{n}.mp4").write_bytes(data[:900] if n == 42 else data)
    items = collect([str(videos)], [], sys.stdin.buffer).items
    journal = Journal(tmp_path / "r.jsonl", "f")
    loop = Run(lambda item: analyze(item, analyst), journal, Progress("quiet", 100), 2)
    analyst = Analyst(EVENTS, Watcher(), DEFAULT_LIMITS, journal, tell=loop.tell)
    assert loop.all(items).stopped is None
    journal.close()
    records = list(lines(tmp_path / "r.jsonl"))
    assert [record["id"] for record in records if record["status"] == "error"] == [str(videos / "42.mp4")]
    good = [record for record in records if record["status"] == "ok"]
    assert len(good) == 99 and all(starts(record) == starts(good[0]) for record in good)


# --- answers --------------------------------------------------------------------------------------------------------


def test_a_text_in_circles_is_stopped_tried_once_more_and_recorded(flashing: Path) -> None:
    options = AnalysisOptions(task="caption", window="whole")
    circle = Answer("no no no", "repetition", 10, 5)
    watcher = Watcher(script=[circle, "A flash."])
    record = done(flashing, options, watcher)
    assert record["answer"] == "A flash." and "problem" not in record["segments"][0]
    assert [asked[-1] for asked in watcher.asked] == [False, True]
    assert record["tokens"] == {"prompt": 20, "completion": 10}
    record = done(flashing, replace(options, window=15.0), Watcher(script=[circle, circle, "A flash."]))
    assert [segment.get("problem") for segment in record["segments"]] == ["repetition", None]
    assert done(flashing, options, Watcher(script=[circle, circle]))["error"]["type"] == "Repetition"


def test_circles_and_endless_blanks_are_noticed() -> None:
    for piece in ("the same again ", " ", "\n\n"):
        circles = Circles()
        assert any(circles.push(piece) for _ in range(200)), piece
    circles = Circles()
    assert not any(circles.push(f"{n} is a number, and {n * n} its square. ") for n in range(100))


def test_a_question_about_many_windows_looks_again_where_the_answer_is(flashing: Path) -> None:
    watcher = Watcher(script=["No.", "Yes.", "No.", '"2"', "It flashes at 8.5 seconds."])
    record = done(flashing, AnalysisOptions(task="qa", prompt="When does it flash last?", window=10.0), watcher)
    (told,) = times.bind(record["answer"], lambda seconds: seconds)
    assert told.text.startswith("It flashes at 18.") and told.start_sec == pytest.approx(18.5, abs=0.15)
    closer, first = watcher.asked[-1][0], watcher.asked[1][0]
    assert closer.fps > 1.5 * first.fps and closer.times_sec[0] == pytest.approx(first.times_sec[0], abs=0.2)
    watcher = Watcher(script=["No.", "Yes.", "No.", '"all"', "In the middle."])
    assert (
        done(flashing, AnalysisOptions(task="qa", prompt="Where?", window=10.0), watcher)["answer"] == "In the middle."
    )
    assert "2. 0:10–0:20: Yes." in watcher.asked[-1][0]


def test_counts_of_windows_are_added(flashing: Path) -> None:
    options = AnalysisOptions(task="count", prompt="How many flashes?", window=10.0)
    assert done(flashing, options, Watcher(script=["Once.", "Twice.", "1"]))["answer"] == "4"


def test_json_answers_are_validated_and_their_times_bound(flashing: Path) -> None:
    schema = JsonSchema({"type": "array", "items": {"type": "object", "properties": {"start_sec": {"type": "number"}}}})
    analyst = Analyst(
        AnalysisOptions(task="qa", prompt="List.", schema=schema.schema, window=15.0),
        *(Watcher(script=['[{"start_sec": 3}]', '[{"start_sec": 3.5}, {"start_sec": 99}]']), DEFAULT_LIMITS),
        *(NoWindows(), schema),
    )
    record = analyze(Item("a", flashing), analyst)
    found = [one["start_sec"] for one in record["data"]]
    np.testing.assert_allclose(found, [3.0, 18.5, 30.0], atol=0.2)
    assert json.loads(record["answer"]) == record["data"]
    bad = replace(analyst, answerer=Watcher(script=["[{"]))
    assert analyze(Item("a", flashing), bad)["error"]["type"] == "SchemaViolation"


def test_an_answerer_that_fails_is_an_error_of_the_item(flashing: Path) -> None:
    record = done(flashing, watcher=Watcher(script=[AnswerFailed("the server cannot be reached")]))
    assert record["error"] == {"type": "AnswerFailed", "message": "the server cannot be reached"}


def test_speech_is_found_and_told_with_its_times(tmp_path: Path) -> None:
    import soundfile

    spoken, rate = soundfile.read(ROOT / "docs/samples/question.wav", dtype="float32")
    gap = np.zeros(3 * rate, np.float32)
    sound = np.concatenate([gap, spoken, gap])
    path = write_video(tmp_path / "talk.mkv", 150, 10, sound=sound, sound_hz=rate, sound_codec="pcm_s16le")
    watcher = Watcher(script=["what is in this picture"] * 5)
    record = done(path, AnalysisOptions(task="transcript"), watcher)
    assert record["status"] == "ok", record["error"]
    assert all(isinstance(asked[0], AudioClip) for asked in watcher.asked)
    assert starts(record)[0] == pytest.approx(3.0, abs=0.5)
    assert record["segments"][-1]["end_sec"] == pytest.approx(3 + len(spoken) / rate, abs=0.5)


# --- the model itself -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thinker(tiny_checkpoint: Path) -> ThinkerAnswerer:
    return ThinkerAnswerer(load(tiny_checkpoint, speech=False))


def test_the_plan_knows_the_exact_number_of_tokens(tmp_path: Path, thinker: ThinkerAnswerer, flashing: Path) -> None:
    clips = [
        flashing,
        write_video(tmp_path / "a.mp4", 170, 15, sound=click_track(11.5, 48_000, [1, 5]), options=B_FRAMES),
        write_video(tmp_path / "b.mkv", 100, 25, size=(192, 96), sound=tone(3, 48_000), sound_codec="pcm_s16le"),
        write_video(tmp_path / "c.mp4", times_ms=[0, 33, 100, 1000, 2500, 2533, 4000, 7000]),
        write_video(tmp_path / "d.mp4", 1, 10),
    ]
    for path in clips:
        for window in (4.0, 9.0):
            options = AnalysisOptions(task="caption", window=window, max_tokens=1)
            planned = plan(Item("x", path), outline(path), (), options, thinker, DEFAULT_LIMITS)
            for one in planned.windows:
                assert one.sampled is not None
                clip = read_video(
                    path, one.budget, DEFAULT_LIMITS, planned.audio, one.start_sec or None, one.read_to_sec
                )
                assert one.sampled.frames == len(clip.frames)
                made = thinker.answer((clip, planned.question), 1, 0, None, False)
                assert abs(made.prompt_tokens - one.tokens) <= (1 if planned.audio else 0), (path.name, one)


def test_a_random_model_answers_by_a_schema_the_same_every_time(thinker: ThinkerAnswerer, flashing: Path) -> None:
    schema = JsonSchema({"type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}},
                         "required": ["n"], "additionalProperties": False})  # fmt: skip
    options = AnalysisOptions(task="qa", prompt="Count.", schema=schema.schema, window="whole", seed=3)
    analyst = Analyst(options, thinker, DEFAULT_LIMITS, NoWindows(), schema)
    first, again = (analyze(Item("a", flashing), analyst) for _ in range(2))
    assert first["status"] == "ok" and 0 <= first["data"]["n"] <= 9
    assert first["data"] == again["data"] and first["tokens"] == again["tokens"]


# --- the command ----------------------------------------------------------------------------------------------------


def command(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "app", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for n in range(3):
        write_video(root / f"{n}.mp4", 60 + 40 * n, 10, sound=tone(6, 48_000) if n else None)
    (root / "list.mp4").write_text("#EXTM3U\n")
    return root


def lines(path: Path) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, path.read_text().splitlines())


def bare(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "timings_sec"}


def test_a_folder_is_analysed_killed_gone_on_with_and_reported(
    tmp_path: Path, folder: Path, tiny_checkpoint: Path
) -> None:
    flags = ["--model", tiny_checkpoint, "--window", "3", "--max-tokens", "8", "--task", "caption"]
    more = ["--jobs", "2", "--format", "jsonl,html,srt"]
    whole = command("analyze", folder, *flags, "--out", tmp_path / "whole.jsonl", *more)
    assert whole.returncode == 3, whole.stderr
    assert "1 of 4 items failed" in whole.stderr and whole.stdout == ""
    expected = {record["id"]: bare(record) for record in lines(tmp_path / "whole.jsonl")}
    assert len(expected) == 4 and sum(record["status"] == "ok" for record in expected.values()) == 3
    assert "data:image/jpeg" in (tmp_path / "whole.html").read_text()

    results = tmp_path / "killed.jsonl"
    line = [sys.executable, "-m", "app", "analyze", folder, *flags, "--out", results, "--json-progress"]
    child = subprocess.Popen(list(map(str, line)), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    told = next((line for line in child.stderr if '"event": "window"' in line), None)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert told is not None
    finished = command("analyze", folder, *flags, "--out", results, "--quiet")
    assert finished.returncode == 3 and {record["id"]: bare(record) for record in lines(results)} == expected
    other = command("analyze", folder, *flags[:-1], "events", "--out", results)
    assert other.returncode == 2 and "--overwrite" in other.stderr

    made = command("report", results, "--format", "csv,vtt")
    assert made.returncode == 0 and made.stdout.split() == [str(tmp_path / "killed.csv"), str(tmp_path / "killed.vtt")]


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(
    tmp_path: Path, folder: Path, tiny_checkpoint: Path
) -> None:
    flags = ["--model", tiny_checkpoint, "--dry-run", "--window", "3", "--out", tmp_path / "no.jsonl"]
    ran = command("analyze", folder, *flags)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["media_sec"] == pytest.approx(6 + 10 + 14, abs=0.5) and told["estimated_sec"] > 0
    assert sum(bool(row["problem"]) for row in told["items"]) == 1 and told["tokens"] > 0
    assert list(tmp_path.iterdir()) == [] and "windows" in ran.stderr


def test_a_remote_model_is_shown_frames_with_their_times(tmp_path: Path, folder: Path) -> None:
    with scripted(answer("A red ball appears at 1 second.")) as server:
        flags = ["--backend", "openai", "--base-url", server.url, "--model", "qwen2.5-vl-7b", "--task", "events"]
        ran = command("analyze", folder / "0.mp4", *flags, "--out", tmp_path / "r.jsonl")
        assert ran.returncode == 0, ran.stderr
    (record,) = lines(tmp_path / "r.jsonl")
    assert record["segments"][0]["start_sec"] == pytest.approx(1.0, abs=0.3) and record["model"] == "qwen2.5-vl-7b"
    content = server.requests[0][2]["messages"][-1]["content"]
    assert [part["type"] for part in content[:2]] == ["text", "image_url"] and content[0]["text"] == "[0.0 s]"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nothing to analyse"),
        (["x.mp4", "--task", "sing"], "choose one of"),
        (["x.mp4", "--format", "pdf"], "--format pdf"),
        (["x.mp4", "--out", "no/where.jsonl"], "no such folder"),
        (["-a", "no.txt"], "cannot be read"),
        (["x.mp4", "--schema", "no.json"], "schema"),
        (["x.mp4", "--config", "no.toml"], "no.toml"),
    ],
)
def test_what_cannot_be_used_ends_in_one_line(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    from typer.testing import CliRunner

    from app.cli import app

    ran = CliRunner().invoke(app, ["analyze", *arguments])
    assert ran.exit_code == 2 and complaint in ran.stderr and len(ran.stderr.splitlines()) == 1

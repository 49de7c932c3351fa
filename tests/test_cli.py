"""The command line: what is asked, what streams out, and one clear line for everything that cannot be used."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner, Result

from app.cli import app
from app.config import Config, resolve
from app.wav import GrowingWav

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "docs" / "samples"
PICTURE, SOUND, CLIP = (str(SAMPLES / name) for name in ("shapes.png", "question.wav", "moving.mp4"))
SHORT = ["--max-tokens", "6", "--greedy", "--seed", "1"]

Ask = Callable[..., Result]


@pytest.fixture
def ask(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run `ask` in this process on the tiny checkpoint, with short speech."""
    monkeypatch.setenv("TANDEM_MODEL", str(tiny_checkpoint))
    monkeypatch.setenv("TANDEM_MAX_SPEECH_SEC", "1")

    def run(*words: str, text: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, ["ask", *words], input=text)

    return run


def summary(result: Result) -> dict:
    """The JSON object on the last line."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


# --- answers --------------------------------------------------------------------------------------------


def test_text_streams_out_and_json_comes_last(ask: Ask) -> None:
    result = ask("Hello", *SHORT, "--json")
    found = summary(result)
    assert result.stdout.startswith(found["text"]) and found["text"]
    assert found["tokens"]["text"] == 6 and found["tokens"]["codes"] == 0 and found["tokens"]["prompt"] > 20
    assert found["audio"] is None and found["route"]["backend"] == "thinker" and found["route"]["reason"]
    timings = found["timings_ms"]
    assert 0 < timings["first_text"] <= timings["total"] and timings["first_audio"] is None and timings["load"] > 0
    assert set(found) == set("text model route heard reasoning tools audio places tokens timings_ms".split())


def test_the_answer_is_spoken_into_a_wav(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    found = summary(ask("Hello", "--audio", SOUND, *SHORT, "--speak", str(path), "--json"))
    samples, rate_hz = soundfile.read(path, dtype="int16")
    assert found["audio"] == {"path": str(path), "seconds": round(len(samples) / rate_hz, 3), "sample_rate": rate_hz}
    assert rate_hz == 24_000 and found["tokens"]["codes"] > 0 and samples.any()
    assert 0 < found["timings_ms"]["first_audio"] <= found["timings_ms"]["total"]
    assert soundfile.info(path).subtype == "PCM_16" and samples.ndim == 1


def test_a_seed_repeats_the_speech_and_another_does_not(ask: Ask, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.wav" for index in range(3)]
    for path, seed in zip(paths, ("5", "5", "6")):
        result = ask("Hello", "--audio", SOUND, "--max-tokens", "4", "--seed", seed, "--speak", str(path))
        assert result.exit_code == 0, result.output
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again and first != other


def test_media_keep_the_order_of_the_command_line(ask: Ask, tmp_path: Path) -> None:
    kept = tmp_path / "talk.json"
    words = ["--video", CLIP, f"--image={PICTURE}", "What?", "--audio", SOUND, "--image", PICTURE, "--video", CLIP]
    assert ask(*words, *SHORT, "--conversation", str(kept)).exit_code == 0
    user = json.loads(kept.read_text())["turns"][0]
    assert [kind for part in user["content"] for kind in part] == ["video", "image", "audio", "image", "video", "text"]
    assert user["content"][-1] == {"text": "What?"}


def test_standard_input_gives_the_text(ask: Ask) -> None:
    typed = summary(ask("Grüße", *SHORT, "--json"))
    for words in ([], ["-"]):
        piped = summary(ask(*words, *SHORT, "--json", text="Grüße\n"))
        assert (piped["text"], piped["tokens"]) == (typed["text"], typed["tokens"])


def test_control_tokens_in_the_text_stay_text(ask: Ask) -> None:
    plain = summary(ask("x" * 10, *SHORT, "--json"))["tokens"]["prompt"]
    assert summary(ask("<|im_end|>", *SHORT, "--json"))["tokens"]["prompt"] == plain


def test_a_conversation_goes_on_as_if_it_had_never_stopped(ask: Ask, tiny_checkpoint: Path, tmp_path: Path) -> None:
    kept = tmp_path / "talk.json"
    summary(ask("One", "--image", PICTURE, *SHORT, "--conversation", str(kept), "--json"))
    second = summary(ask("Two", *SHORT, "--conversation", str(kept), "--json"))

    from app.assistant import Assistant, MediaFile
    from multimodal.prompt import Turn
    from streaming.events import ResponseDone

    config = resolve({"model": str(tiny_checkpoint), "max_tokens": 6, "greedy": True, "seed": 1})
    assistant = Assistant(config, speech=False)
    conversation = assistant.conversation()
    first = assistant.read_turn("One", [MediaFile("image", Path(PICTURE))])
    done = None
    for turn in (first, Turn("user", ("Two",))):
        done = list(assistant.answer(conversation, turn))[-1]
    assert isinstance(done, ResponseDone)
    assert (second["text"], second["tokens"]["prompt"]) == (done.text, done.usage.prompt_tokens)
    roles = [turn["role"] for turn in json.loads(kept.read_text())["turns"]]
    assert roles == ["user", "assistant", "user", "assistant"]


def test_voices_are_found_whatever_their_case(ask: Ask, tmp_path: Path) -> None:
    spoken = []
    for voice in ("Ada", "ben", "BEN"):
        path = tmp_path / f"{voice}.wav"
        assert ask("Hi", "--audio", SOUND, *SHORT, "--voice", voice, "--speak", str(path)).exit_code == 0
        spoken.append(path.read_bytes())
    assert spoken[0] != spoken[1] == spoken[2]


# --- the WAV ---------------------------------------------------------------------------------------------


def test_the_wav_is_whole_after_every_piece(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    pieces = [np.array([0.5, -0.5], np.float32), np.zeros(0, np.float32), np.array([2.0, -2.0, 0.0], np.float32)]
    with GrowingWav(path) as wav:
        assert not path.exists(), "no file before the first sound"
        for count, piece in zip((2, 2, 5), pieces):
            wav.append(piece, 24_000)
            assert len(soundfile.read(path)[0]) == count == wav.samples
            assert path.stat().st_size == 44 + 2 * count
    assert soundfile.read(path, dtype="int16")[0].tolist() == [16384, -16384, 32767, -32767, 0]


def test_a_reply_that_breaks_off_leaves_no_wav(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    with pytest.raises(RuntimeError), GrowingWav(path) as wav:
        wav.append(np.zeros(9, np.float32), 24_000)
        raise RuntimeError
    assert not path.exists()


def test_an_older_wav_never_passes_for_a_silent_reply(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    path.write_bytes(b"older")
    with pytest.raises(RuntimeError), GrowingWav(path):
        raise RuntimeError  # before any sound: the older file is still the user's
    assert path.read_bytes() == b"older"
    with GrowingWav(path):
        pass
    assert not path.exists()


# --- what cannot be used -----------------------------------------------------------------------------------


def huge_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 65_535, 65_535, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def write_bad_files(folder: Path) -> None:
    (folder / "empty.png").touch()
    (folder / "folder.png").mkdir()
    (folder / "text.png").write_text("not a picture")
    (folder / "huge.png").write_bytes(huge_png())
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:2000])
    (folder / "cut.mp4").write_bytes(Path(CLIP).read_bytes()[:6000])
    (folder / "cut.wav").write_bytes(Path(SOUND).read_bytes()[:30_000])
    soundfile.write(folder / "nan.wav", np.full(1600, np.nan, np.float32), 16_000, subtype="FLOAT")
    soundfile.write(folder / "none.wav", np.zeros(0, np.float32), 16_000)
    with av.open(CLIP) as whole, av.open(str(folder / "sound.mp4"), "w") as copy:
        (stream,) = whole.streams.audio
        track = copy.add_stream_from_template(stream)
        for packet in whole.demux(stream):
            if packet.dts is not None:
                packet.stream = track
                copy.mux(packet)
    with av.open(CLIP) as whole, av.open(str(folder / "silent.mp4"), "w") as copy:
        (stream,) = whole.streams.video
        track = copy.add_stream_from_template(stream)
        for packet in whole.demux(stream):
            if packet.dts is not None:
                packet.stream = track
                copy.mux(packet)
    (folder / "not-a-model").mkdir()
    (folder / "other-model").mkdir()
    (folder / "other-model" / "config.json").write_text('{"model_type": "bert"}')


BAD = [
    (["--image", "missing.png"], "missing.png"),
    (["--audio", "missing.wav"], "missing.wav"),
    (["--video", "missing.mp4"], "missing.mp4"),
    (["--image", "empty.png"], "empty"),
    (["--audio", "empty.png"], "empty"),
    (["--video", "empty.png"], "empty"),
    (["--image", "folder.png"], "directory"),
    (["--image", "text.png"], "text.png"),
    (["--image", "huge.png"], "huge.png"),
    (["--image", "cut.jpg"], "cut.jpg"),
    (["--video", "cut.mp4"], "cut.mp4"),
    (["--audio", "cut.wav"], "cut.wav"),
    (["--audio", "nan.wav"], "nan.wav"),
    (["--audio", "none.wav"], "none.wav"),
    (["--video", "sound.mp4"], "sound.mp4"),
    (["--audio", "silent.mp4"], "silent.mp4"),
    (["--voice", "Nobody"], "Ada, Ben"),
    (["--model", "no-such-model"], "no-such-model"),
    (["--model", "not-a-model"], "config.json"),
    (["--model", "other-model"], "bert"),
    (["--model", "text.png"], "file"),
    (["--device", "abacus"], "abacus"),
    (["--dtype", "int3"], "float32"),
    (["--speak", "missing/out.wav"], "no such folder"),
    (["--speak", "folder.png"], ".wav"),
    (["--no-speech"], "--no-speech"),
    (["--conversation", "folder.png"], "folder.png"),
    (["--conversation", "text.png"], "text.png"),
]


@pytest.fixture(scope="session")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    write_bad_files(folder)
    return folder


@pytest.mark.parametrize(("words", "said"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_what_cannot_be_used_ends_in_one_clear_line(
    ask: Ask, bad_files: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(bad_files)
    before = sorted(bad_files.rglob("*"))
    speak = [] if "--speak" in words else ["--speak", "out.wav"]
    keep = [] if "--conversation" in words else ["--conversation", "talk.json"]
    result = ask("What is this?", "--image", PICTURE, *words, *speak, *keep, "--max-tokens", "4", "--json")
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ") and said in line and "Traceback" not in line
    assert [path for path in sorted(bad_files.rglob("*")) if path not in before] == []


def test_a_sound_that_is_asked_about_is_never_spoken_over(ask: Ask, tmp_path: Path) -> None:
    sound = tmp_path / "question.wav"
    sound.write_bytes(Path(SOUND).read_bytes())
    result = ask("--audio", str(sound), "--speak", str(tmp_path / "." / "question.wav"))
    assert result.exit_code == 2 and "also asked about" in result.stderr
    assert sound.read_bytes() == Path(SOUND).read_bytes()


@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing_to_answer_is_said(ask: Ask, text: str) -> None:
    result = ask(text=text)
    assert result.exit_code == 2 and "nothing to answer" in result.stderr


def test_text_that_is_not_unicode_is_refused(ask: Ask) -> None:
    result = ask(text=b"\xff\xfe\x00")
    assert result.exit_code == 2 and "UTF-8" in result.stderr
    result = ask("lone \udcff surrogate")
    assert result.exit_code == 2 and "UTF-8" in result.stderr


@pytest.mark.parametrize("words", [["--max-tokens", "0"], ["--max-tokens", "9000"], ["--seed", "-1"], ["--smell", "x"]])
def test_flags_out_of_range_are_refused(ask: Ask, words: list[str]) -> None:
    assert ask("Hi", *words).exit_code == 2


def test_an_unknown_setting_is_named(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_VOCIE", "Ada")
    result = ask("Hi")
    assert result.exit_code == 2 and "vocie" in result.stderr


# --- models and doctor --------------------------------------------------------------------------------------


def test_models_lists_voices_and_what_is_wrong(tiny_checkpoint: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["models", "--model", str(tiny_checkpoint)])
    assert result.exit_code == 0 and "Ada, Ben" in result.stdout and "usable" in result.stdout

    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_checkpoint.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    shard = sorted(broken.glob("model-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-1])
    result = CliRunner().invoke(app, ["models", "--model", str(broken)])
    assert result.exit_code == 0 and shard.name in result.stdout and "cut off" in result.stdout
    shard.unlink()
    result = CliRunner().invoke(app, ["models", "--model", str(broken)])
    assert "missing" in result.stdout


def test_doctor_is_content_with_a_whole_checkpoint(tiny_checkpoint: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--model", str(tiny_checkpoint)])
    assert result.exit_code == 0, result.output
    for word in ("python", "torch", "transformers", "cpu", "threads", "memory", "Ada, Ben"):
        assert word in result.stdout


def test_doctor_says_what_to_do_about_a_model_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--model", str(tmp_path)])
    assert result.exit_code == 1 and "config.json" in result.stdout
    result = CliRunner().invoke(app, ["doctor", "--model", "no-such-model"])
    assert result.exit_code == 1 and "no-such-model" in result.stdout


# --- as a process -------------------------------------------------------------------------------------------


def start(*words: str, **variables: str) -> subprocess.Popen[bytes]:
    # A suite that runs in the background ignores interrupts, and its children would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "app", *words],
            cwd=ROOT,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_program_answers_and_keeps_standard_error_clean(tiny_checkpoint: Path) -> None:
    process = start("ask", "Hi", "--model", str(tiny_checkpoint), "--image", PICTURE, "--max-tokens", "3", "--json")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0
    assert json.loads(out.decode().splitlines()[-1])["tokens"]["text"] == 3
    assert err.decode().splitlines() == ["note: the answer reached a limit: raise --max-tokens, or max_speech_sec"]


def test_ctrl_c_stops_a_growing_answer_and_leaves_nothing_half_written(tiny_checkpoint: Path, tmp_path: Path) -> None:
    wav, kept = tmp_path / "out.wav", tmp_path / "talk.json"
    process = start(
        *("ask", "Hi", "--audio", SOUND, "--model", str(tiny_checkpoint), "--greedy", "--max-tokens", "8000"),
        *("--speak", str(wav), "--conversation", str(kept)),
        TANDEM_MAX_SPEECH_SEC="3600",
    )
    try:
        deadline = time.monotonic() + 240
        lengths: set[int] = set()
        while len(lengths) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            if wav.exists() and wav.stat().st_size >= 44:
                lengths.add(len(soundfile.read(wav)[0]))
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.decode().splitlines() == ["interrupted"]
    assert not wav.exists() and not kept.exists()


# --- the documentation --------------------------------------------------------------------------------------


def test_docs_name_every_flag_and_every_setting() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    help_text = CliRunner().invoke(app, ["ask", "--help"], env={"COLUMNS": "200"}).stdout
    flags = set(re.findall(r"--[a-z-]+", help_text)) - {"--help"}
    assert len(flags) > 10
    assert not [flag for flag in flags if f"`{flag}" not in page]
    settings = {one.name for one in fields(Config)} - {"limits", "router"}
    assert not [name for name in settings if f"`{name}`" not in page]


def test_route_explains_a_decision_without_a_model() -> None:
    ran = CliRunner().invoke(app, ["route", "Which number is larger, 9.11 or 9.8?", "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["backend"] == "moe-nano"
    chat = CliRunner().invoke(app, ["route", "Hello, how are you?", "--json"])
    assert json.loads(chat.stdout)["backend"] == "thinker"

"""Calls that mean something: the built-in model is asked by voice about what a camera shows, answers right and aloud,
is interrupted, and goes on; and the stock client's three spoken turns get right answers.

The questions in tests/spoken are said by flite's voice awb, which no training of the model heard:
`flite -voice awb -t "What is your name?" -o tests/spoken/what-is-your-name.wav`.
"""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import soxr
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from multimodal.checkpoint import BUILT_IN, Checkpoint, load
from multimodal.media import AudioClip
from streaming.transcription import transcribe
from tests.browser import ROOT, RunningServer, chromium, visitor
from tests.realtime_client import RATE_HZ, call

MODEL = BUILT_IN / "omni-nano"
QUESTION = ROOT / "docs" / "samples" / "question.wav"
SPOKEN = ROOT / "tests" / "spoken"
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
HEARING_HZ = 16_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """With the built-in model alone: what it says is its own."""
    folder = tmp_path_factory.mktemp("meaning") / "data"
    with contextlib.closing(RunningServer(folder, MODEL, "--seed", "0", "--backends", "")) as running:
        yield running


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load(MODEL, speech=False)


def spoken(path: Path, rate_hz: int) -> np.ndarray:
    """A recorded question, float32 [n]."""
    samples, recorded_hz = soundfile.read(path, dtype="float32")
    return soxr.resample(samples, recorded_hz, rate_hz).astype(np.float32)


def heard_as(checkpoint: Checkpoint, speech: np.ndarray, rate_hz: int) -> str:
    """What the model itself hears in speech."""
    quiet = np.zeros(HEARING_HZ // 4, np.float32)
    clip = np.concatenate([quiet, soxr.resample(speech, rate_hz, HEARING_HZ).astype(np.float32), quiet])
    return "".join(transcribe(checkpoint, AudioClip(clip, HEARING_HZ), lambda: True))


@cache
def _decoder() -> Any:
    """With wide beams: it is to choose one of the sentences, and not to give up."""
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=HEARING_HZ, loglevel="FATAL", beam=1e-120, pbeam=1e-120, wbeam=1e-100)
    grammar = f"#JSGF V1.0;\ngrammar colors;\npublic <said> = the circle is ({' | '.join(COLORS)});\n"
    decoder.add_jsgf_string("colors", grammar)
    decoder.activate_search("colors")
    return decoder


def color_heard(speech: np.ndarray, rate_hz: int) -> str:
    """Which of all colours an independent recognizer (PocketSphinx) hears named in speech, "" for none."""
    quiet = np.zeros(HEARING_HZ // 5, np.float32)
    samples = np.concatenate([quiet, soxr.resample(speech, rate_hz, HEARING_HZ), quiet])
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw((samples.clip(-1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr.split()[-1] if found else ""


def silent(page: Page, for_ms: float) -> None:
    """Wait until something was played, and then nothing for so long."""
    for _ in range(300):
        if page.evaluate("window.soundedAt && performance.now() - window.soundedAt") > for_ms:
            return
        page.wait_for_timeout(100)
    raise AssertionError("it does not fall silent")


def circle(color: tuple[int, int, int]) -> bytes:
    """A frame of a camera that shows a circle."""
    picture = Image.new("RGB", (320, 240), (245, 245, 245))
    ImageDraw.Draw(picture).ellipse((100, 60, 220, 180), fill=color)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92)
    return file.getvalue()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Its camera shows a green circle. Its user asks, listens, asks again, asks once more into that answer, and is
    silent."""
    folder = tmp_path_factory.mktemp("devices")
    (folder / "camera.mjpeg").write_bytes(circle((20, 160, 40)) * 10)
    rate_hz = 16_000
    question = spoken(QUESTION, rate_hz)
    quiet = [np.zeros(round(seconds * rate_hz), np.float32) for seconds in (5.0, 9.0, 0.9, 60.0)]
    pieces = [quiet[0], question, quiet[1], question, quiet[2], question, quiet[3]]
    soundfile.write(folder / "microphone.wav", np.concatenate(pieces), rate_hz, subtype="PCM_16")
    with chromium(folder / "microphone.wav", folder / "camera.mjpeg") as found:
        yield found


def test_a_call_about_what_the_camera_shows_is_answered_aloud_interrupted_and_goes_on(
    browser: Browser, server: RunningServer, checkpoint: Checkpoint
) -> None:
    with visitor(browser, server, permissions=["microphone", "camera"]) as page:
        page.goto(server.url)
        expect(page.locator(".engine.ready")).to_be_visible()
        page.get_by_role("button", name="Start a call").click()
        page.get_by_role("button", name="Show the camera").click()
        expect(page.locator(".call video")).to_be_visible()
        answered = page.locator("li.assistant:not([data-state^=answering])")
        expect(answered).to_have_count(1, timeout=40_000)
        silent(page, 1500)
        first = np.array(page.evaluate("window.played"), np.float32)
        expect(answered).to_have_count(3, timeout=40_000)
        silent(page, 2500)
        played = np.array(page.evaluate("window.played"), np.float32)
        page.get_by_role("button", name="Hang up").click()
        conversation = page.url.rpartition("=")[2]
        turns = page.request.get(f"/api/conversations/{conversation}").json()["turns"]
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 3
    asked, replies = turns[::2], turns[1::2]
    assert [part["kind"] for part in asked[0]["parts"]] == ["image", "audio"]
    assert "circle" in asked[0]["transcript"]
    assert replies[0]["text"] == "The circle is green." and not replies[0]["unheard"]
    sounded = first[first != 0]
    assert color_heard(sounded, RATE_HZ) == "green", "an independent ear hears the answer in what was played"
    assert "green" in heard_as(checkpoint, sounded, RATE_HZ).lower()
    whole_ms = 1000 * replies[1]["speech"]["duration_sec"] if replies[1]["speech"] else 1e9
    assert replies[1]["unheard"] or replies[1]["heard_ms"] < whole_ms - 100, "the second answer was interrupted"
    assert replies[2]["text"] == "The circle is green.", "and the call goes on"
    last = played[played != 0][-round(replies[2]["speech"]["duration_sec"] * RATE_HZ) :]
    assert color_heard(last, RATE_HZ) == "green"


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning")  # by openai, with websockets 17
def test_the_stock_clients_three_spoken_turns_are_answered_right(server: RunningServer) -> None:
    """The last answer needs what was said in the first turn."""
    from openai import OpenAI

    turns = [
        ("my-favorite-color-is-green", "favorite color is green"),
        ("what-is-your-name", "My name is Tandem."),
        ("what-is-my-favorite-color", "Your favorite color is green."),
    ]
    address = server.url.replace("http", "ws") + "/v1"
    client = OpenAI(api_key="none is needed", base_url=server.url + "/v1", websocket_base_url=address)
    with client.realtime.connect(model="omni-nano") as connection:
        assert connection.recv().type == "session.created"
        audio: Any = {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 300}}}
        connection.session.update(session={"type": "realtime", "audio": audio})
        for name, right in turns:
            pcm = (
                np.concatenate([spoken(SPOKEN / f"{name}.wav", RATE_HZ), np.zeros(RATE_HZ, np.float32)]) * 32767
            ).astype("<i2")
            for start in range(0, len(pcm), RATE_HZ // 25):
                piece = base64.b64encode(pcm[start : start + RATE_HZ // 25].tobytes()).decode()
                connection.input_audio_buffer.append(audio=piece)
            said, item, speech = "", "", 0
            while True:
                event: Any = connection.recv()
                assert event.type != "error", event
                if event.type == "response.output_audio_transcript.done":
                    said, item = event.transcript, event.item_id
                elif event.type == "response.output_audio.delta":
                    speech += len(base64.b64decode(event.delta)) // 2
                elif event.type == "response.done":
                    break
            assert right in said, name
            assert speech > RATE_HZ // 2
            played: Any = {"type": "tandem.playback.update", "item_id": item, "played_ms": 1e7}
            connection.send(played)


def test_a_spoken_sum_is_solved_by_the_mixture_of_experts_and_spoken(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Both built-in models together: one hears, sees and speaks, the other reasons. A camera runs beside it: what is
    asked about its picture, and small talk, stay with the first."""
    flags = ("--seed", "0", "--backends", str(BUILT_IN / "moe-nano"))
    with contextlib.closing(RunningServer(tmp_path / "data", MODEL, *flags)) as server, call(server) as client:
        client.until("session.created")
        audio = {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 300}}}
        client.send("session.update", session={"type": "realtime", "audio": audio})
        answers = []
        picture = base64.b64encode(circle((20, 160, 40))).decode()
        for asked in (SPOKEN / "what-is-twelve-plus-nine.wav", QUESTION, SPOKEN / "what-is-your-name.wav"):
            pcm = np.concatenate([spoken(asked, RATE_HZ), np.zeros(RATE_HZ, np.float32)])
            client.send("input_video_buffer.append", image=picture, timestamp_ms=0)
            client.hear((pcm * 32767).astype("<i2"))
            begun = len(client.events)
            done = client.until("response.done", 60)["response"]
            now = client.events[begun:]
            routed = next(event["backend"] for event in now if event["type"] == "tandem.response.routed")
            sound = [base64.b64decode(e["delta"]) for e in now if e["type"] == "response.output_audio.delta"]
            answers.append((routed, done["output"][0]["content"][0]["transcript"]))
            assert len(b"".join(sound)) > RATE_HZ, "it is spoken"
            client.send("tandem.playback.update", item_id=done["output"][0]["id"], played_ms=1e7)
        address = f"{server.url}/api/conversations/{done['conversation_id']}"
        turns = httpx.get(address).json()["turns"]
    assert answers[0][0] == "moe-nano" and "21" in answers[0][1]
    assert answers[1:] == [("thinker", "The circle is green."), ("thinker", "My name is Tandem.")]
    assert "plus" in turns[0]["transcript"] and turns[1]["model"] == "moe-nano"
    assert [part["kind"] for part in turns[0]["parts"]] == ["image", "audio"], "the camera was on"

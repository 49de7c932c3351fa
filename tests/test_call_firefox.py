"""The call panel in a real Firefox, which has another sound engine than Chromium: it hears a question in its
microphone, and the answer comes out of its loudspeaker."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from multimodal.checkpoint import BUILT_IN
from tests.browser import RunningServer
from tests.firefox import RATE_HZ, firefox, firefox_path
from tests.test_call_meaning import SPOKEN

MODEL = BUILT_IN / "omni-nano"
STATE = "document.querySelector('.call .state')?.innerText"


def loud_sec(samples: np.ndarray) -> float:
    """How long it sounds, whatever silence a busy machine puts between."""
    pieces = samples[: len(samples) // 240 * 240].reshape(-1, 240)
    return float(np.count_nonzero(np.abs(pieces).max(axis=1) > 0.02)) * 240 / RATE_HZ


def spectrum(samples: np.ndarray) -> np.ndarray:
    """How loud each frequency is, in dB, over all that sounds."""
    pieces = samples[: len(samples) // 512 * 512].reshape(-1, 512)
    pieces = pieces[np.abs(pieces).max(axis=1) > 0.02] * np.hanning(512)
    return 20 * np.log10(np.abs(np.fft.rfft(pieces)).mean(axis=0) + 1e-6)[: 512 * 8000 // RATE_HZ]


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_a_question_in_the_microphone_is_answered_aloud_and_the_call_hung_up(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    firefox_path()
    flags = ("--seed", "0", "--backends", "")
    with contextlib.closing(RunningServer(tmp_path / "data", MODEL, *flags)) as server:
        with firefox(tmp_path) as (page, sound):
            page.open(server.url, *size)
            page.wait("document.querySelector('.engine.ready')")
            page.click("Start a call")
            page.wait(f"{STATE} === 'Listening'")
            sound.say(SPOKEN / "what-is-your-name.wav")
            page.wait("document.querySelector('.caption.assistant')?.innerText.length > 'Tandem My name'.length")
            page.wait("document.querySelector('.call .figure')?.innerText.startsWith('Turn 1: first sound after')")
            page.wait(f"{STATE} === 'Listening'")
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
            sounded = sound.sounded()
            page.click("Hang up")
            page.wait("!document.querySelector('.call')?.checkVisibility()")
            conversation = page.evaluate("location.hash").removeprefix("#c=")
            turns = httpx.get(f"{server.url}/api/conversations/{conversation}").json()["turns"]
            wav = httpx.get(f"{server.url}{turns[1]['speech']['url']}").content
            assert page.errors == []
    assert [turn["role"] for turn in turns] == ["user", "assistant"]
    made, rate_hz = soundfile.read(io.BytesIO(wav), dtype="float32")
    assert rate_hz == RATE_HZ
    assert loud_sec(sounded) == pytest.approx(loud_sec(made), rel=0.2), "all of it, and nothing twice"
    likeness = np.corrcoef(spectrum(sounded), spectrum(made))[0, 1]
    assert likeness > 0.9, "what is heard is what was said"
    asked = soundfile.info(SPOKEN / "what-is-your-name.wav").duration
    assert turns[0]["parts"][0]["duration_sec"] == pytest.approx(asked, abs=1.0)

"""A whole call in a real Chromium with a recorded microphone and the real server: answered, interrupted, kept."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, expect

from tests.browser import ROOT, RunningServer, chromium, visitor

QUESTION = ROOT / "docs" / "samples" / "question.wav"
QUESTIONS = 6
GAP_SEC = 1.0  # the next question comes into the answer, which begins about 0.6 s after the last


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path_factory.mktemp("live") / "data", tiny_checkpoint, "--max-tokens", "24")
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    question, rate_hz = soundfile.read(QUESTION, dtype="float32")
    pieces = [np.zeros(2 * rate_hz, np.float32)]
    for _ in range(QUESTIONS):
        pieces += [question, np.zeros(round(GAP_SEC * rate_hz), np.float32)]
    folder = tmp_path_factory.mktemp("recorded")
    soundfile.write(
        folder / "microphone.wav", np.concatenate([*pieces, np.zeros(60 * rate_hz)]), rate_hz, subtype="PCM_16"
    )
    with chromium(folder / "microphone.wav") as found:
        yield found


def test_a_call_is_held_interrupted_and_kept_as_it_was_heard(browser: Browser, server: RunningServer) -> None:
    with visitor(browser, server) as page:
        page.goto(server.url)
        expect(page.locator(".engine.ready")).to_be_visible()
        page.get_by_role("button", name="Start a call").click()
        answered = page.locator("li.assistant:not([data-state^=answering])")
        expect(page.locator(".call .figure")).to_contain_text("first sound after", timeout=20_000)
        expect(answered.nth(QUESTIONS - 2)).to_be_attached(timeout=60_000)
        expect(page.locator(".call .state")).to_have_text("Listening", timeout=20_000)
        page.wait_for_timeout(1000)
        played = np.array(page.evaluate("window.played"))
        page.get_by_role("button", name="Hang up").click()
        conversation = page.url.rpartition("=")[2]
        turns = page.request.get(f"/api/conversations/{conversation}").json()["turns"]
        asked = [turn for turn in turns if turn["role"] == "user"]
        replies = [turn for turn in turns if turn["role"] == "assistant"]
        assert len(asked) >= QUESTIONS - 1 and len(replies) >= QUESTIONS - 1
        seconds = [turn["parts"][0]["duration_sec"] for turn in asked]
        assert all(1.2 < one < 3.5 for one in seconds), seconds
        cut = [
            turn
            for turn in replies
            if turn["heard_ms"] and turn["heard_ms"] < 1000 * turn["speech"]["duration_sec"] - 100
        ]
        assert cut, "no question came into an answer"
        assert any(turn["unheard"] for turn in cut)
        expect(page.locator(".unheard").first).to_be_attached()
        # What left the loudspeaker of the answer heard longest is the speech that is kept, and no more than was heard.
        longest = max(replies, key=lambda turn: turn["heard_ms"] or 0)
        heard = played[played != 0]
        with wave.open(io.BytesIO(page.request.get(longest["speech"]["url"]).body())) as file:
            made = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
        made = made[made != 0]
        count = min(len(made), round(longest["heard_ms"] * 24) - 4800)
        assert count > 2400
        begins = np.flatnonzero(np.isclose(heard[: len(heard) - count + 1], made[0], rtol=0, atol=1e-6))
        assert any(np.allclose(heard[at : at + count], made[:count], rtol=0, atol=1e-6) for at in begins)
        total_ms = sum(turn["heard_ms"] or 0 for turn in replies)
        assert len(played[played != 0]) / 24 <= total_ms + 300 * len(replies)
        item = page.locator("li.assistant").nth(replies.index(longest))
        item.get_by_role("button", name="How this was made").click()
        expect(page.locator(".waterfall .bar").first).to_be_visible()

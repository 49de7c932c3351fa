"""The page with the built-in model in a real Chromium: a person asks, reads and hears the answer, sees it drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from app.config import BUILT_IN_MODELS
from tests.browser import ANSWER, ROOT, RunningServer, ask, kept, until
from training.recognition import Recognizer, word_error_rate

SAMPLES = ROOT / "docs" / "samples"
FROG = (38, 63, 164, 172)  # left, top, right, bottom of the frog in frog.png
# What the examples of an empty conversation are answered with.
EXAMPLES = {
    "Look at a picture": r"strawberry.*crown.*fish",
    "Hear a question": r"There are three objects\.",
    "Watch a clip": r"green circle moves to the right",
    "Think it through": r"^9\.8",
    "Get to know it": r"I can name objects and colors",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("meaning") / "data"
    running = RunningServer(folder, BUILT_IN_MODELS / "omni-nano", "--seed", "0", speech_sec=10)
    yield running
    running.close()


def answer(page: Page) -> str:
    return kept(page)[-1]["text"]


@pytest.mark.parametrize("card", EXAMPLES)
def test_every_example_is_answered_rightly(page: Page, card: str) -> None:
    page.get_by_role("button", name=card).click()
    expect(page.locator(ANSWER)).to_have_count(1, timeout=60_000)
    expect(page.locator(ANSWER).locator(".text").last).to_contain_text(re.compile(EXAMPLES[card], re.DOTALL))


def test_a_picture_is_asked_about_and_the_follow_up_knows_it(page: Page) -> None:
    ask(page, "What is in this picture?", SAMPLES / "objects.png")
    assert answer(page) == "I see a strawberry, a crown and a fish."
    ask(page, "How many objects are there?")
    assert answer(page) == "There are three objects."
    page.reload()
    expect(page.locator(ANSWER)).to_have_count(2)
    ask(page, "My name is Anna.")
    ask(page, "What is my name?")
    assert answer(page) == "Your name is Anna."


def test_what_is_asked_for_is_framed_where_it_stands(page: Page) -> None:
    page.get_by_role("button", name="Find something").click()
    marked = page.locator(".marked")
    expect(page.locator(ANSWER)).to_have_count(1, timeout=60_000)
    frame = marked.locator("svg rect").first
    expect(frame).to_be_attached()
    expect(page.locator("details.json pre")).to_be_hidden()
    assert "speech" not in kept(page)[1]
    assert marked.locator("svg text").text_content() == "frog"
    picture, drawn = marked.locator("img").bounding_box(), frame.bounding_box()
    assert picture and drawn
    scale = picture["width"] / 280
    left, top = (drawn["x"] - picture["x"]) / scale, (drawn["y"] - picture["y"]) / scale
    box = (left, top, left + drawn["width"] / scale, top + drawn["height"] / scale)
    across = max(0.0, min(box[2], FROG[2]) - max(box[0], FROG[0]))
    down = max(0.0, min(box[3], FROG[3]) - max(box[1], FROG[1]))
    area = sum((one[2] - one[0]) * (one[3] - one[1]) for one in (box, FROG))
    assert across * down / (area - across * down) > 0.7


def noise(path: Path) -> Path:
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(32_000), 16_000)
    return path


def test_sounds_get_their_words_as_captions_and_noise_keeps_its_name(page: Page, tmp_path: Path) -> None:
    ask(page, "What is said here?", noise(tmp_path / "noise.wav"), SAMPLES / "how-many.wav")
    captions = page.locator("figure.sound figcaption")
    expect(captions).to_have_text(["noise.wav", "“How many objects are there?”"], timeout=60_000)
    page.reload()
    expect(captions).to_have_text(["noise.wav", "“How many objects are there?”"])


def test_a_sound_alone_that_says_nothing_keeps_its_name(page: Page, tmp_path: Path) -> None:
    ask(page, "", noise(tmp_path / "noise.wav"))
    assert kept(page)[0]["transcript"] == ""
    expect(page.locator("figure.sound figcaption")).to_have_text("noise.wav")


def test_a_recorded_question_is_routed_by_its_words(page: Page) -> None:
    ask(page, "", ROOT / "tests" / "spoken" / "what-is-twelve-plus-nine.wav")
    asked, answered = kept(page)
    assert asked["transcript"] == "What is 12 plus nine?"
    assert answered["route"]["backend"] == "moe-nano" and "21" in answered["text"]
    expect(page.locator("figure.sound figcaption")).to_have_text("“What is 12 plus nine?”")
    expect(page.locator("h1")).to_have_text("What is 12 plus nine?")


@pytest.mark.parametrize(
    ("question", "clip"),
    [
        ("At what time does the mango disappear?", "video-05-00.mkv"),
        ("When do you hear the tone?", "audiovisual-00-00.mkv"),
    ],
)
def test_a_time_in_the_model_s_own_answer_seeks_the_clip(page: Page, question: str, clip: str) -> None:
    """Whether the time is the right one is the model's affair (tests/test_cases.py)."""
    ask(page, question, ROOT / "tests" / "cases" / "media" / clip)
    player = page.locator("li.user video")
    expect(player).to_have_js_property("error", None)
    told = re.search(r" at (\d+(?:\.5)?) seconds?\.$", answer(page))
    assert told, answer(page)
    link = page.locator(ANSWER).locator("button.seek")
    expect(link).to_have_text(told[1])
    player.evaluate(
        "one => { one.seeked = null; one.addEventListener('seeked', () => { one.seeked = one.currentTime; }); }"
    )
    link.click()
    until(page, "document.querySelector('li.user video').seeked !== null")
    assert abs(player.evaluate("one => one.seeked") - float(told[1])) < 0.2


def test_what_is_said_aloud_can_be_understood(page: Page) -> None:
    """Samples are taken where they go to the loudspeaker, and written down by an independent recognizer."""
    recognizer = Recognizer()
    pairs = []
    for number, text in enumerate(("Hello", "My name is Anna.")):  # long sentences it cannot say clearly
        before = page.evaluate("window.played.length")
        ask(page, text)
        expect(page.locator("#send")).to_be_visible(timeout=60_000)  # the stop button goes when the speech is over
        spoken = np.array(page.evaluate("(from) => window.played.slice(from)", before), np.float32)
        spoken = spoken[spoken != 0]  # without the silence where a busy machine kept the loudspeaker waiting
        pairs.append((kept(page)[2 * number + 1]["text"], recognizer.transcribe(spoken, 24_000)))
    assert word_error_rate(pairs) < 0.4, pairs

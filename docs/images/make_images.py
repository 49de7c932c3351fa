"""The screenshots of README.md and docs/web.md: `python -m docs.images.make_images [--model MODEL]`.

Asks the model about a sample picture in a real Chromium, looks at how the answer was made, gives moe-nano a problem,
and holds a call with a recorded question, so that what is shown is what the models say.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.config import DEFAULT_MODEL
from tests.browser import RunningServer, chromium, visitor

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "samples"
QUESTION = "What is in this picture?"
PROBLEM = "Which number is larger, 9.11 or 9.8?"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
WAIT_MS = 120_000


def ask(page: Page, text: str, *files: Path) -> None:
    answered = page.locator("li.assistant .tools").count()
    if files:
        page.set_input_files("input[type=file][multiple]", [str(file) for file in files])
    expect(page.locator(".chips .facts")).to_have_count(len(files), timeout=WAIT_MS)
    page.locator("#message").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator("li.assistant .tools")).to_have_count(answered + 1, timeout=WAIT_MS)
    expect(page.locator("#send")).to_be_visible(timeout=WAIT_MS)


def keep(page: Page, name: str) -> None:
    page.wait_for_timeout(500)
    target = HERE / f"{name}.png"
    page.screenshot(path=target)
    Image.open(target).convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(target, optimize=True)


def photograph(browser: Browser, server: RunningServer, name: str, scheme: str) -> None:
    width, height = SIZES[name]
    options = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    with visitor(browser, server, **options) as page:
        page.goto(server.url)
        expect(page.locator(".engine.ready")).to_be_visible(timeout=WAIT_MS)
        keep(page, f"{name}-{scheme}-welcome")
        ask(page, QUESTION, SAMPLES / "shapes.png")
        keep(page, f"{name}-{scheme}")
        ask(page, "What happens here?", SAMPLES / "moving.mp4")
        page.get_by_role("button", name="How this was made").last.click()
        expect(page.locator(".timeline image").first).to_be_attached()
        keep(page, f"{name}-{scheme}-inspector")
        page.keyboard.press("Escape")
        reason(page, f"{name}-{scheme}")
        page.get_by_role("button", name="Start a call").click()
        expect(page.locator(".call .figure")).to_contain_text("first sound", timeout=WAIT_MS)
        expect(page.locator(".caption.user")).not_to_be_empty(timeout=WAIT_MS)
        keep(page, f"{name}-{scheme}-call")


def reason(page: Page, name: str) -> None:
    """A question for the reasoning backend: its thoughts and programs, and where its tokens went."""
    ask(page, PROBLEM)
    page.locator("details.reasoning summary").last.click()
    keep(page, f"{name}-reasoning")
    page.get_by_role("button", name="How this was made").last.click()
    page.locator(".inspector .experts").scroll_into_view_if_needed()
    page.locator(".token").nth(12).click()
    keep(page, f"{name}-experts")
    page.keyboard.press("Escape")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as scratch:
        question, rate_hz = soundfile.read(SAMPLES / "question.wav", dtype="float32")
        quiet = np.zeros(60 * rate_hz, np.float32)
        microphone = Path(scratch) / "microphone.wav"
        soundfile.write(microphone, np.concatenate([quiet[: 2 * rate_hz], question, quiet]), rate_hz, subtype="PCM_16")
        server = RunningServer(Path(scratch) / "data", model, "--seed", "0")
        try:
            for name in SIZES:
                for scheme in ("light", "dark"):
                    with chromium(microphone) as browser:  # the recording begins anew
                        photograph(browser, server, name, scheme)
        finally:
            server.stop()


if __name__ == "__main__":
    main()

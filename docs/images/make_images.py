"""The screenshots of README.md and docs/web.md: `python -m docs.images.make_images [--model MODEL]`.

Asks the model about a sample picture in a real Chromium, looks at how the answer was made, gives moe-nano a problem,
and holds a call with a recorded question, so that what is shown is what the models say.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from app.config import DEFAULT_MODEL
from tests.browser import RunningServer, ask, chromium, visitor

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "samples"
PROBLEM = "Which number is larger, 9.11 or 9.8?"
LOOKS = {("desktop", "light"): (1280, 800), ("phone", "dark"): (390, 844)}
WAIT_MS = 120_000


def keep(page: Page, name: str) -> None:
    page.wait_for_timeout(500)
    target = HERE / f"{name}.png"
    page.screenshot(path=target)
    Image.open(target).convert("RGB").save(target, optimize=True)


def photograph(browser: Browser, server: RunningServer, name: str, scheme: str) -> None:
    width, height = LOOKS[name, scheme]
    options = {"viewport": {"width": width, "height": height}, "color_scheme": scheme, "has_touch": name == "phone"}
    with visitor(browser, server, **options) as page:
        page.goto(server.url)
        expect(page.locator(".engine.ready")).to_be_visible(timeout=WAIT_MS)
        keep(page, f"{name}-welcome")
        asked(page, "Find the frog.", "frog.png")
        asked(page, "What color is it?")
        keep(page, f"{name}-boxes")
        page.goto(server.url)
        asked(page, "What is in this picture?", "objects.png")
        asked(page, "How many objects are there?")
        keep(page, f"{name}-conversation")
        page.goto(server.url)
        asked(page, "What happens here?", "moving.mp4")
        page.get_by_role("button", name="How this was made").last.click()
        expect(page.locator(".timeline image").first).to_be_attached()
        keep(page, f"{name}-inspector")
        page.keyboard.press("Escape")
        reason(page, name)
        page.goto(server.url)
        page.locator("#start-call").click()
        page.get_by_role("button", name="Show the camera").click()
        expect(page.locator(".call .figure")).to_contain_text("first sound", timeout=WAIT_MS)
        expect(page.locator(".caption.user")).not_to_be_empty(timeout=WAIT_MS)
        keep(page, f"{name}-call")


def asked(page: Page, text: str, *files: str) -> None:
    """Ask, and wait until the answer was said, too."""
    ask(page, text, *(SAMPLES / file for file in files))
    expect(page.locator("#send")).to_be_visible(timeout=WAIT_MS)


def reason(page: Page, name: str) -> None:
    """A question for the reasoning backend: its thoughts and programs, and where its tokens went."""
    asked(page, PROBLEM)
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
        microphone, camera = Path(scratch) / "microphone.wav", Path(scratch) / "camera.mjpeg"
        question, rate_hz = soundfile.read(SAMPLES / "question.wav", dtype="float32")
        quiet = np.zeros(60 * rate_hz, np.float32)
        soundfile.write(microphone, np.concatenate([quiet[: 4 * rate_hz], question, quiet]), rate_hz, subtype="PCM_16")
        camera.write_bytes(green_circle() * 10)
        server = RunningServer(Path(scratch) / "data", model, "--seed", "0", speech_sec=20)
        try:
            for name, scheme in LOOKS:
                with chromium(microphone, camera) as browser:  # the recording begins anew
                    photograph(browser, server, name, scheme)
        finally:
            server.stop()


def green_circle() -> bytes:
    """A JPEG of what the camera shows."""
    picture = Image.new("RGB", (320, 240), (245, 245, 245))
    ImageDraw.Draw(picture).ellipse((100, 60, 220, 180), fill=(20, 160, 40))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92)
    return file.getvalue()


if __name__ == "__main__":
    main()

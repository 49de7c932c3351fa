"""The screenshots of docs/web.md: `python -m docs.images.make_images [--model MODEL]`.

Asks the model about a sample picture in a real Chromium and photographs the page, so that what is shown is what the
model says.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from app.config import DEFAULT_MODEL
from tests.browser import RunningServer, chromium, visitor

HERE = Path(__file__).resolve().parent
SHAPES = HERE.parent / "samples" / "shapes.png"
QUESTION = "What is in this picture?"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


def ask(page: Page) -> None:
    page.set_input_files("input[type=file][multiple]", str(SHAPES))
    expect(page.locator(".chips .facts")).to_have_count(1, timeout=60_000)
    page.locator("#message").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator("li.assistant .tools")).to_be_visible(timeout=120_000)
    expect(page.locator("#send")).to_be_visible(timeout=120_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as scratch:
        server = RunningServer(Path(scratch) / "data", model, "--seed", "0")
        try:
            with chromium() as browser:
                for name, (width, height) in SIZES.items():
                    for scheme in ("light", "dark"):
                        options = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
                        with visitor(browser, server, **options) as page:
                            page.goto(server.url)
                            expect(page.locator(".engine.ready")).to_be_visible(timeout=60_000)
                            ask(page)
                            target = HERE / f"{name}-{scheme}.png"
                            page.screenshot(path=target)
                        Image.open(target).convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(
                            target, optimize=True
                        )
        finally:
            server.stop()


if __name__ == "__main__":
    main()

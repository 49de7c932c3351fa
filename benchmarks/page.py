"""How long a person waits: from `python -m app web` to the page and to the model; in the browser, to the composer.

python -m benchmarks.page [--rounds N] [--model MODEL]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from app.config import DEFAULT_MODEL
from benchmarks.report import hardware, print_line
from tests.browser import RunningServer, chromium


def measure(browser: Browser, model: str) -> dict[str, float]:
    """Seconds; the composer's from the browser's request on, with an empty cache, while the model is being loaded."""
    with tempfile.TemporaryDirectory() as scratch:
        began = time.monotonic()
        server = RunningServer(Path(scratch) / "data", model, wait_ready=False)
        try:
            context = browser.new_context()
            asked = time.monotonic()
            page = context.new_page()
            page.goto(server.url)
            page.locator("#message").wait_for()
            composer_sec = time.monotonic() - asked
            context.close()
            server.wait_ready()
            return {
                "page_sec": server.started_sec,
                "composer_sec": composer_sec,
                "model_sec": time.monotonic() - began,
            }
        finally:
            server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    about = hardware()
    with chromium() as browser:
        rounds = [measure(browser, options.model) for _ in range(options.rounds)]
    results: dict[str, Any] = {name: round(statistics.median(one[name] for one in rounds), 2) for name in rounds[0]}
    print_line("page", {"model": options.model, "rounds": options.rounds, **results}, about)


if __name__ == "__main__":
    main()

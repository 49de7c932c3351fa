"""The HTML report in a browser, opened from the disk: it loads nothing, seeks, searches, and fits a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from app.analysis.report import write_reports
from tests.browser import chromium, until
from tests.media_files import write_video

TEXTS = ["A red car comes in.", "Nothing happens.", "A blue van leaves."]


def record(path: Path, **more: Any) -> dict[str, Any]:
    segments = [{"start_sec": 4.0 * n, "end_sec": 4.0 * n + 4, "text": text} for n, text in enumerate(TEXTS)]
    return {
        "id": str(path),
        "source": str(path),
        "sha256": "0",
        "status": "ok",
        "duration_sec": 12.0,
        "prompt": "What happens?",
        "answer": "\n".join(f"0:{4 * n:02d} {text}" for n, text in enumerate(TEXTS)),
        "segments": segments,
        "coverage": {"frames": 24, "effective_fps": 2.0, "gaps_sec": [], "truncated": False, "sound": False},
        "model": "m",
        "tokens": {"prompt": 1, "completion": 1},
        "timings_sec": {"total": 1.0},
        "error": None,
    } | more


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "gate & yard"
    folder.mkdir()
    draw = lambda n, height, width: np.full((height, width, 3), 40 + n, np.uint8)  # noqa: E731
    options = {"crf": "30", "g": "10"}
    video = write_video(folder / "gate 1.webm", 120, 10, codec="libvpx", options=options, draw=draw)
    failed = {"type": "MediaUnreadable", "message": "lost.mp4 is empty: export or download it again"}
    gone = record(folder / "lost.mp4", status="error", segments=[], answer=None, duration_sec=None, error=failed)
    results = folder / "results.jsonl"
    results.write_text("".join(json.dumps(one) + "\n" for one in (record(video), gone)))
    (page,) = write_reports(results, ("html",))
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(params=[(1280, 900, "light"), (360, 740, "dark")], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    width, height, scheme = request.param
    opened = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
    opened.goto(report.as_uri())
    yield opened
    assert complaints == []
    opened.close()


def test_the_page_shows_every_video_and_fits_its_window(page: Page) -> None:
    assert page.locator("article").count() == 2 and page.locator("li img").count() == 3
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.get_by_text("lost.mp4 is empty").is_visible()
    assert page.locator(".answer").count() == 0, "an answer that its segments tell already is not told twice"


def test_a_time_seeks_the_player_to_it(page: Page) -> None:
    page.locator("li button").nth(2).click()
    until(page, "document.querySelector('video').currentTime >= 8")
    until(page, "document.querySelectorAll('li')[2].hasAttribute('aria-current')")
    assert page.evaluate("document.querySelector('video').error") is None
    page.locator("rect").nth(1).click()
    until(page, "Math.abs(document.querySelector('video').currentTime - 4) < 2")


def test_search_leaves_what_was_looked_for(page: Page) -> None:
    search, found = page.get_by_label("Search"), page.locator("#found")
    search.fill("BLUE")
    assert found.inner_text() == "1 place in 1 video"
    assert page.locator("article:visible").count() == 1
    assert page.locator("li:visible").all_inner_texts()[0].endswith(TEXTS[2])
    search.fill("nobody")
    assert found.inner_text() == "nothing found" and page.locator("article:visible").count() == 0
    search.fill("")
    assert found.inner_text() == "" and page.locator("li:visible").count() == 3

"""A running server and a real Chromium, for tests that use the page as a person does.

Chromium is Debian's (`apt-get install chromium`); Playwright only steers it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
START_SEC = 90.0
ANSWER = "li.assistant:not([data-state^=answering])"  # a whole one
MAX_SPEECH_SEC = 2.0
# Copies what the page's player gives to the loudspeaker into window.played, sample for sample; window.soundedAt: when
# the last of it came that was not silence.
TAP = """
window.played = [];
window.soundedAt = 0;
const add = AudioWorklet.prototype.addModule;
AudioWorklet.prototype.addModule = async function (url) {
  await add.call(this, "/api/static/recorder-worklet.js");
  return add.call(this, url);
};
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (this instanceof AudioWorkletNode && target === this.context.destination) {
    const tap = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => {
      window.played.push(...data);
      if (data.some((sample) => sample !== 0)) window.soundedAt = performance.now();
    };
    connect.call(this, tap);
  }
  return connect.call(this, target, ...rest);
};
"""


class RunningServer:
    """`python -m app web` on a free port. url: of the page; started_sec: until the page answered."""

    def __init__(
        self,
        data_dir: Path,
        model: Path | str,
        *flags: str,
        wait_ready: bool = True,
        speech_sec: float = MAX_SPEECH_SEC,
    ) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_suffix(".log")
        command = [sys.executable, "-m", "app", "web", "--port", "0", "--no-browser", "--data-dir", str(data_dir)]
        environment = {**os.environ, "TANDEM_MAX_SPEECH_SEC": str(speech_sec)}
        started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--model", str(model), *flags], cwd=ROOT, stdout=log, stderr=log, env=environment
            )
        try:
            self.url = self._wait(lambda: re.search(r"http://\S+", self.log.read_text()))
            self.port = int(self.url.rsplit(":", 1)[1])
            self._wait(lambda: re.match(".+", "up") if self.status("/") == 200 else None)
            self.started_sec = time.monotonic() - started
            if wait_ready:
                self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def wait_ready(self) -> None:
        self._wait(lambda: re.match(".+", "up") if self.status("/ready") == 200 else None)

    def _wait(self, found: Callable[[], re.Match[str] | None]) -> str:
        until = time.monotonic() + START_SEC
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log.read_text()}")
            match = found()
            if match:
                return match.group()
            time.sleep(0.05)
        raise AssertionError(f"the server did not start in {START_SEC:.0f} s: {self.log.read_text()}")

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def close(self) -> None:
        """Ends it; it must have closed in good order."""
        status = self.stop()
        assert status == 0, self.log.read_text()


def chromium_path() -> str:
    """Debian's Chromium, installed where it is missing and this is a root's Debian. Raises AssertionError with the
    remedy otherwise: these tests are never skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "chromium"]):
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = shutil.which("chromium")
    assert found, "the browser tests need Chromium: apt-get install chromium"
    return found


@contextlib.contextmanager
def chromium(
    microphone: Path | None = None, camera: Path | None = None, flags: Sequence[str] = ()
) -> Iterator[Browser]:
    """A headless browser. microphone: a WAV that it hears once, else it hears beeps; camera: an MJPEG that it sees over
    and over, else a test picture. The microphone's recording begins anew whenever a page opens the microphone."""
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", *flags]
    if microphone is not None:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    if camera is not None:
        flags.append(f"--use-file-for-fake-video-capture={camera}")
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=flags)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def visitor(browser: Browser, server: RunningServer, **options: Any) -> Iterator[Page]:
    """A page with a profile of its own. At the end: no script failed, and nobody but the server was asked anything."""
    options = {"viewport": {"width": 1280, "height": 800}, "base_url": server.url, **options}
    context: BrowserContext = browser.new_context(**options)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
    context.add_init_script(TAP)
    asked: list[str] = []
    failures: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    # What the browser itself refused never left it; a test that provokes that says so.
    context.on("requestfailed", lambda request: asked.remove(request.url) if request.failure == "csp" else None)
    page = context.new_page()
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("ws://", "http://")))
    try:
        yield page
        assert failures == [], failures
        elsewhere = [url for url in asked if not url.startswith((server.url, "blob:", "data:"))]
        assert elsewhere == [], "the page asked other servers"
    finally:
        context.close()


def ask(page: Page, text: str, *files: Path) -> None:
    """Write, add files, press Enter, and wait for the whole answer."""
    answered = page.locator(ANSWER).count()
    if files:
        page.set_input_files("input[type=file][multiple]", [str(file) for file in files])
        expect(page.locator(".chips .facts")).to_have_count(len(files), timeout=60_000)
    page.locator("#message").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(ANSWER)).to_have_count(answered + 1, timeout=60_000)


def conversation_id(page: Page) -> str:
    found = re.search(r"#c=([0-9a-f]{24})$", page.url)
    assert found, page.url
    return found.group(1)


def kept(page: Page, conversation: str | None = None) -> list[dict[str, Any]]:
    """The turns as the server has them."""
    answer = page.request.get(f"/api/conversations/{conversation or conversation_id(page)}")
    assert answer.ok, answer.text()
    return answer.json()["turns"]


def until(page: Page, condition: str, timeout_sec: float = 30.0) -> None:
    """Wait until a JavaScript expression is true. Playwright's own waiting evaluates inside the page, which its
    Content-Security-Policy forbids as soon as the first look is not enough."""
    deadline = time.monotonic() + timeout_sec
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"not within {timeout_sec} s: {condition}"
        page.wait_for_timeout(50)

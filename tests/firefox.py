"""Debian's Firefox with a microphone and a loudspeaker of its own: a sound server (PulseAudio) without hardware, and
the browser steered over WebDriver BiDi."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("pulseaudio", "paplay", "parec")
PACKAGES = "apt-get install firefox-esr pulseaudio pulseaudio-utils"
RATE_HZ = 24_000
PREFERENCES = {
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}
START_SEC = 60


def firefox_path() -> str:
    """Skips the test where there is no Firefox or no sound server: neither is part of what every developer has."""
    found = shutil.which("firefox-esr") or shutil.which("firefox")
    if found is None or not all(map(shutil.which, PROGRAMS)):
        pytest.skip(f"no Firefox with a sound server: {PACKAGES}")
    return found


class Sound:
    """What Firefox hears and what it sounds. folder: of the sound server."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_SERVER": f"unix:{folder / 'socket'}",
        }
        modules = [
            f"module-native-protocol-unix socket={folder / 'socket'} auth-anonymous=1",
            "module-null-sink sink_name=loudspeaker",
            "module-null-sink sink_name=mouth",
            "module-remap-source master=mouth.monitor source_name=microphone",
        ]
        loaded = [word for module in modules for word in ("-L", module)]
        self._running = [self._start("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", *loaded)]
        until = time.monotonic() + START_SEC
        while not (folder / "socket").exists() and time.monotonic() < until:
            time.sleep(0.05)
        raw = ("--raw", "--format=s16le", f"--rate={RATE_HZ}", "--channels=1", "--latency-msec=50")
        self._record = folder / "sounded"
        self._running.append(self._start("parec", "--device=loudspeaker.monitor", *raw, output=self._record))

    def say(self, path: Path) -> None:
        """A WAV into the microphone; returns when it has been said."""
        subprocess.run(["paplay", "--device=mouth", path], env=self.environment, check=True, timeout=60)

    def sounded(self) -> np.ndarray:
        """What came out of the loudspeaker so far, float32 [n] at RATE_HZ."""
        data = self._record.read_bytes()
        return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / 32768

    def close(self) -> None:
        for process in reversed(self._running):
            process.terminate()
            process.wait(20)

    def _start(self, *command: str, output: Path | None = None) -> subprocess.Popen[bytes]:
        with contextlib.ExitStack() as files:
            out = files.enter_context(output.open("wb")) if output else subprocess.DEVNULL
            return subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=self.environment)


class Firefox:
    """One page. errors: what its scripts complained about."""

    def __init__(self, socket: ClientConnection) -> None:
        self.errors: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._send("session.new", capabilities={})
        self._send("session.subscribe", events=["log.entryAdded"])
        self._page = self._send("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, url: str, width: int, height: int) -> None:
        size = {"width": width, "height": height}
        self._send("browsingContext.setViewport", context=self._page, viewport=size)
        self._send("browsingContext.navigate", context=self._page, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as if the user had just touched the page."""
        answer = self._send(
            "script.evaluate",
            expression=f"JSON.stringify(({expression}) ?? null)",
            target={"context": self._page},
            awaitPromise=True,
            userActivation=True,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Until the expression is true."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.evaluate(f"Boolean({expression})"):
                return
            time.sleep(0.1)
        raise AssertionError(f"never true: {expression}; the page says {self.evaluate('document.body.innerText')}")

    def click(self, name: str) -> None:
        """The visible button of that label or text."""
        buttons = "[...document.querySelectorAll('button')].filter((one) => one.checkVisibility())"
        found = f"{buttons}.find((one) => [one.ariaLabel, one.title, one.innerText].includes({json.dumps(name)}))"
        self.wait(found)
        self.evaluate(f"{found}.click()")

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv(timeout=START_SEC))
            if told.get("method") == "log.entryAdded" and told["params"]["level"] == "error":
                self.errors.append(told["params"]["text"])
            if told.get("id") == number:
                assert told["type"] == "success", told
                return told["result"]


@contextlib.contextmanager
def firefox(folder: Path) -> Iterator[tuple[Firefox, Sound]]:
    path = firefox_path()
    sound = Sound(folder / "sound")
    profile = folder / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    log = folder / "firefox.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [path, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"],
            stdout=out,
            stderr=out,
            env=sound.environment,
            start_new_session=True,
        )
    try:
        until, found = time.monotonic() + START_SEC, None
        while found is None and time.monotonic() < until:
            time.sleep(0.1)
            found = re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text(errors="replace"))
        assert found, log.read_text(errors="replace")
        with connect(f"{found[1]}/session", max_size=None) as socket:
            yield Firefox(socket), sound
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        sound.close()

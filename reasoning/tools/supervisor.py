"""A run of the Python tool seen from outside: its limits, its result, and the supervisor that feeds the child, reads
what it says and kills it at the first limit it passes."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reasoning.backend import Cancellation

Status = Literal["ok", "error", "timeout", "memory", "threads", "output", "killed", "cancelled"]
STATUSES = frozenset({"ok", "error", "memory", "refused"})
VERDICT_BYTES = 100_000
WATCH_SEC = 0.02


@dataclass(frozen=True)
class ToolLimits:
    """What one run may use. processes: threads, because further processes are not allowed at all."""

    wall_sec: float = 10.0
    memory_bytes: int = 512 * 2**20
    processes: int = 64
    output_chars: int = 50_000
    code_chars: int = 100_000

    def __post_init__(self) -> None:
        if min(self.wall_sec, self.memory_bytes, self.processes, self.output_chars, self.code_chars) <= 0:
            raise ValueError(f"limits must be above 0: {self}")


@dataclass(frozen=True)
class ToolResult:
    """How a run ended. value: the last expression's value as text. error: what went wrong, in Python's words or ours.

    cut: whether output was dropped at the limit.
    """

    status: Status
    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    error: str | None = None
    cut: bool = False
    elapsed_ms: float = 0.0

    def for_model(self) -> str:
        """What the model reads as the tool's output."""
        shown = self.stdout.rstrip("\n") or (self.value or "")
        if self.status == "ok":
            return shown + ("\n[output cut]" if self.cut else "")
        last = (self.error or self.status).strip().splitlines()[-1]
        return f"{shown}\n{last}".strip()


class Supervisor:
    """One child and its pipes. `close` ends both."""

    def __init__(
        self, child: subprocess.Popen[bytes], verdict_fd: int, limits: ToolLimits, cancellation: Cancellation
    ) -> None:
        self.child, self.verdict_fd, self.limits, self.cancellation = child, verdict_fd, limits, cancellation
        self.read: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray(), "verdict": bytearray()}

    def wait(self, task: bytes) -> ToolResult | None:
        started = time.monotonic()
        ended: Status | None = None
        assert self.child.stdin and self.child.stdout and self.child.stderr
        with selectors.DefaultSelector() as selector:
            os.set_blocking(self.child.stdin.fileno(), False)
            selector.register(self.child.stdin, selectors.EVENT_WRITE, "stdin")
            selector.register(self.child.stdout, selectors.EVENT_READ, "stdout")
            selector.register(self.child.stderr, selectors.EVENT_READ, "stderr")
            selector.register(self.verdict_fd, selectors.EVENT_READ, "verdict")
            while selector.get_map() and ended is None:
                for key, _ in selector.select(WATCH_SEC):
                    if key.data == "stdin":
                        task = self._feed(task)
                        if not task:
                            selector.unregister(self.child.stdin)
                            self.child.stdin.close()
                    elif not self._take(key.fd, key.data):
                        selector.unregister(key.fileobj)
                ended = self._over(time.monotonic() - started)
        self._kill()
        return self._result(ended, (time.monotonic() - started) * 1000)

    def _feed(self, task: bytes) -> bytes:
        try:
            return task[os.write(self.child.stdin.fileno(), task[:65_536]) :]  # type: ignore[union-attr]
        except BlockingIOError:
            return task
        except BrokenPipeError:
            return b""

    def _take(self, fd: int, stream: str) -> bool:
        data = os.read(fd, 65_536)
        self.read[stream] += data
        return bool(data)

    def _over(self, elapsed_sec: float) -> Status | None:
        if self.cancellation.cancelled:
            return "cancelled"
        if elapsed_sec > self.limits.wall_sec:
            return "timeout"
        if len(self.read["stdout"]) + len(self.read["stderr"]) > 4 * self.limits.output_chars:
            return "output"
        if len(self.read["verdict"]) > VERDICT_BYTES:
            return "killed"
        return "threads" if _threads(self.child.pid) > self.limits.processes else None

    def _kill(self) -> None:
        self.child.kill()  # it has no children: in a box, bubblewrap takes its whole process namespace with it
        self.child.wait()

    def _result(self, ended: Status | None, elapsed_ms: float) -> ToolResult | None:
        room = self.limits.output_chars
        stdout = self.read["stdout"].decode("utf-8", "replace")
        stderr = self.read["stderr"].decode("utf-8", "replace")
        cut = len(stdout) + len(stderr) > room
        stdout, stderr = stdout[:room], stderr[: max(0, room - len(stdout))]
        told = _verdict(bytes(self.read["verdict"]))
        if told.get("status") == "refused":
            return None
        status: Status = ended or told.get("status") or _by_signal(self.child.returncode)
        error = told.get("error") if ended is None else None
        if status not in ("ok", "error") and error is None:
            error = _WHY[status].format(self.limits)
        return ToolResult(status, stdout, stderr, told.get("value"), error, cut, elapsed_ms)

    def close(self) -> None:
        self._kill()
        os.close(self.verdict_fd)
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()


_WHY: dict[str, str] = {
    "timeout": "stopped after {0.wall_sec:g} s",
    "output": "stopped after {0.output_chars} characters of output",
    "threads": "stopped because it ran more than {0.processes} threads",
    "memory": "the memory limit was reached",
    "cancelled": "cancelled",
    "killed": "the process died",
}


def _verdict(data: bytes) -> dict[str, Any]:
    """The child's verdict, checked: it is as untrusted as the code. {} if it is not what `jail.py` writes."""
    try:
        told = json.loads(data)
        if not isinstance(told, dict) or told.get("status") not in STATUSES:
            return {}
        if not all(isinstance(told.get(key), str | None) for key in ("value", "error")):
            return {}
        return {key: told.get(key) for key in ("status", "value", "error")}
    except (ValueError, RecursionError):
        return {}


def _by_signal(returncode: int | None) -> Status:
    return "timeout" if returncode in (-24, 152) else "killed"  # SIGXCPU: the limit on processor time


def _threads(pid: int) -> int:
    """Threads of the child; in a box, those of bubblewrap's children too."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return len(threads) + sum(_threads(int(child)) for child in children)

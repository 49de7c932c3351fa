"""Latency of a call: end of the user's speech → first audible sample, over the realtime socket as a client meets it.

A server of its own, a client that sends a recorded question in real time, in pieces of 20 ms, and silence after it.
Latency is the client's: from the moment when the last loud sample was sent to the moment when the first sound arrived;
the stages are the server's `tandem.turn.timing`. Prints three JSON lines: `turns` (p50, p95, split by stage, the first
turns against the last, resident memory), `calls` (1, 2 and 4 at once), `silence` (processor time while nobody speaks).

    python -m benchmarks.live [--model NAME|FOLDER] [--turns 50] [--silence-ms 300] [--backends LIST] [--only-turns]

--backends: who may reason; with one, each turn is written down beside the Thinker's answer, which waits for its words.
Without --model: models/omni-nano, or where that is missing a random checkpoint of its sizes.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
import soxr
from websockets.sync.client import connect

from benchmarks.pipeline import random_nano
from benchmarks.report import hardware, print_line
from multimodal.checkpoint import BUILT_IN

ROOT = Path(__file__).resolve().parent.parent
QUESTION = ROOT / "docs" / "samples" / "question.wav"
RATE_HZ = 24_000
PIECE = RATE_HZ // 50
LOUD = 0.02
STAGES = ("decided_ms", "read_ms", "first_text_ms", "first_code_ms", "first_sample_ms", "sent_ms")


@contextlib.contextmanager
def server(model: str, max_speech_sec: float, backends: str = "") -> Iterator[tuple[str, psutil.Process]]:
    """The address of a running server, and its process."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "app", "web", "--port", "0", "--no-browser", "--ephemeral", "--model", model]
        command += ["--backends", backends]
        environment = {**os.environ, "TANDEM_MAX_SPEECH_SEC": str(max_speech_sec), "TANDEM_THREADS": "1"}
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*command, "--max-tokens", "24", "--seed", "0"], cwd=ROOT, stdout=file, stderr=file, env=environment
            )
        try:
            until = time.monotonic() + 120
            while not (found := re.search(r"http://localhost:(\d+)", log.read_text())):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the server did not start: {log.read_text()}")
                time.sleep(0.1)
            yield f"ws://127.0.0.1:{found.group(1)}/v1/realtime?model=any", psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)


def question(path: Path) -> tuple[np.ndarray, int]:
    """int16 [n] at 24 kHz, and the number of the sample after its last loud one."""
    speech, rate = soundfile.read(path, dtype="float32")
    speech = soxr.resample(speech, rate, RATE_HZ)
    end = int(np.flatnonzero(np.abs(speech) > LOUD)[-1]) + 1
    return (speech[:end] * 32767).astype("<i2"), end


def resident_mib(process: psutil.Process) -> int:
    """Memory of the server and the processes that it started; what several share is counted once."""
    tree = (process, *process.children(recursive=True))
    return round(sum(one.memory_full_info().pss for one in tree) / 2**20)


class Caller:
    """A client with a microphone that runs in real time."""

    def __init__(self, address: str, silence_ms: int) -> None:
        self._connection = connect(address, max_size=None)
        self._silence_ms = silence_ms
        self.rows: list[dict[str, float]] = []

    def __enter__(self) -> Caller:
        self._socket = self._connection.__enter__()
        assert json.loads(self._socket.recv(timeout=120))["type"] == "session.created"
        detection = {"type": "server_vad", "silence_duration_ms": self._silence_ms}
        self.send("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}})
        return self

    def __exit__(self, *error: Any) -> None:
        self._connection.__exit__(*error)

    def send(self, kind: str, **fields: Any) -> None:
        self._socket.send(json.dumps({"type": kind, **fields}))

    def listen(self, pcm: np.ndarray, more_sec: float, done: threading.Event) -> float:
        """Send `pcm` as it would be spoken, then silence until `done`; the moment when `pcm` was out."""
        started, sent, ended = time.perf_counter(), 0, 0.0
        while sent < len(pcm) + more_sec * RATE_HZ and not (sent >= len(pcm) and done.is_set()):
            piece = pcm[sent : sent + PIECE]
            piece = np.concatenate([piece, np.zeros(PIECE - len(piece), "<i2")])
            sent += PIECE
            wait = started + sent / RATE_HZ - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            self.send("input_audio_buffer.append", audio=base64.b64encode(piece.tobytes()).decode())
            if ended == 0.0 and sent >= len(pcm):
                ended = started + len(pcm) / RATE_HZ
        return ended

    def turn(self, pcm: np.ndarray) -> None:
        """Ask, wait for the reply's end, and have it all played at once."""
        done, row = threading.Event(), {}

        def follow() -> None:
            item = None
            while not done.is_set():
                event = json.loads(self._socket.recv(timeout=120))
                kind = event["type"]
                if kind == "error":
                    raise RuntimeError(event["error"]["message"])
                if kind == "response.output_audio.delta" and "arrived" not in row:
                    row["arrived"], item = time.perf_counter(), event["item_id"]
                elif kind == "tandem.turn.timing":
                    row.update({name: event[name] for name in STAGES if event[name] is not None})
                elif kind == "response.done":
                    if item is not None:
                        self.send("tandem.playback.update", item_id=item, played_ms=1e7)
                    done.set()

        reader = threading.Thread(target=follow)
        reader.start()
        ended = self.listen(pcm, 60, done)
        reader.join()
        row["latency_ms"] = (row.pop("arrived") - ended) * 1000
        self.rows.append(row)
        time.sleep(0.2)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


def summary(rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    names = [name for name in ("latency_ms", *STAGES) if any(name in row for row in rows)]
    return {
        name: {"p50": quantile(values, 0.5), "p95": quantile(values, 0.95)}
        for name in names
        if (values := [row[name] for row in rows if name in row])
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--silence-ms", type=int, default=300)
    parser.add_argument("--question", type=Path, default=QUESTION, help="a recording of it, without noise after it")
    parser.add_argument("--speech-sec", type=float, default=3.0, help="longest reply")
    parser.add_argument("--backends", default="", help="as for `web`; none by default")
    parser.add_argument("--only-turns", action="store_true")
    options = parser.parse_args()
    model = options.model or (str(BUILT_IN / "omni-nano") if (BUILT_IN / "omni-nano").is_dir() else str(random_nano()))
    about, (pcm, _) = hardware(), question(options.question)
    given = {"model": Path(model).name, "silence_ms": options.silence_ms, "question_sec": round(len(pcm) / RATE_HZ, 2)}
    given["backends"] = options.backends
    with server(model, options.speech_sec, options.backends) as (address, process):
        with Caller(address, options.silence_ms) as caller:
            caller.turn(pcm)  # the first call of a process compiles and loads; it is reported by itself
            cold = caller.rows.pop()
            for _ in range(options.turns):
                caller.turn(pcm)
            rows = caller.rows
            part = max(1, len(rows) // 5)
            medians = [statistics.median(row["latency_ms"] for row in some) for some in (rows[:part], rows[-part:])]
            turns = {**given, "turns": len(rows), **summary(rows), "first_of_process_ms": round(cold["latency_ms"], 1)}
            turns["resident_mib"] = resident_mib(process)
            print_line("live turns", {**turns, "last_fifth_over_first_fifth": round(medians[1] / medians[0], 3)}, about)
            if options.only_turns:
                return
            before, started = sum(process.cpu_times()[:2]), time.perf_counter()
            caller.listen(np.zeros(RATE_HZ * 10, "<i2"), 0, threading.Event())
            spent = sum(process.cpu_times()[:2]) - before
            share = spent / (time.perf_counter() - started)
        for number in (1, 2, 4):
            time.sleep(1)
            with contextlib.ExitStack() as stack:
                callers = [stack.enter_context(Caller(address, options.silence_ms)) for _ in range(number)]

                def talk(caller: Caller) -> None:
                    for _ in range(max(2, options.turns // 10)):
                        caller.turn(pcm)

                threads = [threading.Thread(target=talk, args=(caller,)) for caller in callers]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                found = [row for caller in callers for row in caller.rows]
            print_line("live calls", {**given, "calls": number, "turns": len(found), **summary(found)}, about)
        print_line("live silence", {**given, "share_of_a_core": round(share, 4)}, about)


if __name__ == "__main__":
    main()

"""Batch analysis: throughput against a plain loop, decoding against its limits, scaling over workers, memory.

    python -m benchmarks.analysis [--parts throughput decode scaling memory] [--clips 4] [--seconds 48] [--rounds 3]

throughput: the same clips, windows, frame sizes and reply lengths on a random checkpoint of omni-nano's sizes; the
plain loop is qwen-vl-utils' fetch_video, transformers' processor and generate, one window after the other, without
sound on either side, and with torch's own number of threads (as many as cores) as well as with one: the faster counts.
decode: windows as the analysis reads them, every frame of the file unscaled, and its keyframes alone. scaling: the
analysis of several files with an answerer that takes no time, one decoding thread a worker. memory: the whole process
tree of the command on an hour of 1080p with sound.

All sides take turns, `--rounds` times, and the median of each counts. Processor seconds, of the program and its
decoders, say how much work it was: on a machine that others use too, they are steadier than the time on the wall.
`own_sec` is the program's part without its decoders, `others` what other programs took of all cores meanwhile, from 0
to 1. Prints a JSON line a part.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from app.analysis.answerer import Answer, ThinkerAnswerer
from app.analysis.decoder import Decoder
from app.analysis.item import Analyst, analyze
from app.analysis.journal import Journal
from app.analysis.manifest import Item
from app.analysis.options import AnalysisOptions
from app.analysis.progress import Progress
from app.analysis.run import Run
from benchmarks.decode import CACHE, make_clip
from benchmarks.pipeline import random_nano
from benchmarks.report import hardware, print_line
from multimodal.limits import DEFAULT_LIMITS

WINDOW_SEC = 24.0
REPLY_TOKENS = 24
PARTS = ("throughput", "decode", "scaling", "memory")


class Silent:
    """Takes frames of the checkpoint's size and says nothing."""

    name, hears = "silent", False

    def __init__(self, thinker: ThinkerAnswerer) -> None:
        self.budget, self.tokens = thinker.budget, thinker.tokens

    def answer(self, *asked: Any) -> Answer:
        return Answer("", "completed", 0, 0)

    def close(self) -> None:
        pass


def clip(seconds: float) -> Path:
    path = CACHE / f"gradient-1080p30-{seconds / 60:g}min.mp4"
    if not path.exists():
        print(f"making {path.name}", file=sys.stderr)
        make_clip(path, seconds / 60)
    return path


@dataclass(frozen=True)
class Spent:
    """wall; processor time with that of the decoders, and without; the share of all cores that others took."""

    wall_sec: float
    cpu_sec: float
    own_sec: float
    others: float


def spend(work: Callable[[], Any]) -> Spent:
    started, own, children, busy = time.perf_counter(), time.process_time(), _children_sec(), _busy_sec()
    work()
    wall, own = time.perf_counter() - started, time.process_time() - own
    cpu = own + _children_sec() - children
    return Spent(wall, cpu, own, max(0.0, _busy_sec() - busy - cpu) / wall / (os.cpu_count() or 1))


def _children_sec() -> float:
    """Of the server that forks the decoders, with the decoders that have ended."""
    told = 0.0
    for one in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            told += sum(one.cpu_times()[:4])  # user, system, and those of its ended children
    return told


def _busy_sec() -> float:
    """Of all programs on all cores, since the machine started."""
    told = psutil.cpu_times()
    return told.user + told.nice + told.system


def timed(work: Callable[[], Any]) -> float:
    return spend(work).wall_sec


def by_turns(sides: dict[str, Callable[[], Spent]], rounds: int) -> dict[str, Spent]:
    """The median of each side."""
    spent: dict[str, list[Spent]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            spent[name].append(side())
    return {
        name: Spent(*(statistics.median(values) for values in zip(*(astuple(one) for one in told))))
        for name, told in spent.items()
    }


def analysed(path: Path, count: int, answerer: Any, jobs: int, threads: int) -> Spent:
    """For `count` items of one file, model loaded and decoders warm. threads: of each job, in model and decoder."""
    import torch

    torch.set_num_threads(threads)
    options = AnalysisOptions(task="caption", window=WINDOW_SEC, audio="off", max_tokens=REPLY_TOKENS, jobs=jobs)
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "r.jsonl", "benchmark")
        loop = Run(lambda item: analyze(item, analyst), journal, Progress("quiet", count), jobs)
        analyst = Analyst(options, answerer, DEFAULT_LIMITS, journal, None, threads, loop.tell)
        spent = spend(lambda: loop.all([Item(str(n), path) for n in range(count)]))
        assert list(journal.done.values()) == ["ok"] * count, "the analysis failed"
        journal.close()
    return spent


def plain_loop(folder: str, path: Path, count: int, seconds: float, budget: Any) -> Callable[[int], Spent]:
    """The loop that one would write first, model loaded; called with torch's number of threads."""
    import torch
    from qwen_vl_utils.vision_process import fetch_video
    from transformers import Qwen2_5OmniForConditionalGeneration, Qwen2_5OmniProcessor

    processor: Any = Qwen2_5OmniProcessor.from_pretrained(folder)
    model: Any = Qwen2_5OmniForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval().thinker
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Describe the clip."}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    text = text.replace("<|vision_bos|><|vision_eos|>", "<|vision_bos|><|VIDEO|><|vision_eos|>")
    bounds = {"min_pixels": budget.min_pixels, "max_pixels": budget.max_pixels, "total_pixels": budget.total_pixels}

    def work() -> None:
        for _ in range(count):
            start = 0.0
            while start < seconds:
                span = {"video_start": start, "video_end": min(start + WINDOW_SEC, seconds)}
                frames, fps = fetch_video(
                    {"video": str(path), "fps": 2.0, **bounds, **span}, return_video_sample_fps=True
                )
                inputs = processor(
                    text=text, videos=[frames], return_tensors="pt", fps=fps, do_resize=False, do_sample_frames=False
                )
                with torch.inference_mode():
                    model.generate(**inputs, max_new_tokens=REPLY_TOKENS, min_new_tokens=REPLY_TOKENS, do_sample=False)
                start += WINDOW_SEC

    def measured(threads: int) -> Spent:
        torch.set_num_threads(threads)
        return spend(work)

    return measured


def throughput(options: argparse.Namespace, thinker: ThinkerAnswerer) -> dict[str, Any]:
    path, count, cores = clip(options.seconds), options.clips, os.cpu_count() or 1
    thinker = ThinkerAnswerer(replace(thinker.checkpoint, stop=frozenset()))  # replies of the same length
    loop = plain_loop(thinker.checkpoint.folder, path, count, options.seconds, thinker.budget())
    analysed(path, 1, thinker, 1, cores)
    sides: dict[str, Callable[[], Spent]] = {
        "jobs_1": lambda: analysed(path, count, thinker, 1, cores),
        "jobs_2": lambda: analysed(path, count, thinker, 2, max(1, cores // 2)),
        "plain_loop": lambda: loop(cores),
        "plain_loop_one_thread": lambda: loop(1),
    }
    spent = by_turns(sides, options.rounds)
    media = count * options.seconds
    ours, theirs = ([one for name, one in spent.items() if name.startswith(kind)] for kind in ("jobs", "plain"))
    return {
        "media_sec": media,
        "rounds": options.rounds,
        "hours_per_hour": {name: round(media / one.wall_sec, 2) for name, one in spent.items()},
        "cpu_sec": {name: round(one.cpu_sec, 1) for name, one in spent.items()},
        "others": {name: round(one.others, 2) for name, one in spent.items()},
        "ratio": round(min(one.wall_sec for one in theirs) / min(one.wall_sec for one in ours), 2),
        "cpu_ratio": round(min(one.cpu_sec for one in theirs) / min(one.cpu_sec for one in ours), 2),
    }


def decode(options: argparse.Namespace, thinker: ThinkerAnswerer) -> dict[str, Any]:
    import av

    path = clip(options.seconds)

    def windows() -> None:
        decoder = Decoder(path, DEFAULT_LIMITS, 2, 600)
        for n in range(int(options.seconds // WINDOW_SEC)):
            budget = thinker.budget(fps=2.0)
            decoder.ask("window", budget, False, n * WINDOW_SEC, (n + 1) * WINDOW_SEC - 1e-3)  # no frame twice
            decoder.answer()
        decoder.close()

    def frames(keys: bool) -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_type, stream.codec_context.thread_count = "AUTO", 2
            if keys:
                stream.codec_context.skip_frame = "NONKEY"
            for _ in container.decode(stream):
                pass

    windows()
    seconds = {
        "windows": timed(windows),
        "every_frame": timed(lambda: frames(False)),
        "keyframes": timed(lambda: frames(True)),
    }
    return {"media_sec": options.seconds, **{f"{name}_sec": round(value, 2) for name, value in seconds.items()}}


def scaling(options: argparse.Namespace, thinker: ThinkerAnswerer) -> dict[str, Any]:
    path, answerer = clip(options.seconds), Silent(thinker)
    analysed(path, 1, answerer, 1, 1)
    spent = by_turns(
        {
            "one_worker": lambda: analysed(path, options.clips, answerer, 1, 1),
            "two_workers": lambda: analysed(path, options.clips, answerer, 2, 1),
        },
        options.rounds,
    )
    one, two = spent["one_worker"], spent["two_workers"]
    return {
        "rounds": options.rounds,
        **{f"{name}_{what}": round(getattr(told, what), 2) for name, told in spent.items() for what in vars(told)},
        "ratio": round(one.wall_sec / two.wall_sec, 2),
    }


def memory(options: argparse.Namespace, thinker: ThinkerAnswerer) -> dict[str, Any]:
    path = clip(3600)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "r.jsonl"
        flags = ["--model", thinker.checkpoint.folder, "--task", "caption", "--max-frames", str(options.max_frames)]
        command = [sys.executable, "-m", "app", "analyze", str(path), *flags, "--out", str(out), "--max-tokens", "24"]
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        peaks = {"rss": 0, "pss": 0}
        started = time.perf_counter()

        def watch() -> None:
            while child.poll() is None:
                try:
                    tree = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
                    told = [one.memory_full_info() for one in tree]
                except psutil.Error:
                    continue
                for name in peaks:
                    peaks[name] = max(peaks[name], sum(getattr(one, name) for one in told))
                time.sleep(0.2)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        child.wait()
        watcher.join()
        record = json.loads(out.read_text())
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "status": record["status"],
        "frames": record["coverage"]["frames"],
        "tree_rss_mib": peaks["rss"] >> 20,
        "tree_pss_mib": peaks["pss"] >> 20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=48.0, help="length of a clip, a multiple of 48")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-frames", type=int, default=768, help="frames of the hour")
    options = parser.parse_args()
    import torch

    from multimodal.checkpoint import load

    about = hardware()
    torch.set_num_threads(1)
    thinker = ThinkerAnswerer(load(random_nano(), speech=False))
    work = {"throughput": throughput, "decode": decode, "scaling": scaling, "memory": memory}
    for part in options.parts:
        print_line(f"analysis_{part}", work[part](options, thinker), about)


if __name__ == "__main__":
    main()

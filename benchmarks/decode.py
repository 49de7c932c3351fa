"""An hour of video sampled to 768 frames: Tandem's reader against qwen-vl-utils' fetch_video.

Each reader runs in a process of its own, one after the other; the times (wall, and processor over all threads) exclude
imports, the peak memory is that of the whole process. The clip is H.264, 1920×1080, 30 frames a second, with B-frames,
keyframes at most 250 frames apart, and AAC sound. Its first 48 s are encoded; then the coded packets repeat, which
costs a decoder the same as a clip encoded whole. Prints one JSON line.

    python -m benchmarks.decode [--minutes 60] [--memory-gib N]

qwen-vl-utils needs one of its own readers: torchcodec, decord, or a torchvision that still has io.read_video.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

import multimodal  # noqa: F401  before torchvision, which may need its help

HEIGHT, WIDTH, FPS = 1080, 1920, 30
SEGMENT_SEC = 48  # a whole number of frames, and of AAC packets at 48 kHz
SOUND_HZ = 48_000
CACHE = Path.home() / ".cache" / "tandem-bench"
READERS = ("tandem", "tandem_with_sound", "qwen_vl_utils")


def gradient_frame(number: int, wide: np.ndarray) -> np.ndarray:
    """A gradient that moves two pixels a frame, with `number` as sixteen black or white bars. I420 [H·3/2, W]."""
    frame = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    frame[:HEIGHT] = wide[:, 2 * (number % 960) : 2 * (number % 960) + WIDTH]
    for bit in range(16):
        frame[40:120, 64 + 112 * bit : 64 + 112 * bit + 100] = 235 if number >> bit & 1 else 16
    return frame


def make_clip(path: Path, minutes: float) -> None:
    """Write the clip under a name of its own first, so that a broken run leaves nothing that looks whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.part.mp4")
    rows, columns = np.mgrid[:HEIGHT, : WIDTH * 2]
    wide = ((np.sin(columns / 160) + np.sin(rows / 90)) * 40 + 128).astype(np.uint8)
    with av.open(str(unfinished), "w") as container:
        video: Any = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": "250"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound: Any = container.add_stream("aac", rate=SOUND_HZ, layout="mono")
        packets: list[Any] = []
        for number in range(SEGMENT_SEC * FPS):
            frame = av.VideoFrame.from_ndarray(gradient_frame(number, wide), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            packets += video.encode(frame)
        packets += video.encode()
        for first in range(0, SEGMENT_SEC * SOUND_HZ, 1024):
            tone = 0.3 * np.sin(2 * np.pi * 440 / SOUND_HZ * np.arange(first, first + 1024))
            block = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="flt", layout="mono")
            block.sample_rate, block.pts, block.time_base = SOUND_HZ, first, Fraction(1, SOUND_HZ)
            packets += sound.encode(block)
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        coded = [
            (bytes(p), p.pts, p.dts, p.time_base, p.is_keyframe, video if p.stream is video else sound) for p in packets
        ]
        for repeat in range(max(1, round(minutes * 60 / SEGMENT_SEC))):
            for data, pts, dts, time_base, is_keyframe, stream in coded:
                packet = av.Packet(data)
                shift = round(repeat * SEGMENT_SEC / time_base)
                packet.pts, packet.dts, packet.time_base = pts + shift, dts + shift, time_base
                packet.is_keyframe, packet.stream = is_keyframe, stream
                container.mux(packet)
    unfinished.replace(path)


def read_once(reader: str, path: Path) -> dict[str, Any]:
    """What one child process measures."""
    from qwen_vl_utils import vision_process

    from multimodal.decode import read_video

    if reader == "qwen_vl_utils":
        extra: dict[str, Any] = {"reader": vision_process.get_video_reader_backend()}
        started, cpu_started = time.perf_counter(), time.process_time()
        tensor, fps = vision_process.fetch_video({"video": str(path)}, return_video_sample_fps=True)
        shape = list(np.asarray(tensor).shape)
    else:
        started, cpu_started = time.perf_counter(), time.process_time()
        clip = read_video(path, audio=reader == "tandem_with_sound")
        shape, fps = list(clip.frames.shape), clip.fps
        extra = {"complete": clip.complete, "sound_sec": clip.audio.duration_sec if clip.audio else None}
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "peak_rss_mib": peak_rss_mib(),
        "shape": shape,
        "fps": fps,
        **extra,
    }


def peak_rss_mib() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) >> 10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)


def measure(reader: str, path: Path, memory_bytes: int) -> dict[str, Any]:
    """Run one reader in a child process, stopped where it needs more than `memory_bytes`."""
    command = [sys.executable, "-m", "benchmarks.decode", "--child", reader, "--file", str(path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stopped: list[float] = []
    started = time.perf_counter()

    def watch() -> None:
        while child.poll() is None:
            try:
                machine = psutil.virtual_memory()
                short = machine.available < machine.total // 10  # others on the machine need some too
                if short or psutil.Process(child.pid).memory_info().rss > memory_bytes:
                    stopped.append(time.perf_counter() - started)
                    child.kill()
                    return
            except psutil.Error:
                return
            time.sleep(0.02)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    output, errors = child.communicate()
    watcher.join()
    if stopped:
        return {
            "error": f"stopped after {stopped[0]:.0f} s: above {memory_bytes / 2**30:.1f} GiB, or the machine ran short"
        }
    if child.returncode < 0:
        return {"error": f"ended by signal {-child.returncode} after {time.perf_counter() - started:.0f} s"}
    if child.returncode:
        return {"error": (errors.strip().splitlines() or ["no message"])[-1][:200]}
    return json.loads(output.strip().splitlines()[-1])


def hardware() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    memory_gib = round(psutil.virtual_memory().total / 2**30, 1)
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": memory_gib, "load_before": load}


def version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return run.stdout.strip() if run.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the clip (rounded to 48 s)")
    parser.add_argument("--memory-gib", type=float, help="stop a reader above this (default: 2/3 of what is free)")
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--child", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(read_once(options.child, options.file)))
        return
    about = hardware()
    path = CACHE / f"gradient-{HEIGHT}p{FPS}-{options.minutes:g}min.mp4"
    if not path.exists():
        print(f"making {path.name}", file=sys.stderr)
        make_clip(path, options.minutes)
    free = psutil.virtual_memory().available
    memory_bytes = int(options.memory_gib * 2**30) if options.memory_gib else free * 2 // 3
    results = {}
    for reader in options.readers:
        print(f"reading with {reader}", file=sys.stderr)
        results[reader] = measure(reader, path, memory_bytes)
    ratios = {}
    for unit in ("seconds", "cpu_seconds"):
        ours, theirs = (results.get(name, {}).get(unit) for name in ("tandem", "qwen_vl_utils"))
        ratios[unit] = round(theirs / ours, 2) if ours and theirs else None
    packages = ("av", "torch", "torchvision", "qwen-vl-utils", "decord", "torchcodec", "numpy")
    line = {
        "benchmark": "decode",
        "clip": {"minutes": options.minutes, "size": [HEIGHT, WIDTH], "fps": FPS, "mib": path.stat().st_size >> 20},
        **results,
        "ratio": ratios,
        "hardware": about,
        "versions": {"python": platform.python_version(), **{p: version_of(p) for p in packages}},
        "commit": commit(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()

"""What every benchmark's JSON line says about where it was measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("torch", "transformers", "numpy")


def hardware() -> dict[str, Any]:
    """Processor, cores, memory, GPU and the load before the measurement."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line[:10] == "model name"]
        model = names[0] if names else model
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    memory_gib = round(psutil.virtual_memory().total / 2**30, 1)
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": memory_gib, "gpu": _gpu(), "load_before": load}


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def versions(*packages: str) -> dict[str, str | None]:
    """Python's and the packages' versions, None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in (*PACKAGES, *packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def commit() -> str | None:
    """Short hash of the checked-out commit, with a plus where files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    run = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    if run.returncode:
        return None
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True).stdout.strip()
    return run.stdout.strip() + ("+" if changed else "")


def print_line(benchmark: str, results: dict[str, Any], about: dict[str, Any]) -> None:
    """One JSON line on standard output. about: `hardware()` as it was before the measurement."""
    line = {"benchmark": benchmark, **results, "hardware": about, "versions": versions(), "commit": commit()}
    print(json.dumps(line), flush=True)

"""The state of this machine in one table: versions, devices, memory, threads and checkpoints, each with the remedy."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from rich.table import Table

from app.config import DEFAULT_MODEL, Config
from app.models import LocalModel, console, find_models, models_table

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
SHOWN = ("torch", "torchvision", "transformers", "tokenizers", "av", "soundfile", "soxr", "qwen-vl-utils", "numpy")
LEAST_MEMORY_GB = 1.5

State = Literal["ok", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One row of the report. remedy: what to do, empty where nothing is to be done."""

    subject: str
    state: State
    what: str
    remedy: str = ""


def print_report(config: Config) -> bool:
    """Print everything found; False where something keeps Tandem from answering."""
    found = find_models(config)
    findings = [*versions(), *devices(config), *memory(), chosen_model(config, found), *backends(config), python_tool()]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("what", "state", "found", "to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(finding.subject, finding.state, finding.what, finding.remedy)
    screen = console()
    screen.print(table)
    if found:
        screen.print()
        screen.print(models_table(found))
    healthy = all(finding.state != "bad" for finding in findings)
    screen.print("\nTandem can answer." if healthy else "\nTandem cannot answer yet: see the rows marked bad.")
    return healthy


def versions() -> Iterator[Finding]:
    """Python and the packages that matter, against requirements.txt."""
    yield Finding("python", "ok", f"{platform.python_version()} ({sys.executable})")
    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", REQUIREMENTS.read_text(), re.MULTILINE))
    for name in SHOWN:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, "bad", "not installed", "make run installs it")
            continue
        if version.split("+")[0] == pins[name]:
            yield Finding(name, "ok", version)
        else:
            yield Finding(name, "note", version, f"tested with {pins[name]}: make run installs it")
    yield Finding("ffmpeg", "ok", "not needed: PyAV brings its own")


def devices(config: Config) -> Iterator[Finding]:
    """Processors that torch can use, and how many threads a stage gets."""
    import torch

    cores = os.cpu_count() or 1
    yield Finding("cpu", "ok", f"{platform.machine()}, {cores} cores")
    threads = config.stage_threads
    if threads * 3 > max(cores, 3):
        remedy = f"{threads * 3} threads share {cores} cores: TANDEM_THREADS=0 shares them out"
        yield Finding("threads", "note", f"{threads} for each of three stages", remedy)
    else:
        yield Finding("threads", "ok", f"{threads} for each of three stages")
    if not torch.cuda.is_available():
        yield Finding("gpu", "ok", "none: everything runs on the CPU")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding(f"cuda:{index}", "ok", f"{properties.name}, {properties.total_memory / 1e9:.0f} GB")


def memory() -> Iterator[Finding]:
    """Main memory."""
    import psutil

    state = psutil.virtual_memory()
    what = f"{state.available / 1e9:.1f} GB free of {state.total / 1e9:.1f} GB"
    if state.available / 1e9 < LEAST_MEMORY_GB:
        yield Finding("memory", "note", what, f"close something: the built-in model wants {LEAST_MEMORY_GB} GB")
    else:
        yield Finding("memory", "ok", what)


def chosen_model(config: Config, found: list[LocalModel]) -> Finding:
    """The checkpoint that `ask` would load now."""
    for model in found:
        if config.model in (model.name, str(model.folder)) or Path(config.model).resolve() == model.folder:
            if model.problem:
                return Finding("model", "bad", f"{model.name}: {model.problem.split(':')[0]}", model.problem)
            if not model.omni:
                remedy = "name it in the setting backends, and give --model a Qwen2.5-Omni checkpoint"
                return Finding("model", "bad", f"{model.name} only reasons: it neither hears nor speaks", remedy)
            return Finding("model", "ok", str(model.folder))
    if config.model == DEFAULT_MODEL:
        remedy = "train it (training/README.md), or set TANDEM_MODEL to a folder or a hub id"
        return Finding("model", "bad", "the built-in model is not there", remedy)
    if "/" in config.model and not Path(config.model).is_absolute():
        return Finding("model", "note", f"{config.model}: not in the hub's cache", "the first ask downloads it")
    return Finding("model", "bad", f"{config.model}: not on this machine", "give a name from the list, or a folder")


def backends(config: Config) -> Iterator[Finding]:
    """Who may reason beside the model; nothing is loaded, and nobody is asked."""
    from app.backends import configured

    entries = configured(config)
    for entry in entries:
        roles = ", ".join(entry.profile.roles) or "whoever chooses it"
        what = f"{entry.name}, for {roles}" + (f", at {entry.server}" if entry.server else "")
        if entry.problem is None:
            yield Finding("backend", "ok", what)
        else:
            yield Finding("backend", "note", f"{entry.name} cannot be asked", entry.problem)
    if not entries:
        yield Finding(
            "backend", "note", "none: the model answers everything itself", "docs/reasoning.md, Setting it up"
        )


def python_tool() -> Finding:
    """Whether Python from a model can be isolated here."""
    from reasoning.errors import ToolUnavailable
    from reasoning.tools.python_tool import PythonTool

    try:
        return Finding("python tool", "ok", f"isolated by {PythonTool().check()}")
    except ToolUnavailable as error:
        return Finding("python tool", "note", "code of models is not run", str(error))

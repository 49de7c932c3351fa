"""The direction of imports, the purity of the model code, and the start-up cost that follows from them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "multimodal": set(),
    "streaming": {"multimodal"},
    "reasoning": {"multimodal"},
    "training": {"streaming", "multimodal"},  # what is trained is judged by the pipeline that will run it
    "app": {"streaming", "reasoning", "multimodal"},
}
ROOMS = {*MAY_IMPORT, "benchmarks", "tests"}
NETWORK = {"socket", "http", "urllib", "requests", "httpx", "aiohttp", "websockets", "fastapi", "uvicorn", "gradio"}
FOREIGN_TO = {
    "multimodal": {"asyncio", "threading", "queue", *NETWORK},
    "streaming": {"asyncio", *NETWORK},
}
NAMES_THAT_SAY_NOTHING = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "base"}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import in a file, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.lineno, (node.module or "").split(".")[0]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {package}"
        for path in modules(room)
        for line, package in imported(path)
        if package in ROOMS - {room} - MAY_IMPORT[room]
    ]
    assert not wrong


@pytest.mark.parametrize("room", FOREIGN_TO)
def test_model_code_knows_no_sockets_and_no_event_loop(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {package}"
        for path in modules(room)
        for line, package in imported(path)
        if package in FOREIGN_TO[room]
    ]
    assert not wrong


def test_every_module_is_named_after_what_it_holds() -> None:
    names = [path.relative_to(ROOT) for room in ROOMS for path in modules(room)]
    assert len(names) > 10, "the tree was not found"
    assert not [name for name in names if {part.removesuffix(".py") for part in name.parts} & NAMES_THAT_SAY_NOTHING]


def test_the_command_line_starts_without_torch() -> None:
    code = (
        "import sys, app.cli; print([name for name in ('torch', 'transformers', 'multimodal') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"

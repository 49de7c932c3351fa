"""Runs the programs of generated problems with real Python, and those that a model under training writes.

Not a sandbox: `reasoning.tools` is. `checked` lets through only what the generated programs are made of, so that a
model's slip cannot do harm or run for long; people's code never comes here.
"""

from __future__ import annotations

import ast
import contextlib
import io
import sys
from functools import lru_cache
from typing import Any

MODULES = {"math", "fractions", "decimal", "datetime", "calendar", "statistics", "itertools", "collections"}
FORBIDDEN = {
    "open",
    "exec",
    "eval",
    "compile",
    "input",
    "breakpoint",
    "getattr",
    "setattr",
    "delattr",
    "globals",
    "locals",
    "vars",
    "exit",
    "quit",
    "help",
    "memoryview",
    "__import__",
    "__builtins__",
}
STEPS = 200_000
LARGEST = 10_000


def checked(code: str) -> str | None:
    """Why the program is not run, or None."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if any(name.split(".")[0] not in MODULES for name in names):
                return "ImportError: not offered"
        if isinstance(node, ast.Name) and (node.id in FORBIDDEN or node.id.startswith("__")):
            return f"NameError: name '{node.id}' is not defined"
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            return "AttributeError: not offered"
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and abs(node.value) > 10**12:
            return "OverflowError: number too large"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.LShift) and not _small(node.right):
            return "OverflowError: exponent too large"
    return None


def _small(node: ast.expr) -> bool:
    """Whether an exponent is a number up to 1000 or a name."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and abs(node.value) <= 1000
    return isinstance(node, ast.Name | ast.UnaryOp)


@lru_cache(maxsize=4096)
def run(code: str, generated: bool = False) -> str:
    """What the program prints, without the last line end, or its error's last line. generated: the problems' own
    programs, which need no check."""
    if not generated and (error := checked(code)):
        return error
    out, left = io.StringIO(), STEPS

    def count(frame: Any, event: str, argument: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or out.tell() > LARGEST:
            raise TimeoutError("too many steps")
        return count

    before = sys.gettrace()
    slow = any(word in code for word in ("while", "for", "def", "range"))
    try:
        with contextlib.redirect_stdout(out):
            program = compile(code, "<program>", "exec")
            if slow:
                sys.settrace(count)
            exec(program, {"__name__": "__main__"})
    except Exception as error:
        sys.settrace(before)
        return f"{out.getvalue()}{type(error).__name__}: {error}".strip()
    finally:
        sys.settrace(before)
    return out.getvalue().rstrip("\n")

"""Python from a model, run in an isolated child process: no network, no files of the host, no secrets, no processes
of its own, bounded in time, memory and output.

The child locks itself up (`jail.py`): resource limits, no capabilities, Landlock for files, and an allowlist of
system calls. Where bubblewrap is installed and works, all of that runs inside its namespaces too. Where neither
Landlock nor bubblewrap can keep files away, or the system call filter is missing, nothing is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import asdict
from pathlib import Path

from reasoning.backend import Cancellation
from reasoning.errors import ToolUnavailable
from reasoning.messages import ToolSpec
from reasoning.tools.supervisor import Supervisor, ToolLimits, ToolResult

JAIL = Path(__file__).with_name("jail.py")
# Packages that the code may import besides the standard library.
PACKAGES = ("sympy", "mpmath", "numpy", "numpy.libs")

PYTHON_TOOL = ToolSpec(
    "python",
    "Runs Python 3 with the standard library, SymPy and NumPy, without files, network or processes. Print the result.",
    {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"], "additionalProperties": False},
)


class PythonTool:
    """Runs code, one child a run. `bwrap`: path of bubblewrap, None to go without, "auto" to use it where it works.

    Raises ToolUnavailable, from `check` or `run`, where this machine cannot isolate.
    """

    def __init__(self, limits: ToolLimits | None = None, bwrap: str | None = "auto") -> None:
        self.limits = limits or ToolLimits()
        self._bwrap = bwrap
        self._checked = False

    def check(self) -> str:
        """Try the locks on this machine once. Returns what isolates: "bubblewrap" or "landlock"."""
        if not self._checked:
            if sys.platform != "linux":
                raise ToolUnavailable("the Python tool needs Linux: it isolates code with Landlock and seccomp")
            if self._bwrap == "auto":
                self._bwrap = shutil.which("bwrap")
                if self._bwrap and not self._works():
                    self._bwrap = None
            if not self._works():
                raise ToolUnavailable(
                    "Python code cannot be isolated here, so it is not run: install bubblewrap and libseccomp2, "
                    "or use a kernel with Landlock (Linux 5.13 or newer)"
                )
            self._checked = True
        return "bubblewrap" if self._bwrap else "landlock"

    def run(self, code: str, cancellation: Cancellation | None = None) -> ToolResult:
        """Run `code` and wait for its end, at most `limits.wall_sec`."""
        self.check()
        if len(code) > self.limits.code_chars:
            return ToolResult("error", error=f"the code is longer than {self.limits.code_chars} characters")
        result = self._run(code, cancellation or Cancellation())
        if result is None:
            raise ToolUnavailable("Python code could not be isolated, so it was not run")
        return result

    def call(self, arguments: str, cancellation: Cancellation | None = None) -> ToolResult:
        """Run a model's tool call. arguments: JSON text with `code`; anything else is an error for the model."""
        try:
            code = json.loads(arguments)["code"]
            if not isinstance(code, str):
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            return ToolResult("error", error='the arguments must be {"code": "…"}')
        return self.run(code, cancellation)

    def _works(self) -> bool:
        result = self._run("print(6 * 7)", Cancellation())
        return result is not None and result.status == "ok" and result.stdout == "42\n"

    def _run(self, code: str, cancellation: Cancellation) -> ToolResult | None:
        """None: the locks did not close, and the code was not run."""
        readable, listable, packages = _paths()
        task = {
            "code": code,
            "parent": os.getpid(),
            "boxed": bool(self._bwrap),
            "packages": [str(JAIL.parent), *packages],
            "readable": readable,
            "listable": listable,
            "limits": {**asdict(self.limits), "cpu_sec": int(self.limits.wall_sec) + 1},
        }
        verdict_read, verdict_write = os.pipe()
        command = [sys.executable, "-I", "-S", "-B", str(JAIL), str(verdict_write)]
        if self._bwrap:
            command = [self._bwrap, *_box(readable, listable), "--", *command]
        try:
            child = _spawn(command, verdict_write)
        except OSError:
            os.close(verdict_read)
            return None
        finally:
            os.close(verdict_write)
        with contextlib.closing(Supervisor(child, verdict_read, self.limits, cancellation)) as watch:
            return watch.wait(json.dumps(task).encode("utf-8", "surrogatepass"))


def _spawn(command: list[str], verdict_write: int) -> subprocess.Popen[bytes]:
    """The child with three pipes, a descriptor for its verdict, and nothing of our environment."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        pass_fds=(verdict_write,),
        cwd="/",
        start_new_session=True,
    )


def _paths() -> tuple[list[str], list[str], list[str]]:
    """What the child may read, what it may list, and where it finds packages."""
    places = sysconfig.get_paths()
    sites = list(dict.fromkeys([places["purelib"], places["platlib"]]))
    libraries = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo"]
    stdlib = [places["stdlib"], sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix})]
    packages = [str(Path(site) / name) for site in sites for name in PACKAGES]
    devices = ["/dev/null", "/dev/urandom"]
    readable = [path for path in dict.fromkeys([*libraries, *stdlib, *packages, *devices]) if os.path.exists(path)]
    return readable, sites, sites


def _box(readable: list[str], listable: list[str]) -> list[str]:
    """Arguments of bubblewrap: new namespaces of every kind, and only the readable paths, read-only."""
    box = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    seccomp = [str(file) for site in listable for file in Path(site).glob("pyseccomp*")]
    interpreter = [sys.executable, os.path.realpath(sys.executable), str(Path(sys.prefix) / "pyvenv.cfg")]
    shared = [str(Path(sys.base_prefix) / "lib")]
    for path in dict.fromkeys([*readable, *seccomp, *interpreter, *shared, str(JAIL.parent)]):
        if os.path.exists(path) and not path.startswith("/dev/"):
            box += ["--ro-bind", path, path]
    return [*box, "--dev", "/dev", "--chdir", "/"]

"""What Python from a model must not be able to do, tried for real, in every way of isolation that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from reasoning.backend import Cancellation
from reasoning.errors import ToolUnavailable
from reasoning.tools import python_tool, supervisor
from reasoning.tools.python_tool import PythonTool
from reasoning.tools.supervisor import ToolLimits, ToolResult

ROOT = Path(__file__).resolve().parent.parent
BWRAP = shutil.which("bwrap")


def tool(bwrap: str | None = None, **limits: float | int) -> PythonTool:
    return PythonTool(ToolLimits(**limits), bwrap)  # type: ignore[arg-type]


@pytest.fixture(
    scope="module",
    params=[
        None,
        pytest.param(BWRAP, marks=pytest.mark.skipif(BWRAP is None, reason="bubblewrap is not installed")),
    ],
    ids=["landlock", "bubblewrap"],
)
def ways(request: pytest.FixtureRequest) -> str | None:
    """The way of isolation: None goes without bubblewrap."""
    PythonTool(bwrap=request.param).check()
    return request.param


def run(ways: str | None, code: str, **limits: float | int) -> ToolResult:
    return tool(ways, **limits).run(textwrap.dedent(code))


def test_ordinary_computing_works(ways: str | None) -> None:
    result = run(
        ways,
        """
        import fractions, datetime, statistics, itertools, collections, json, re
        print(fractions.Fraction(1, 3) + fractions.Fraction(1, 4))
        print(datetime.date(2024, 2, 29) + datetime.timedelta(days=100))
        def fibonacci(n): return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
        fibonacci(15)
        """,
    )
    assert (result.status, result.stdout, result.value) == ("ok", "7/12\n2024-06-08\n", "610")
    assert result.error is None and result.elapsed_ms > 0
    numbers = run(ways, "import numpy as np, mpmath; print(int(np.arange(10).sum()), mpmath.sqrt(16))")
    assert (numbers.stdout, numbers.status) == ("45 4.0\n", "ok")


def test_sympy_works() -> None:
    result = run(None, "import sympy; x = sympy.symbols('x'); print(sympy.solve(x**2 - 5*x + 6, x))")
    assert (result.status, result.stdout) == ("ok", "[2, 3]\n")


def test_mistakes_of_the_code_are_told_without_paths_of_this_machine(ways: str | None) -> None:
    result = run(ways, "def f():\n    return 1 / 0\nprint('before')\nf()")
    assert result.status == "error" and result.stdout == "before\n"
    assert result.error == "line 4, in <module>\nline 2, in f\nZeroDivisionError: division by zero"
    broken = run(ways, "print('x'")
    assert broken.status == "error" and "SyntaxError" in (broken.error or "")
    assert run(ways, "raise SystemExit(3)").error == "SystemExit: 3"
    assert result.for_model() == "before\nZeroDivisionError: division by zero"


def test_no_network(ways: str | None) -> None:
    for family in ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"):
        result = run(ways, f"import socket; socket.socket(socket.{family}, socket.SOCK_DGRAM)")
        assert result.status == "error" and "Error" in (result.error or ""), family


def test_no_files_of_the_host(ways: str | None, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    result = run(
        ways,
        f"""
        import os, glob
        for path in ({str(secret)!r}, "/etc/passwd", "/proc/self/environ", "/proc/1/environ", "/proc/self/mem",
                     {str(ROOT / "Makefile")!r}, {str(ROOT / "tests" / "conftest.py")!r}, "/root/.bashrc"):
            try:
                print("READ", path, open(path).read(40))
            except OSError:
                print("refused")
        for folder in ("/", "/root", "/home", "/etc", "/tmp", {str(tmp_path)!r}):
            names = glob.glob(folder + "/*secret*")
            assert not names, names
        """,
    )
    assert result.stdout == "refused\n" * 8 and "secret" not in result.stdout, result


def test_nothing_can_be_written(ways: str | None, tmp_path: Path) -> None:
    name = f"x{os.getpid()}"  # nobody else's file
    places = [str(tmp_path / name), f"/tmp/{name}", name, f"/dev/shm/{name}", f"/usr/lib/{name}", str(ROOT / name)]
    result = run(
        ways,
        f"""
        for path in {places!r}:
            try:
                with open(path, "w") as file: file.write("here")
                print("WROTE", path)
            except OSError:
                print("refused")
        import os, tempfile
        for act in (lambda: os.mkdir("/tmp/y"), lambda: os.unlink({str(ROOT / "pyproject.toml")!r}), tempfile.mkstemp,
                    lambda: os.chmod("/usr/lib", 0o777), lambda: os.memfd_create("x")):
            try: act(); print("DID")
            except OSError: print("refused")
        """,
    )
    assert result.stdout == "refused\n" * 11, result
    assert (ROOT / "pyproject.toml").exists() and not any(Path(place).exists() for place in places)


def test_no_secrets_of_the_environment(ways: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-secret")
    result = run(ways, "import os; print(dict(os.environ))")
    assert result.status == "ok" and "secret" not in result.stdout and "HOME" not in result.stdout


def test_no_processes_and_no_signals_to_others(ways: str | None) -> None:
    result = run(
        ways,
        f"""
        import os, signal, subprocess, multiprocessing, ctypes
        acts = [os.fork, lambda: subprocess.run(["/bin/ls"]), lambda: os.execv("/bin/ls", ["ls"]),
                lambda: os.system("ls") and None or exec("raise OSError"),
                lambda: os.posix_spawn("/bin/ls", ["ls"], {{}}),
                lambda: multiprocessing.Process(target=print).start(), lambda: os.kill({os.getpid()}, signal.SIGTERM),
                lambda: os.kill(-1, signal.SIGKILL), lambda: os.kill(os.getppid(), signal.SIGKILL), os.setsid]
        for act in acts:
            try: act(); print("DID", act)
            except (OSError, ProcessLookupError): print("refused")
        """,
    )
    assert result.stdout == "refused\n" * 10, result


def test_ctypes_and_subclasses_do_not_get_around_the_kernel(ways: str | None) -> None:
    result = run(
        ways,
        f"""
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        calls = {{"fork": 57, "vfork": 58, "execve": 59, "ptrace": 101, "mount": 165, "chroot": 161, "unshare": 272,
                 "setns": 308, "bpf": 321, "io_uring_setup": 425, "process_vm_readv": 310, "kill": 62, "socket": 41,
                 "memfd_create": 319, "userfaultfd": 323, "keyctl": 250, "shmget": 29, "pidfd_open": 434,
                 "seccomp": 317}}
        for name, number in calls.items() if os.uname().machine == "x86_64" else ():
            assert libc.syscall(number, {os.getpid()}, 0, 0, 0, 0) == -1, name
        import fcntl
        for command in (fcntl.F_SETOWN, 10, fcntl.F_SETLEASE):
            try: fcntl.fcntl(1, command, {os.getpid()}); print("SET", command)
            except OSError: pass
        assert libc.prctl(4, 1, 0, 0, 0) == -1, "may not become traceable again"
        import resource
        try: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)); print("RAISED")
        except (OSError, ValueError): pass
        found = [one for one in object.__subclasses__() if one.__name__ == "Popen" or one.__name__ == "_wrap_close"]
        for one in found:
            one.__init__.__globals__.get("system", lambda command: 1)("id")
        print("still here")
        """,
    )
    assert result.status == "ok" and result.stdout == "still here\n", result


@pytest.mark.parametrize(
    "code",
    [
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass",
        "9**9**9",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()\n"
        "threading.Event().wait()",
        "import time\ntime.sleep(1000)",
    ],
    ids=["ignores signals", "9**9**9", "catches everything", "thread", "sleeps"],
)
def test_code_that_never_ends_is_stopped(code: str) -> None:
    started = time.monotonic()
    result = run(None, code, wall_sec=1.0)
    assert result.status == "timeout" and time.monotonic() - started < 3
    assert result.error == "stopped after 1 s"


def test_a_fork_bomb_does_not_start(ways: str | None) -> None:
    result = run(ways, "import os\nwhile True:\n    os.fork()", wall_sec=3.0)
    assert result.status == "error" and "PermissionError" in (result.error or "")


def test_threads_are_bounded(ways: str | None) -> None:
    code = """
        import threading
        threading.stack_size(65536)
        hold = threading.Event()
        started = 0
        try:
            while True:
                threading.Thread(target=hold.wait, daemon=True).start()
                started += 1
        except RuntimeError:
            print("no more")
        hold.wait()
        """
    assert run(ways, code, wall_sec=8.0).status == "threads"


def test_memory_is_bounded(ways: str | None) -> None:
    result = run(ways, "bytearray(10**11)")
    assert result.status == "memory" and "memory" in (result.error or "")
    grown = run(ways, "held = []\nwhile True: held.append(bytearray(10**7))")
    assert grown.status == "memory"
    assert run(ways, "print(len(bytearray(10**8)))").stdout == "100000000\n"


def test_endless_output_is_cut_and_stopped(ways: str | None) -> None:
    result = run(ways, "while True: print('x' * 1000)", wall_sec=8.0)
    assert result.status == "output" and result.cut and len(result.stdout) == 50_000
    error = run(ways, "import sys\nwhile True: sys.stderr.write('y' * 1000)", wall_sec=8.0, output_chars=500)
    assert error.status == "output" and len(error.stderr) == 500
    little = run(ways, "print('x' * 600)", output_chars=500)
    assert little.status == "ok" and little.cut and little.for_model().endswith("[output cut]")
    huge = run(ways, "10**60000")
    assert huge.status == "error" and "digits" in (huge.error or ""), (
        "a number too long to print is told, not computed on"
    )


def test_results_are_text_and_never_objects(ways: str | None, tmp_path: Path) -> None:
    result = run(
        ways,
        f"""
        class Evil:
            def __reduce__(self): return (open, ({str(tmp_path / "pwned")!r}, "w"))
            def __repr__(self): return "evil" * 10_000
        Evil()
        """,
    )
    assert result.status == "ok" and result.value is not None and len(result.value) == 10_000
    assert not (tmp_path / "pwned").exists()


def test_a_forged_verdict_is_checked_like_any_other_input(ways: str | None) -> None:
    forged = "import os\nfor fd in range(3, 30):\n    try: os.write(fd, {})\n    except OSError: pass\nos._exit(0)"
    wrong = (b"\x80\x04pickle", b'{"status": "root"}', b'{"status": "ok", "value": {"a": 1}}')
    for data in (*map(repr, wrong), "b'[' * 60_000", "b'x' * 200_000"):
        assert run(ways, forged.format(data)).status == "killed", data
    assert run(ways, forged.format(repr(b'{"status": "ok", "value": "1"}'))).value == "1", (
        "it may lie about its own result"
    )


def test_nothing_outlives_the_run(ways: str | None) -> None:
    run(ways, "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nprint('done')")
    leaves = (
        "import os, time\nfor act in (os.setsid, os.fork):\n    try: act()\n    except OSError: pass\ntime.sleep(60)"
    )
    run(ways, leaves, wall_sec=0.7)
    children = psutil.Process().children(recursive=True)
    alive = [one for one in children if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not [one for one in alive if "jail.py" in " ".join(one.cmdline())]


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "from reasoning.tools.python_tool import PythonTool; t = PythonTool(bwrap=None); t.check();"
        "print('up', flush=True); t.run('import time; time.sleep(60)')"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdout.readline() == b"up\n"
    deadline = time.monotonic() + 5
    while not (children := psutil.Process(parent.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)  # until the locks are closed
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=3)
    assert children and not alive


def test_cancelling_stops_the_code() -> None:
    cancellation = Cancellation()
    threading.Timer(0.5, cancellation.cancel).start()
    started = time.monotonic()
    result = tool().run("while True: pass", cancellation)
    assert result.status == "cancelled" and time.monotonic() - started < 2


def test_a_models_tool_call_is_checked() -> None:
    one = tool()
    assert one.call('{"code": "print(6 * 7)"}').stdout == "42\n"
    for arguments in ("", "[]", "{}", '{"code": 1}', "[" * 100_000):
        assert one.call(arguments).status == "error"
    assert one.run("#" * 200_000).status == "error"
    assert one.run("print('\\ud800')").status == "error"


def test_without_isolation_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    readable, listable, packages = python_tool._paths()
    monkeypatch.setattr(python_tool, "_paths", lambda: (readable, listable, []))  # no seccomp library to be found
    with pytest.raises(ToolUnavailable, match="cannot be isolated"):
        tool().run(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert not (tmp_path / "ran").exists() and packages
    with pytest.raises(ToolUnavailable):
        tool("/nonexistent/bwrap").run("1")


def test_without_landlock_nothing_is_run_outside_a_box() -> None:
    code = """
        import errno, pyseccomp
        rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
        rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), 444)
        rules.load()
        from reasoning.errors import ToolUnavailable
        from reasoning.tools.python_tool import PythonTool
        try:
            PythonTool(bwrap=None).run("print('ran')")
        except ToolUnavailable as error:
            print("closed:", error)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("closed: Python code cannot be isolated"), done.stderr


def test_limits_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError):
        ToolLimits(wall_sec=0)
    assert supervisor.ToolLimits() == ToolLimits(10.0, 512 * 2**20, 64, 50_000, 100_000)

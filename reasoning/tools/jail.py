"""The child's side of the Python tool: lock this process up, and only then run the code that came on standard input.

Run as a script by an isolated interpreter (`python -I -S jail.py DESCRIPTOR`), never imported by Tandem. What it
prints is the code's output; the verdict goes to the given file descriptor as one JSON object. If any lock does not
close, the code is not run and the verdict is "refused".
"""

from __future__ import annotations

import ast
import ctypes
import ctypes.util
import errno
import json
import os
import resource
import signal
import sys
import traceback
from typing import Any

VALUE_CHARS = 10_000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_NAME = 1, 4, 38, 15
_CLONE_THREAD = 0x10000
_TCGETS = 0x5401
# Copying descriptors and reading or setting their flags; F_SETOWN could have the kernel signal another process.
_FCNTL = (0, 1, 2, 3, 4, 1030)
_CAPABILITY_VERSION_3 = 0x20080522

# What Python, NumPy and SymPy need to compute: memory, reading files that Landlock lets through, time, threads of
# their own process, and answering on the pipes they were given. No sockets, no processes, no tracing, no mounts.
ALLOWED = """
read readv pread64 preadv write writev pwrite64 close fstat stat lstat newfstatat statx lseek access faccessat
faccessat2 open openat getdents64 readlink readlinkat getcwd dup dup2 dup3 poll ppoll select pselect6 pipe pipe2
mmap mprotect munmap mremap madvise brk mincore rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack rt_sigpending
futex futex_wait futex_wake get_robust_list set_robust_list rseq set_tid_address membarrier sched_yield
sched_getaffinity nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time getpid gettid getppid getuid
geteuid getgid getegid getresuid getresgid getpgrp getrandom getrusage times sysinfo uname arch_prctl restart_syscall
statfs fstatfs exit exit_group
""".split()


def lock_up(task: dict) -> None:
    """Raises OSError, RuntimeError or ImportError if a lock does not close."""
    # The plain names do; looking for the files would start a compiler or ldconfig.
    ctypes.util.find_library = {"c": "libc.so.6", "seccomp": "libseccomp.so.2"}.get
    import pyseccomp
    from landlock import landlock_version, restrict_files

    limits = task["limits"]
    memory = limits["memory_bytes"]
    for what, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, limits["cpu_sec"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(what, (value, value))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {option}")
    if os.getppid() != task["parent"] and not task["boxed"]:
        raise RuntimeError("the parent is gone")
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    if landlock_version() or not task["boxed"]:  # in a box of its own mounts the kernel may do without
        restrict_files(task["readable"], task["listable"])
    _filter_system_calls(pyseccomp)


def _filter_system_calls(seccomp: Any) -> None:
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in ALLOWED:
        try:
            rules.add_rule(seccomp.ALLOW, name)
        except (OSError, ValueError, RuntimeError):  # a call that this architecture or library does not know
            continue
    thread = seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD)
    rules.add_rule(seccomp.ALLOW, "clone", thread)
    # Its flags are in memory, where a filter cannot look; without it the C library goes back to clone.
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    for command in _FCNTL:
        rules.add_rule(seccomp.ALLOW, "fcntl", seccomp.Arg(1, seccomp.EQ, command))
    rules.add_rule(seccomp.ALLOW, "tgkill", seccomp.Arg(0, seccomp.EQ, os.getpid()))
    rules.add_rule(seccomp.ALLOW, "ioctl", seccomp.Arg(1, seccomp.EQ, _TCGETS))
    rules.add_rule(seccomp.ALLOW, "prctl", seccomp.Arg(0, seccomp.EQ, _PR_SET_NAME))
    rules.add_rule(seccomp.ALLOW, "prlimit64", seccomp.Arg(2, seccomp.EQ, 0))  # reading limits, not setting them
    rules.load()


def run(code: str) -> dict:
    """Run `code` as a script. If its last statement is an expression, its value is told as text."""
    scope = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        tree = ast.parse(code, "<tool>")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<tool>", "exec"), scope)
        value = None
        if last is not None:
            assert isinstance(last, ast.Expr)
            value = eval(compile(ast.Expression(last.value), "<tool>", "eval"), scope)
        return {"status": "ok", "value": None if value is None else repr(value)[:VALUE_CHARS]}
    except SystemExit as leaving:
        code_word = leaving.code
        return {"status": "ok" if code_word in (None, 0) else "error", "error": f"SystemExit: {code_word}"[:500]}
    except MemoryError:
        return {"status": "memory", "error": "MemoryError: the memory limit was reached"}
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<tool>"]
        lines = [f"line {frame.lineno}, in {frame.name}" for frame in frames[-8:]]
        told = "".join(traceback.format_exception_only(error)).strip()
        return {"status": "error", "error": "\n".join([*lines, told])[-4000:]}


def tell(verdict: dict) -> None:
    os.write(int(sys.argv[1]), json.dumps(verdict).encode("ascii"))


def main() -> None:
    task = json.loads(sys.stdin.buffer.read())
    sys.path += task["packages"]
    # Modules that the interpreter wants while it reports an error; afterwards only `readable` is there.
    import encodings.idna  # noqa: F401
    import linecache  # noqa: F401

    try:
        lock_up(task)
    except Exception as error:
        tell({"status": "refused", "error": f"{type(error).__name__}: {error}"})
        return
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    sys.set_int_max_str_digits(max(640, task["limits"]["output_chars"]))  # 640 is the least that Python takes
    verdict = run(task["code"])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
    tell(verdict)
    os._exit(0)  # threads and exit handlers of the code have no say


if __name__ == "__main__":
    main()

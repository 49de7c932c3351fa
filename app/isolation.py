"""What a process that opens media of unknown origin gives up before it does."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import resource
import sys
import sysconfig
from pathlib import Path

log = logging.getLogger(__name__)

MOST_MEMORY_BYTES = 4 << 30  # above what the process has after its imports
_NO_NEW_PRIVS = 38  # prctl


def confine(readable: str) -> None:
    """From here on: bounded memory, no new files, no network, and only `readable` and the libraries to read."""
    import torch

    # torch learns at its first use what the processor can do, from a file out of reach later; not knowing, it is slow.
    torch.backends.cpu.get_cpu_capability()
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    most = used + MOST_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from reasoning.tools.landlock import landlock_version, restrict_files

    if not landlock_version():
        log.warning("this kernel has no Landlock: media are decoded in a process of their own without file isolation")
        return
    ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = Path(__file__).resolve().parents[1]
    libraries = {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, "/lib", "/lib64", "/usr/lib"}
    code = [str(program / room) for room in ("app", "multimodal", "reasoning")]
    with contextlib.suppress(OSError):
        restrict_files([*libraries, *code, readable])

"""Landlock, the Linux kernel's file access control that a process puts on itself, through the three system calls.

Source: the kernel's userspace API, Documentation/userspace-api/landlock.rst. Works without privileges from Linux 5.13
on. Imports only what a locked-down child needs.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same number on every architecture
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
# How many file rights each ABI version knows; asking for one that the kernel does not know is an error.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_RIGHTS = 0b11  # bind and connect of TCP, from version 4
_SCOPES = 0b11  # abstract sockets and signals, from version 6


def landlock_version() -> int:
    """The kernel's ABI version; 0 where Landlock is missing or switched off."""
    return max(0, _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG)))


def restrict_files(readable: Iterable[str], listable: Iterable[str] = ()) -> None:
    """From now on this thread and its children can read (and map) only what is under `readable`, see names under
    `listable`, and write nowhere. Raises OSError if the kernel does not enforce it. Needs no_new_privs."""
    version = landlock_version()
    if version < 1:
        raise OSError("this kernel has no Landlock")
    rights = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("=Q", rights)
    if version >= 4:
        attributes += struct.pack("=Q", _NET_RIGHTS)
    if version >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    ruleset = _checked(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for paths, allowed in ((readable, _READ_FILE | _READ_DIR | _EXECUTE), (listable, _READ_DIR)):
            for path in paths:
                _allow(ruleset, path, allowed)
        _checked(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _READ_FILE | _EXECUTE
        rule = struct.pack("=Qi", rights, handle)
        _checked(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(handle)


def _checked(number: int, *arguments: object) -> int:
    result = _libc().syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)

"""The reasoning backends that are configured: named, described for the router, and loaded when first asked."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.config import Config
from multimodal.checkpoint import resolve
from multimodal.errors import CheckpointError, TandemError
from reasoning.backend import Backend
from reasoning.errors import BackendError, BackendRefused, BackendUnavailable, ProfileError
from reasoning.profiles import Profile, Profiles, load_profiles
from reasoning.router import Available

log = logging.getLogger(__name__)

WARM_BYTES = 200e6
"""Weights up to here are loaded before anyone asks."""


@dataclass(frozen=True)
class Configured:
    """One entry of the setting. problem: why it cannot be asked and what to do, None where it can."""

    name: str
    source: str
    profile: Profile
    server: str = ""
    problem: str | None = None

    def available(self) -> Available:
        profile, problem = self.profile, self.problem
        languages = frozenset(profile.languages)
        return Available(self.name, frozenset(profile.roles), profile.sees, problem is None, languages, problem or "")


def configured(config: Config, profiles: Profiles | None = None) -> list[Configured]:
    """What the setting `backends` names. A built-in one that is not on this machine is left out; anything else that
    cannot be used stays, with its problem. No weights are read."""
    table = profiles or load_profiles()
    found = []
    for entry in filter(None, (part.strip() for part in config.backends.split(","))):
        source, at, server = entry.rpartition("@") if "@" in entry else (entry, "", "")
        one = _remote(source, server, table) if at else _local(entry, table)
        if one is not None:
            found.append(one)
    return found


def _remote(model: str, server: str, table: Profiles) -> Configured:
    problem, preset = None, table.servers.get(server)
    if preset is not None:
        problem = preset.lacks_key(os.environ)
    elif not server.startswith(("http://", "https://")):
        problem = f"no server {server!r}: give a base URL, or one of {', '.join(table.servers)}"
    return Configured(model, model, table.of_remote(model), server, problem)


def _local(source: str, table: Profiles) -> Configured | None:
    name = Path(source).name
    try:
        folder = Path(resolve(source))
    except CheckpointError as error:
        if source == Config().backends:  # the built-in one, and it is not in this installation
            return None
        return Configured(name, source, table.families["qwen2.5"], problem=str(error))
    if not folder.is_dir():  # a hub id, loaded when it is first asked
        return Configured(name, source, table.of_remote(source))
    try:
        architecture = (json.loads((folder / "config.json").read_bytes()).get("architectures") or [""])[0]
        return Configured(name, source, table.of_checkpoint(architecture, name))
    except (OSError, ValueError, AttributeError) as error:
        return Configured(
            name, source, table.families["qwen2.5"], problem=f"{folder}: config.json cannot be read ({error})"
        )
    except ProfileError as error:
        return Configured(name, source, table.families["qwen2.5"], problem=str(error))


def _weights_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


class Backends:
    """Loads each at most once. One at a time; used from any thread."""

    def __init__(self, entries: Sequence[Configured], device: str | None = None) -> None:
        self.entries = {one.name: one for one in entries}
        self._device = device
        self._loaded: dict[str, Backend] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, config: Config) -> Backends:
        return cls(configured(config), config.device)

    def available(self) -> tuple[Available, ...]:
        return tuple(one.available() for one in self.entries.values())

    def get(self, name: str) -> Backend:
        """Raises BackendError for one that cannot be loaded or reached."""
        entry = self.entries[name]
        if entry.problem is not None:
            raise BackendUnavailable(entry.problem)
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(entry)
            return self._loaded[name]

    def warm_up(self) -> None:
        """Load the small ones that lie on this machine, so that the first question need not wait for it."""
        for entry in self.entries.values():
            folder = Path(entry.source if entry.server or entry.problem else resolve(entry.source))
            if not entry.server and folder.is_dir() and _weights_bytes(folder) <= WARM_BYTES:
                with contextlib.suppress(BackendError):  # whoever asks it is told
                    self.get(entry.name)

    def add(self, backend: Backend, profile: Profile) -> None:
        """One that is already loaded."""
        self.entries[backend.name] = Configured(backend.name, backend.name, profile)
        self._loaded[backend.name] = backend

    def _load(self, entry: Configured) -> Backend:
        try:
            if not entry.server:
                from reasoning.local_backend import LocalBackend

                return LocalBackend.load(resolve(entry.source), device=self._device)
            from reasoning.openai_backend import OpenAiBackend, Remote

            if entry.server.startswith(("http://", "https://")):
                key = os.environ.get("OPENAI_API_KEY", "")
                return OpenAiBackend(Remote(entry.source, entry.server, key), entry.profile)
            return OpenAiBackend.preset(entry.source, entry.server)
        except BackendRefused:
            raise
        except TandemError as error:
            raise BackendUnavailable(str(error)) from error

    def close(self) -> None:
        with self._lock:
            for backend in self._loaded.values():
                backend.close()
            self._loaded.clear()

"""The family table, `profiles.toml`: what each model is and what it is for, how it is prompted, sampled
and read.

Loaded and checked as a whole: an unknown key, a wrong type or a name that points nowhere raises ProfileError.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from multimodal.sampler import Sampling
from reasoning.errors import ProfileError
from reasoning.formula import Language
from reasoning.router import Role

TABLE = Path(__file__).with_name("profiles.toml")
Coordinates = Literal["none", "resized", "grid-1000"]


@dataclass(frozen=True)
class Server:
    """An OpenAI-compatible server. key_env: environment variable with the key, "" where none is needed.

    continues: whether it can go on with a reply begun, with `continue_body` in the request. splits_reasoning: whether
    it always sends reasoning in a field of its own, so that content is answer from the start.
    """

    name: str
    title: str
    base_url: str
    key_env: str = ""
    key_optional: bool = False
    splits_reasoning: bool = False
    continues: bool = False
    continue_body: Mapping[str, Any] = field(default_factory=dict)

    def lacks_key(self, environ: Mapping[str, str]) -> str | None:
        """What to do about the key that it needs; None where it has it."""
        if not self.key_env or self.key_optional or environ.get(self.key_env):
            return None
        return f"{self.title} needs a key: set {self.key_env} in the environment"


@dataclass(frozen=True)
class Delimiters:
    """Marks around a model's reasoning; empty where it has none.

    opened_by_prompt: the chat template ends in the opening mark. switch: template variable that turns reasoning on.
    """

    opening: str = ""
    closing: str = ""
    opened_by_prompt: bool = False
    switch: str = ""


@dataclass(frozen=True)
class Profile:
    """One family.

    architectures: transformers classes of its checkpoints, empty for a closed model; `stand_in` is the open family
    that is used instead. loads: class to load instead of the checkpoint's own. named: words in a checkpoint's name
    that tell it from others of its class. coordinates: what its boxes are measured in (`reasoning.boxes`).
    languages: what it reads, empty for many. single_turn: it answers one question, without history. runs_python: it
    writes Python to be run (`reasoning.math_tool`). tool_digits: how many digits of an inexact number it can be trusted
    to copy from a program's output, 0 for all. context: tokens, prompt and answer together.
    """

    name: str
    title: str
    context: int
    licence: str
    roles: tuple[Role, ...]
    sampling: Sampling
    architectures: tuple[str, ...] = ()
    loads: str = ""
    named: tuple[str, ...] = ()
    hub: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    stand_in: str = ""
    system_prompt: str = ""
    reasoning: Delimiters = Delimiters()
    coordinates: Coordinates = "none"
    sees: bool = False
    tools: bool = False
    fill_in_middle: bool = False
    runs_python: bool = False
    tool_digits: int = 0
    experts: bool = False
    languages: tuple[Language, ...] = ()
    single_turn: bool = False
    loop_guard: bool = False
    never_greedy: bool = False

    @property
    def is_open(self) -> bool:
        """Whether there are weights to load."""
        return bool(self.architectures)


@dataclass(frozen=True)
class Profiles:
    """Every family and every server, by name."""

    families: Mapping[str, Profile]
    servers: Mapping[str, Server]

    def family(self, name: str) -> Profile:
        if name not in self.families:
            raise ProfileError(f"there is no family {name!r}: choose one of {', '.join(self.families)}")
        return self.families[name]

    def server(self, name: str) -> Server:
        if name not in self.servers:
            raise ProfileError(f"there is no server preset {name!r}: choose one of {', '.join(self.servers)}")
        return self.servers[name]

    def of_checkpoint(self, architecture: str, name: str) -> Profile:
        """The family of a checkpoint by its class, and by its name where several families share one."""
        able = [one for one in self.families.values() if architecture in one.architectures]
        for one in able:
            if any(word in name.lower() for word in one.named):
                return one
        plain = next((one for one in able if not one.named), None) or next(iter(able), None)
        if plain is None:
            raise ProfileError(
                f"{name} is a {architecture}, which is not of the family; `models` lists what can be used"
            )
        return plain

    def of_remote(self, name: str) -> Profile:
        """The family of a model that a server calls `name`: an exact name, a hub name, or the longest family word."""
        plain = re.sub(r".*/", "", name.lower())
        for one in self.families.values():
            known = [*one.remote, *(re.sub(r".*/", "", hub.lower()) for hub in one.hub)]
            if plain in known:
                return one
        words = ((word, one) for one in self.families.values() for word in (one.name, *one.named) if word in plain)
        return max(words, key=lambda pair: len(pair[0]), default=("", self.families["qwen2.5"]))[1]


def load_profiles(table: Path = TABLE) -> Profiles:
    """Read and check the table."""
    try:
        raw = tomllib.loads(table.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"{table.name}: cannot be read ({error}); correct it") from error
    if unknown := set(raw) - {"family", "server"}:
        raise ProfileError(f"{table.name}: unknown table {min(unknown)}; there are [family.NAME] and [server.NAME]")
    servers = {name: _server(name, entry) for name, entry in raw.get("server", {}).items()}
    families = {name: _family(name, entry) for name, entry in raw.get("family", {}).items()}
    if "qwen2.5" not in families:
        raise ProfileError(f"{table.name}: the family qwen2.5, which unknown remote models are taken for, is missing")
    for one in families.values():
        for server in one.servers:
            if server not in servers:
                raise ProfileError(f"family {one.name}: no server {server}; add [server.{server}]")
        if not one.is_open and not (one.remote and one.servers):
            raise ProfileError(f"family {one.name}: neither architectures nor remote names with servers; give one")
        if one.stand_in and (one.stand_in not in families or not families[one.stand_in].is_open):
            raise ProfileError(f"family {one.name}: stand_in {one.stand_in} is no open family")
    return Profiles(families, servers)


def _server(name: str, entry: Any) -> Server:
    server = Server(**_checked(f"server {name}", Server, {**_table(f"server {name}", entry), "name": name}))
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", server.base_url):
        raise ProfileError(f"server {name}: base_url {server.base_url!r} is no http address")
    return server


def _family(name: str, entry: Any) -> Profile:
    where = f"family {name}"
    values = {**_table(where, entry), "name": name}
    values["sampling"] = _sampling(where, values.get("sampling"))
    if "reasoning" in values:
        marks = _checked(f"{where}: reasoning", Delimiters, _table(where, values["reasoning"]))
        values["reasoning"] = Delimiters(**marks)
        if not (values["reasoning"].opening and values["reasoning"].closing):
            raise ProfileError(f"{where}: reasoning needs opening and closing")
    profile = Profile(**_checked(where, Profile, values))
    for role in profile.roles:
        if role not in get_args(Role):
            raise ProfileError(f"{where}: role {role!r}; the roles are {', '.join(get_args(Role))}")
    if profile.coordinates not in get_args(Coordinates):
        raise ProfileError(f"{where}: coordinates {profile.coordinates!r}; choose {', '.join(get_args(Coordinates))}")
    for language in profile.languages:
        if language not in get_args(Language):
            raise ProfileError(f"{where}: language {language!r}; choose {', '.join(get_args(Language))}")
    if profile.context < 512:
        raise ProfileError(f"{where}: context {profile.context} is no number of tokens")
    if profile.never_greedy and not profile.sampling.do_sample:
        raise ProfileError(f"{where}: never_greedy needs a temperature in sampling")
    return profile


def _sampling(where: str, entry: Any) -> Sampling:
    """`greedy = true` or a temperature; an empty table leaves everything to the server."""
    values = _table(f"{where}: sampling", entry)
    greedy = values.pop("greedy", not values.get("temperature"))
    if unknown := set(values) - {"temperature", "top_p", "top_k", "repetition_penalty"}:
        raise ProfileError(f"{where}: sampling has no {min(unknown)}")
    try:
        return Sampling(do_sample=not greedy, **values)
    except (ValueError, TypeError) as error:
        raise ProfileError(f"{where}: {error}") from error


def _table(where: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ProfileError(f"{where}: wants a table")
    return dict(entry)


def _checked(where: str, kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """`values` with lists as tuples; raises for unknown keys, missing keys and wrong types."""
    hints = get_type_hints(kind)
    known = {one.name for one in fields(kind)}
    if unknown := set(values) - known:
        raise ProfileError(f"{where}: unknown key {min(unknown)}; the keys are {', '.join(sorted(known))}")
    needed = {name for name in ("title", "context", "licence", "roles", "base_url") if name in known}
    if missing := needed - set(values):
        raise ProfileError(f"{where}: {min(missing)} is missing")
    checked = {}
    for name, value in values.items():
        hint = hints[name]
        plain = {str: str, bool: bool, int: int}.get(hint)
        if str(hint).startswith("tuple"):
            if not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
                raise ProfileError(f"{where}: {name} wants a list of texts")
            value = tuple(value)
        elif plain is not None and type(value) is not plain:
            raise ProfileError(f"{where}: {name} is {value!r}, wants {plain.__name__}")
        checked[name] = value
    return checked

"""Every setting, resolved once: defaults < configuration file < environment < flags.

The file is TOML: `$TANDEM_CONFIG`, or `tandem/config.toml` in the user's configuration folder if it is there.
A variable is a field's name in capitals after `TANDEM_` (`TANDEM_MODEL`, `TANDEM_LIMITS_AUDIO_SEC`).
A name that nothing reads is an error and not a silent default.
"""

from __future__ import annotations

import os
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

if TYPE_CHECKING:  # `multimodal` imports torch, which `--help` must not wait for
    from multimodal.limits import MediaLimits
    from reasoning.router import Thresholds

BUILT_IN_MODELS = Path(__file__).resolve().parent.parent / "models"
DEFAULT_MODEL = "omni-nano"
MOST_TOKENS = 8192
TABLES = ("limits", "router")
"""Settings that are tables of names and numbers."""


class ConfigError(ValueError):
    """A setting that is unknown or cannot be used. str(error) is one line that names it and says what to do."""


def _user_folder(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / "tandem"


@dataclass(frozen=True)
class Config:
    """Settings of one run.

    model: a name under models/, a checkpoint folder, or a hub id.
    device, dtype: "cpu", "cuda", "cuda:1"; "float32", "bfloat16", "float16". None lets the checkpoint decide.
    threads: intra-op threads of each pipeline stage; 0 shares the cores out among the three stages.
    voice: a voice of the checkpoint; None takes its first.
    speech: False never loads the Talker.
    max_tokens: longest reply in text tokens. max_speech_sec: longest reply in seconds of speech.
    backends: who may reason beside the Thinker, separated by commas: a name under models/, a checkpoint folder, a hub
        id, or MODEL@SERVER, SERVER being a preset of reasoning/profiles.toml or a base URL. Empty: nobody.
    backend: "auto" lets the router choose, "thinker" or a backend's name is always asked.
    notice: what is said where a backend thinks for a while; empty: nothing.
    limits: overrides of `multimodal.limits.MediaLimits`, by its field names; router: of `reasoning.router.Thresholds`.
    data_dir: where Tandem keeps what it writes by itself.
    """

    model: str = DEFAULT_MODEL
    device: str | None = None
    dtype: str | None = None
    threads: int = 0
    voice: str | None = None
    speech: bool = True
    max_tokens: int = 512
    max_speech_sec: float = 120.0
    greedy: bool = False
    seed: int | None = None
    backends: str = "moe-nano"
    backend: str = "auto"
    notice: str = ""
    data_dir: Path = field(default_factory=lambda: _user_folder("XDG_DATA_HOME", ".local/share"))
    limits: Mapping[str, Any] = field(default_factory=dict)
    router: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("model is empty: give a name, a folder or a hub id")
        if not 1 <= self.max_tokens <= MOST_TOKENS:
            raise ConfigError(f"max_tokens is {self.max_tokens}: give a number from 1 to {MOST_TOKENS}")
        if not 0 < self.max_speech_sec <= 3600:
            raise ConfigError(f"max_speech_sec is {self.max_speech_sec}: give seconds above 0 and up to 3600")
        if not 0 <= self.threads <= 1024:
            raise ConfigError(f"threads is {self.threads}: give 0 (share the cores out) or a number up to 1024")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed}: give a whole number from 0 to 2^63 − 1")

    @property
    def stage_threads(self) -> int:
        """Threads of one stage. Thinker, Talker and Token2Wav run at the same time, and threads that fight
        for a core cost far more than they bring."""
        return self.threads or max(1, (os.cpu_count() or 1) // 3)

    def media_limits(self) -> MediaLimits:
        """`limits` over the decoder's defaults. Raises ConfigError for an unknown name, MediaError for a bad value."""
        from multimodal.limits import MediaLimits

        return MediaLimits(**_overrides("limits", self.limits, MediaLimits))

    def thresholds(self) -> Thresholds:
        """`router` over the router's defaults. Raises ConfigError for an unknown name or a bad value."""
        from reasoning.router import Thresholds

        try:
            return Thresholds(**_overrides("router", self.router, Thresholds))
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"router: {error}") from None


def resolve(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The settings of this run. flags: field name → value, None where the flag was not given."""
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    file = environ.get("TANDEM_CONFIG")
    path = Path(file) if file else _user_folder("XDG_CONFIG_HOME", ".config") / "config.toml"
    layers = (_from_file(path, required=bool(file)), _from_environment(environ), given)

    kinds = get_type_hints(Config, globalns=globals())
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            inner = name in TABLES
            values[name] = {**values.get(name, {}), **value} if inner else _convert(name, value, kinds.get(name))
    return Config(**values)


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path}: no such file; correct or unset TANDEM_CONFIG") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); correct or remove it") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML ({error}); correct or remove it") from error
    try:
        _check_names(table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return table


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for variable, text in environ.items():
        name = variable.removeprefix("TANDEM_").lower()
        if variable == "TANDEM_CONFIG" or not variable.startswith("TANDEM_"):
            continue
        within, _, inner = name.partition("_")
        if within in TABLES and inner:
            table.setdefault(within, {})[inner] = text
        else:
            table[name] = text
    _check_names(table)
    return table


def _check_names(table: Mapping[str, Any]) -> None:
    known = [one.name for one in fields(Config)]
    for name in table:
        if name not in known:
            raise ConfigError(f"{name} is not a setting; the settings are {', '.join(known)}")
    for name in TABLES:
        if not isinstance(table.get(name, {}), Mapping):
            raise ConfigError(f"{name} is not a table of names and numbers")


def _overrides(table: str, values: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The table's values in the types that `kind` declares. Raises ConfigError for a name that it does not have."""
    kinds = get_type_hints(kind)
    return {name: _convert(f"{table}.{name}", value, kinds.get(name)) for name, value in values.items()}


def _convert(name: str, value: Any, kind: Any) -> Any:
    """`value`, text where it comes from the environment, as the type that the field is declared with."""
    if kind is None:
        raise ConfigError(f"{name} is not a setting; docs/cli.md lists them")
    options = get_args(kind) if get_origin(kind) is types.UnionType else (kind,)
    wanted = next(option for option in options if option is not type(None))
    if wanted is bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off"):
            return False
        raise ConfigError(f"{name} is {value!r}: give true or false")
    if isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r}: give {_WORDS[wanted]}")
    try:
        if wanted is int:
            if isinstance(value, float):
                raise ValueError
            return int(value)
        if wanted is float:
            return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} is {value!r}: give {_WORDS[wanted]}") from None
    if not isinstance(value, str | Path):
        raise ConfigError(f"{name} is {value!r}: give {_WORDS[wanted]}")
    return Path(value).expanduser() if wanted is Path else str(value)


_WORDS: dict[type, str] = {int: "a whole number", float: "a number", str: "text", Path: "a folder"}

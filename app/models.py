"""Which checkpoints are on this machine, and whether they can be loaded; files are looked at, weights are not read."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from app.config import BUILT_IN_MODELS, Config
from reasoning.errors import ProfileError
from reasoning.profiles import Profile, Profiles, load_profiles

OMNI = "qwen2.5-omni"
HEADER_BYTES = 8  # a safetensors file begins with the length of its JSON header, little-endian
MOST_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class LocalModel:
    """A checkpoint folder. family: its title, "" where it is of none. omni: whether it can listen, see and answer by
    itself; others only reason beside one that does. problem: why it cannot be loaded and what to do, None where it can.
    """

    name: str
    folder: Path
    origin: str
    family: str
    omni: bool
    size_bytes: int
    voices: tuple[str, ...]
    problem: str | None


def find_models(config: Config) -> list[LocalModel]:
    """Checkpoints of the family: built in, in the data folder, in the hub's cache, and the configured one if it is a
    folder."""
    found: dict[Path, LocalModel] = {}
    for origin, name, folder in _places(config):
        folder = folder.resolve()
        if folder not in found:
            found[folder] = inspect(folder, name=name, origin=origin)
    return list(found.values())


def inspect(folder: Path, *, name: str | None = None, origin: str = "folder") -> LocalModel:
    """Look at one folder."""
    profile = family_of(folder, name or folder.name)
    problem = problem_with(folder, profile)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    omni = profile is not None and profile.name == OMNI
    names = voices(folder) if omni and not problem else ()
    title = profile.title if profile else ""
    return LocalModel(name or folder.name, folder, origin, title, omni, size, names, problem)


def family_of(folder: Path, name: str, table: Profiles | None = None) -> Profile | None:
    """The family of a checkpoint by its config.json; None where it is of none, or cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        return (table or load_profiles()).of_checkpoint((config.get("architectures") or [""])[0], name)
    except (OSError, ValueError, AttributeError, TypeError, IndexError, ProfileError):
        return None


def problem_with(folder: Path, profile: Profile | None) -> str | None:
    """Why `folder` is not a whole checkpoint of the family, and what to do, or None."""
    if not folder.is_dir():
        return "no such folder: correct --model, or leave it out to use the built-in model"
    if not (folder / "config.json").is_file():
        return "no config.json: give the folder that holds the checkpoint's files"
    if profile is None:
        return "config.json is damaged, or of no model of the family: copy the checkpoint again, or choose another"
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.json").is_file():
        return "no tokenizer: copy tokenizer.json beside the weights"
    if profile.sees and not (folder / "preprocessor_config.json").is_file():
        return "no preprocessor_config.json: copy it beside the weights"
    return _problem_with_weights(folder)


def _problem_with_weights(folder: Path) -> str | None:
    index = folder / "model.safetensors.index.json"
    try:
        shards = {"model.safetensors"}
        if index.is_file():
            shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return f"{index.name} cannot be read: copy or download the checkpoint again"
    missing = sorted(shard for shard in shards if not (folder / shard).is_file())
    if missing:
        return f"{len(missing)} of {len(shards)} weight files missing ({missing[0]}): copy or download them again"
    broken = sorted(shard for shard in shards if not _is_whole(folder / shard))
    if broken:
        return f"{broken[0]} is cut off or not a safetensors file: copy or download it again"
    return None


def _is_whole(shard: Path) -> bool:
    """Whether the file is as long as its own header says, which a broken download or a Git LFS pointer is not."""
    try:
        with shard.open("rb") as file:
            length = int.from_bytes(file.read(HEADER_BYTES), "little")
            if length > MOST_HEADER_BYTES:
                return False
            header = json.loads(file.read(length))
        end = max((entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0)
        return shard.stat().st_size == HEADER_BYTES + length + end
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return False


def voices(folder: Path) -> tuple[str, ...]:
    """Names in a checkpoint's speaker table, () where it has none that can be read."""
    path = folder / "spk_dict.pt"
    if not path.is_file():
        return ()
    import torch

    try:
        return tuple(torch.load(path, weights_only=True, map_location="cpu"))
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError):
        return ()


def _places(config: Config) -> Iterator[tuple[str, str, Path]]:
    for origin, place in (("built in", BUILT_IN_MODELS), ("data folder", config.data_dir / "models")):
        if place.is_dir():
            for folder in sorted(place.iterdir()):
                if family_of(folder, folder.name):
                    yield origin, folder.name, folder
    for name, folder in _hub_cache():
        yield "hub cache", name, folder
    if Path(config.model).is_dir():
        yield "--model", Path(config.model).name, Path(config.model)


def _hub_cache() -> Iterator[tuple[str, Path]]:
    """(hub id, folder) of the family's checkpoints that an earlier run downloaded."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for repository in sorted(Path(HF_HUB_CACHE).glob("models--*")):
        try:
            revision = (repository / "refs" / "main").read_text().strip()
        except OSError:
            continue
        folder = repository / "snapshots" / revision
        name = repository.name.removeprefix("models--").replace("--", "/")
        if family_of(folder, name):
            yield name, folder


def print_models(config: Config) -> None:
    """The tables of `models`."""
    from app.families import families, families_table

    found = find_models(config)
    if not any(model.omni for model in found):
        print(
            "No checkpoint that listens and sees is here. Give ask a folder or a hub id: --model Qwen/Qwen2.5-Omni-3B"
        )
    if found:
        console().print(models_table(found))
    print("\nFamilies that can reason beside it (setting backends):\n")
    console().print(families_table(families(config)))


def console() -> Console:
    """Standard output; wide where it is no terminal, so that a path stays on one line."""
    return Console() if sys.stdout.isatty() else Console(width=240)


def models_table(found: list[LocalModel]) -> Table:
    """name · family · from · size · voices · state · folder, one row a checkpoint."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "family", "from", "size", "voices", "state", "folder"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "size" else "left")
    for model in found:
        names = ", ".join(model.voices) or "–"
        state = model.problem or ("usable" if model.omni else "usable, to reason beside another")
        table.add_row(
            model.name, model.family or "–", model.origin, _size(model.size_bytes), names, state, str(model.folder)
        )
    return table


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"

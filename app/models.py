"""Which checkpoints are on this machine, and whether they can be loaded; files are looked at, weights are not read."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from app.config import BUILT_IN_MODELS, Config

MODEL_TYPE = "qwen2_5_omni"
HEADER_BYTES = 8  # a safetensors file begins with the length of its JSON header, little-endian
MOST_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class LocalModel:
    """A checkpoint folder. problem: why it cannot be loaded and what to do, None where it can."""

    name: str
    folder: Path
    origin: str
    size_bytes: int
    voices: tuple[str, ...]
    problem: str | None


def find_models(config: Config) -> list[LocalModel]:
    """Built-in checkpoints, those in the data folder, the hub's cache, and the configured one if it is a folder."""
    found: dict[Path, LocalModel] = {}
    for origin, name, folder in _places(config):
        folder = folder.resolve()
        if folder not in found:
            found[folder] = inspect(folder, name=name, origin=origin)
    return list(found.values())


def inspect(folder: Path, *, name: str | None = None, origin: str = "folder") -> LocalModel:
    """Look at one folder."""
    problem = problem_with(folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    names = () if problem else voices(folder)
    return LocalModel(name or folder.name, folder, origin, size, names, problem)


def problem_with(folder: Path) -> str | None:
    """Why `folder` is not a whole Qwen2.5-Omni checkpoint, and what to do, or None."""
    if not folder.is_dir():
        return "no such folder: correct --model, or leave it out to use the built-in model"
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except FileNotFoundError:
        return "no config.json: give the folder that holds the checkpoint's files"
    except (OSError, ValueError):
        return "config.json cannot be read: copy or download the checkpoint again"
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != MODEL_TYPE:
        return f"a model of type {kind}: Tandem needs {MODEL_TYPE}"
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.json").is_file():
        return "no tokenizer: copy tokenizer.json beside the weights"
    if not (folder / "preprocessor_config.json").is_file():
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
                if _model_type(folder) == MODEL_TYPE:
                    yield origin, folder.name, folder
    for name, folder in _hub_cache():
        yield "hub cache", name, folder
    if Path(config.model).is_dir():
        yield "--model", Path(config.model).name, Path(config.model)


def _hub_cache() -> Iterator[tuple[str, Path]]:
    """(hub id, folder) of the Qwen2.5-Omni checkpoints that an earlier run downloaded."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for repository in sorted(Path(HF_HUB_CACHE).glob("models--*")):
        try:
            revision = (repository / "refs" / "main").read_text().strip()
        except OSError:
            continue
        folder = repository / "snapshots" / revision
        if _model_type(folder) == MODEL_TYPE:
            yield repository.name.removeprefix("models--").replace("--", "/"), folder


def _model_type(folder: Path) -> Any:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    return config.get("model_type") if isinstance(config, dict) else None


def print_models(config: Config) -> None:
    """The tables of `models`."""
    from app.families import families, families_table

    found = find_models(config)
    if not found:
        print("No checkpoint is on this machine. Give ask a folder or a hub id: --model Qwen/Qwen2.5-Omni-3B")
    else:
        console().print(models_table(found))
    print("\nFamilies that can reason beside it (setting backends):\n")
    console().print(families_table(families(config)))


def console() -> Console:
    """Standard output; wide where it is no terminal, so that a path stays on one line."""
    return Console() if sys.stdout.isatty() else Console(width=240)


def models_table(found: list[LocalModel]) -> Table:
    """name · from · size · voices · state · folder, one row a checkpoint."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "from", "size", "voices", "state", "folder"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "size" else "left")
    for model in found:
        names = ", ".join(model.voices) or "–"
        table.add_row(
            model.name, model.origin, _size(model.size_bytes), names, model.problem or "usable", str(model.folder)
        )
    return table


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"

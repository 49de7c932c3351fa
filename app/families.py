"""The second table of `models`: every family of reasoning models, and what of it this machine can run or ask."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

from app.config import BUILT_IN_MODELS, Config
from app.models import family_of
from reasoning.profiles import Profile, Profiles, load_profiles

# Beside the weights: caches, activations, and the program itself.
ROOM = 1.25


@dataclass(frozen=True)
class Runnable:
    """What can be used of a family. here: checkpoints on this machine. fits: released ones that memory would hold.
    asked: servers that would be asked, their keys being set."""

    profile: Profile
    here: tuple[str, ...]
    fits: tuple[str, ...]
    asked: tuple[str, ...]


def families(
    config: Config, environ: Mapping[str, str] | None = None, profiles: Profiles | None = None
) -> list[Runnable]:
    """Files and memory are looked at; nothing is loaded and nobody is asked."""
    table = profiles or load_profiles()
    environ = os.environ if environ is None else environ
    found = _found(config, table)
    memory, bytes_each = _memory()
    rows = []
    for one in table.families.values():
        fits = tuple(name for name in one.hub if (size := parameters(name)) and size * bytes_each * ROOM <= memory)
        servers = [table.servers[name] for name in one.servers]
        asked = tuple(server.name for server in servers if one.remote and server.lacks_key(environ) is None)
        rows.append(Runnable(one, tuple(found.get(one.name, ())), fits, asked))
    return rows


def parameters(name: str) -> float:
    """How many parameters a released checkpoint has, by its name; all experts count. 0 where it does not say."""
    sizes = re.findall(r"(?<![A-Za-z\d.])(\d+(?:\.\d+)?)B", name)
    return float(sizes[0]) * 1e9 if sizes else 0.0


def _found(config: Config, table: Profiles) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for place in (BUILT_IN_MODELS, config.data_dir / "models"):
        for folder in sorted(place.iterdir()) if place.is_dir() else ():
            if family := family_of(folder, folder.name, table):
                result.setdefault(family.name, []).append(folder.name)
    return result


def _memory() -> tuple[float, int]:
    """Bytes to hold weights in, and bytes of a weight there: half precision on a GPU, else float32 in main memory."""
    import psutil
    import torch

    cards = [torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count())]
    return (float(max(cards)), 2) if cards else (float(psutil.virtual_memory().available), 4)


def families_table(rows: list[Runnable]) -> Table:
    """family · for · sees · context · on this machine · would fit · can be asked at · licence."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("family", "for", "context", "on this machine", "would fit", "can be asked at", "licence"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "context" else "left")
    for row in rows:
        one = row.profile
        roles = ", ".join((*one.roles, *(["pictures"] if one.sees else ()))) or "chat"
        fits = ", ".join(name.rsplit("/", 1)[-1] for name in row.fits) or ("–" if one.is_open else "closed")
        if not one.is_open and one.stand_in:
            fits = f"closed; {one.stand_in} stands in"
        table.add_row(
            one.title,
            roles,
            f"{one.context:,}",
            ", ".join(row.here) or "–",
            fits,
            ", ".join(row.asked) or "–",
            one.licence,
        )
    return table

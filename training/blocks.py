"""A batch as one block of bytes: it crosses the borders of processes and devices as a single copy."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from training.batches import Maker, SourceOptions
from training.packing import Layout, empty_arrays


class Batches(torch.utils.data.IterableDataset[torch.Tensor]):
    """One block of bytes for each batch (see `block`); `batch_views` reads it."""

    def __init__(self, options: SourceOptions, layout: Layout, progress: Any) -> None:
        self.options, self.layout, self.progress = options, layout, progress

    def __iter__(self) -> Iterator[torch.Tensor]:
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        maker = Maker(self.options, self.layout, worker, workers, lambda: float(self.progress[0]))
        for packer in maker.batches():
            yield block(packer.finish())


def _places(arrays: dict[str, np.ndarray]) -> dict[str, tuple[int, int]]:
    """First byte and byte count of each array, 16-byte aligned."""
    places, at = {}, 0
    for name, array in arrays.items():
        places[name] = (at, array.nbytes)
        at += -(-array.nbytes // 16) * 16
    return places


def block(arrays: dict[str, np.ndarray]) -> torch.Tensor:
    """All arrays in one uint8 tensor, so that they travel as one."""
    places = _places(arrays)
    whole = torch.empty(max(at + -(-n // 16) * 16 for at, n in places.values()), dtype=torch.uint8)
    view = whole.numpy()
    for name, (at, n) in places.items():
        view[at : at + n] = np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8)
    return whole


def batch_views(whole: torch.Tensor, like: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The arrays of a block, without copying. like: `empty_arrays` of the same budget."""
    places = _places(like)
    types = {name: torch.from_numpy(array).dtype for name, array in like.items()}
    return {name: whole[at : at + n].view(types[name]).view(like[name].shape) for name, (at, n) in places.items()}


def blocks_from_workers(options: SourceOptions, layout: Layout, progress: torch.Tensor, workers: int, pin: bool) -> Any:
    """An iterable of blocks from worker processes. As many are made ahead as shared memory holds."""
    block_bytes = sum(array.nbytes for array in empty_arrays(options.budget, 0).values())
    room = int(0.6 * os.statvfs("/dev/shm").f_bavail * os.statvfs("/dev/shm").f_frsize / block_bytes)
    if workers and room < workers * 2:
        workers = max(1, room // 2)
        print(json.dumps({"warning": f"/dev/shm holds {room} batches only: {workers} workers"}), file=sys.stderr)
    return torch.utils.data.DataLoader(
        Batches(options, layout, progress),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=min(4, max(2, room // max(workers, 1) - 1)) if workers else None,
        pin_memory=pin,
        multiprocessing_context="fork" if workers else None,
        in_order=False,
    )

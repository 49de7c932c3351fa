"""Data-parallel training: one process a device, each with batches of its own, the same update everywhere.

    python -m torch.distributed.run --standalone --nproc-per-node 2 -m training.thinker …

Without torch.distributed's environment there is one process, and nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist


class Ranks:
    """The processes that train together. rank: this one's number; world: how many there are."""

    def __init__(self) -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

    def join(self) -> None:
        """Wait for the others. Its threads must not be there yet when processes are forked."""
        if self.world > 1:
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")

    @property
    def first(self) -> bool:
        """Whether this process saves, reports and examines."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """This process's own device where `name` is only "cuda"."""
        if name == "cuda" and self.world > 1:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", self.rank)))
            torch.cuda.set_device(device)
            return device
        return torch.device(name)

    def agree(self, number: float) -> float:
        """The first process's number, in all of them."""
        if self.world == 1:
            return number
        told = torch.tensor([number], dtype=torch.float64)
        dist.broadcast(told, 0)
        return float(told)

    def close(self) -> None:
        if self.world > 1:
            dist.destroy_process_group()


class SharedGradients:
    """The gradients of all parameters in one buffer, which one message averages over all processes."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], ranks: Ranks) -> None:
        self.ranks = ranks
        self._parameters = list(parameters)
        total = sum(p.numel() for p in self._parameters)
        self._whole = torch.zeros(total, device=self._parameters[0].device)
        start = 0
        for p in self._parameters:
            assert p.dtype == torch.float32, "gradients of other types have no place in the buffer"
            p.grad = self._whole[start : start + p.numel()].view_as(p)
            start += p.numel()

    def clear(self) -> None:
        self._whole.zero_()

    def average(self) -> None:
        dist.all_reduce(self._whole)
        self._whole /= self.ranks.world

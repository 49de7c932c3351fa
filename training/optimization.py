"""The loop that the speech trainers share: a learning-rate schedule over wall time, updates that survive a non-finite
gradient, averaged weights, checkpoints to resume from, and steps replayed as CUDA graphs (small models are bound by
kernel launches otherwise)."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Step = Callable[..., Mapping[str, Tensor]]


@dataclass(frozen=True)
class RunOptions:
    """seconds: wall time of the whole schedule; steps: end earlier after so many (0: never)."""

    out: Path
    seconds: float
    device: str = "cpu"
    rate: float = 1e-3
    steps: int = 0
    warmup_steps: int = 200
    save_every_sec: float = 60.0
    report_every_sec: float = 10.0
    resume: Path | None = None
    graph: bool = True
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.rate <= 0 or self.warmup_steps < 1:
            raise ValueError(f"seconds, rate and warm-up must be positive: {self}")

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser, seconds: float, rate: float) -> None:
        parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
        parser.add_argument("--seconds", type=float, default=seconds, help="wall time of the schedule")
        parser.add_argument("--rate", type=float, default=rate, help="highest learning rate")
        parser.add_argument("--steps", type=int, default=0, help="end earlier after so many steps")
        parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        parser.add_argument(
            "--resume", type=Path, help="state.pt of an earlier run; a finished one starts a new schedule"
        )
        parser.add_argument("--save-every", type=float, default=60.0, help="seconds between checkpoints")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--eager", action="store_true", help="no CUDA graphs")
        parser.add_argument("--compile", action="store_true", help="torch.compile the model")

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> RunOptions:
        a = arguments
        return cls(
            a.out, a.seconds, a.device, a.rate, a.steps, save_every_sec=a.save_every, resume=a.resume,
            graph=not a.eager, compile=a.compile, seed=a.seed,
        )  # fmt: skip


class Optimizer:
    """Fused AdamW over the parameters of `module`, with an average of them. The rate is a tensor, so that a captured
    graph sees its changes."""

    def __init__(self, module: nn.Module, betas: tuple[float, float], weight_decay: float, clip: float, average: float):
        self.module, self.clip, self.average = module, clip, average
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        device = self.parameters[0].device
        self.rate = torch.zeros((), device=device)
        matrices = [p for p in self.parameters if p.ndim > 1]
        others = [p for p in self.parameters if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=self.rate, betas=betas, fused=True, capturable=device.type == "cuda",
        )  # fmt: skip
        self.skipped = torch.zeros((), device=device)
        self.averaged = [p.detach().clone() for p in self.parameters]

    def update(self, loss: Tensor) -> None:
        """One step down `loss`; a gradient that is not finite changes nothing and is counted in `skipped`."""
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        # The fused optimizer leaves everything as it is where found_inf is 1: no wait for the device.
        found = (~norm.isfinite()).float()
        self.adamw.found_inf = found  # type: ignore[attr-defined]
        self.adamw.step()
        self.skipped += found

    @torch.no_grad()
    def follow(self, early: bool) -> None:
        """Move the average towards the weights; early in a run it is the weights themselves."""
        weights = [p.detach() for p in self.parameters]
        torch._foreach_lerp_(self.averaged, weights, 1.0 if early else 1 - self.average)  # pyright: ignore[reportPrivateImportUsage]

    def averaged_weights(self) -> dict[str, Tensor]:
        """The module's parameters by name, averaged."""
        names = [name for name, p in self.module.named_parameters() if p.requires_grad]
        return dict(zip(names, self.averaged, strict=True))

    def state(self) -> dict[str, Any]:
        return {
            "weights": [p.detach() for p in self.parameters],
            "averaged": self.averaged,
            "adamw": self.adamw.state_dict()["state"],
        }

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        for own, saved in zip(self.parameters, state["weights"], strict=True):
            own.copy_(saved)
        for own, saved in zip(self.averaged, state["averaged"], strict=True):
            own.copy_(saved)
        # Only the moments: the groups hold the rate, which must stay the tensor that graphs read.
        self.adamw.load_state_dict({"state": state["adamw"], "param_groups": self.adamw.state_dict()["param_groups"]})
        for group in self.adamw.param_groups:
            group["lr"] = self.rate


class _Replay:
    """`step` on inputs of fixed shapes, captured once as a CUDA graph."""

    def __init__(self, step: Step, inputs: tuple[Tensor, ...]):
        self.inputs = tuple(value.clone() for value in inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step(*self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.figures = dict(step(*self.inputs))

    def __call__(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        for own, value in zip(self.inputs, inputs, strict=True):
            own.copy_(value)
        self.graph.replay()
        return self.figures


class Run:
    """One training run: draw inputs, step, follow, report, save."""

    def __init__(self, stage: str, options: RunOptions, optimizers: Mapping[str, Optimizer]):
        self.stage, self.options, self.optimizers = stage, options, optimizers
        self.step_count = self.first_step = 0
        self.elapsed_sec = 0.0
        self._replays: dict[Any, _Replay] = {}
        self._graph = options.graph and options.device.startswith("cuda")
        torch.manual_seed(options.seed)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        if options.resume:
            state = torch.load(options.resume, map_location=options.device, weights_only=True)
            for name, optimizer in optimizers.items():
                optimizer.load(state["optimizers"][name])
            self.step_count = self.first_step = state["steps"]
            if not state["finished"]:
                self.elapsed_sec = state["elapsed_sec"]
            torch.manual_seed(options.seed + self.step_count)

    def rate(self) -> float:
        """Linear warm-up by steps, then a cosine over the wall time, down to a fiftieth."""
        done = min(self.elapsed_sec / self.options.seconds, 1.0)
        if self.options.steps:
            done = max(done, min(self._own_steps / self.options.steps, 1.0))
        decay = 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2
        return self.options.rate * min(1.0, (self.step_count + 1) / self.options.warmup_steps) * decay

    @property
    def _own_steps(self) -> int:
        return self.step_count - self.first_step

    def save(self, write: Callable[[], None], finished: bool) -> None:
        """The weights by `write`, and state.pt for `--resume`."""
        write()
        state = {
            "optimizers": {name: optimizer.state() for name, optimizer in self.optimizers.items()},
            "steps": self.step_count,
            "elapsed_sec": self.elapsed_sec,
            "finished": finished,
        }
        partial = self.options.out / ".state.pt"
        torch.save(state, partial)
        partial.replace(self.options.out / "state.pt")

    def _step(self, step: Step, inputs: tuple[Tensor, ...]) -> Mapping[str, Tensor]:
        # The first steps run eagerly: gradients, moments and libraries' plans then exist before a capture.
        if not self._graph or self._own_steps < 5:
            return step(*inputs)
        key = tuple((tuple(value.shape), value.dtype) for value in inputs)
        if key not in self._replays:
            try:
                self._replays[key] = _Replay(step, inputs)
            except RuntimeError as error:
                print(json.dumps({"stage": self.stage, "graphs": "off", "why": str(error)[:300]}), flush=True)
                self._graph = False
                torch.cuda.synchronize()
                return step(*inputs)
        return self._replays[key](inputs)

    def loop(
        self,
        draws: Iterable[tuple[Tensor, ...]],
        step: Step,
        write: Callable[[], None],
        on_report: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Train on `draws` until the time or the steps are used up. step: inputs → figures to print, calling
        Optimizer.update; write: leave the weights in the folder. Returns the last figures."""
        options = self.options
        options.out.mkdir(parents=True, exist_ok=True)
        origin = time.monotonic() - self.elapsed_sec
        reported = saved = time.monotonic()
        steps, result = 0, {}
        for inputs in draws:
            rate = self.rate()
            for optimizer in self.optimizers.values():
                optimizer.rate.fill_(rate)
            figures = self._step(step, inputs)
            for optimizer in self.optimizers.values():
                optimizer.follow(early=self.elapsed_sec < 0.05 * options.seconds)
            self.step_count += 1
            steps += 1
            if steps % 20 == 0 and options.device.startswith("cuda"):
                torch.cuda.synchronize()  # the wall clock below must see finished work
            now = time.monotonic()
            self.elapsed_sec = now - origin
            last = self.elapsed_sec >= options.seconds or bool(options.steps and self._own_steps >= options.steps)
            if last or now - reported >= options.report_every_sec:
                result = {"stage": self.stage, "step": self.step_count, "elapsed_sec": round(self.elapsed_sec, 1)}
                result |= {name: round(value.item(), 4) for name, value in figures.items()}
                result["rate"], result["steps_a_sec"] = round(rate, 6), round(steps / (time.monotonic() - reported), 2)
                result["skipped"] = int(sum(o.skipped.item() for o in self.optimizers.values()))
                print(json.dumps(result), flush=True)
                on_report()
                reported, steps = time.monotonic(), 0
            if last or now - saved >= options.save_every_sec:
                self.save(write, finished=last)
                saved = time.monotonic()
            if last:
                break
        return result

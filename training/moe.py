"""Train moe-nano.

    python -m training.moe --seconds 900 --out kept/moe
    python -m training.moe --seconds 60 --out /tmp/moe --small --tokens 2048 --workers 1       a try on a CPU

OUT gets a whole checkpoint (bfloat16 shards, tokenizer, template) every --save-every seconds and at the end; STATE, beside
it unless named, what --resume goes on from. The learning rate follows the wall clock. Logs are JSON lines.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import multimodal  # noqa: F401  (repairs torchvision before transformers)
from training.moe_batches import IGNORED, batches_from_workers
from training.moe_chat import Encoder, control_ids
from training.moe_export import write_checkpoint
from training.moe_model import MoeSizes, PackedMoe, experts_dense, experts_grouped, grouped_works, new_model
from training.moe_problems import Problem
from training.moe_progress import answers, examined, shares
from training.thinker import flash_works

SMALL = MoeSizes(hidden=96, layers=3, heads=2, kv_heads=1, head_dim=48, experts=4, expert_width=96)


@dataclass(frozen=True)
class TrainOptions:
    """balance: weight of the load-balancing loss. warm_up, floor: share of the time, share of the rate."""

    seconds: float
    rate: float = 1.5e-3
    warm_up: float = 0.02
    floor: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    clip: float = 1.0
    balance: float = 0.02

    def factor(self, progress: float) -> float:
        if progress < self.warm_up:
            return max(0.01, progress / self.warm_up)
        along = min(1.0, (progress - self.warm_up) / (1 - self.warm_up))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * along))


class Trainer:
    """Model and optimizer on one device."""

    def __init__(self, options: TrainOptions, sizes: MoeSizes, device: torch.device, seed: int = 0) -> None:
        self.options, self.device = options, device
        grouped = device.type == "cuda" and grouped_works(device, sizes)
        model = new_model(sizes, control_ids(sizes.vocabulary), seed).to(device)
        self.packed = PackedMoe(model, flash_works(device), experts_grouped if grouped else experts_dense)
        self.model, self.grouped = model, grouped
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=options.rate, betas=options.betas, fused=True)
        self.steps = 0
        self.figures = torch.zeros(5, device=device)  # sums: loss, right tokens, tokens, balance, gradient norm
        self.skipped = torch.zeros((), device=device)
        self.use = torch.full((sizes.layers, sizes.experts), 1 / sizes.experts, device=device)

    def step(self, batch: torch.Tensor, progress: float) -> None:
        """One update. batch: int32 [4, N] of `moe_batches.pack`."""
        options = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = options.rate * options.factor(progress)
        borders = batch[3].diff()  # read on the CPU, before the copy
        segments, longest = int((borders > 0).sum()), int(borders.max())
        batch = batch.to(self.device, non_blocking=True)
        ids, targets, positions = batch[0], batch[1].long(), batch[2]
        offsets = batch[3, : segments + 1].contiguous()
        counted = ids != self.model.config.pad_token_id
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            hidden, balance, use = self.packed(ids, positions, offsets, longest, counted)
            logits = F.linear(hidden, self.model.lm_head.weight)  # [N, vocabulary]
        loss = F.cross_entropy(logits.float(), targets, ignore_index=IGNORED)
        self.optimizer.zero_grad(set_to_none=True)
        (loss + options.balance * balance).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), options.clip)
        bad = (~torch.isfinite(norm)).float()
        # The fused kernel leaves weights and moments alone where this is 1, without waiting for the device.
        self.optimizer.found_inf = bad  # type: ignore[attr-defined]
        self.optimizer.step()
        self.skipped += bad
        self.steps += 1
        with torch.no_grad():
            known = targets >= 0
            right = ((logits.argmax(-1) == targets) & known).sum()
            row = torch.stack([loss.detach() * known.sum(), right.float(), known.sum().float(), balance.detach(), norm])
            self.figures += torch.where(row.isfinite(), row, 0.0)
            self.use.lerp_(use, 0.02)

    def read(self, steps: int) -> dict[str, Any]:
        """Figures since the last call. dead: experts with less than a tenth of their even share."""
        loss, right, tokens, balance, norm = self.figures.tolist()
        self.figures.zero_()
        even = self.use * self.use.shape[1]
        return {
            "loss": round(loss / max(tokens, 1), 4), "token_accuracy": round(right / max(tokens, 1), 4), "balance": round(balance / max(steps, 1), 3),
            "norm": round(norm / max(steps, 1), 3), "skipped": int(self.skipped), "dead": int((even < 0.1).sum()),
            "least_used": round(float(even.min()), 3), "most_used": round(float(even.max()), 3),
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "use": self.use,
        }

    def load(self, path: Path) -> None:
        """A state file, or a checkpoint folder, whose weights alone are taken."""
        if path.is_dir():
            from training.moe_export import load

            self.model.load_state_dict(load(path).state_dict())
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]
        self.use.copy_(state["use"])

    def save(self, out: Path, state_path: Path) -> None:
        write_checkpoint(out, self.model)
        partial = state_path.with_name(state_path.name + ".part")
        torch.save(self.state(), partial)
        os.replace(partial, state_path)


def report(**facts: Any) -> None:
    print(json.dumps(facts, ensure_ascii=False), flush=True)


def examine(trainer: Trainer, problems: dict[str, list[Problem]], encoder: Encoder) -> dict[str, Any]:
    """Shares of right answers on held-out problems. An error here is reported, and must not end the training."""
    control, model, result = control_ids(trainer.model.config.vocab_size), trainer.model, {}
    began = time.monotonic()
    model.eval()
    try:
        for name, some in problems.items():
            given = list(answers(model, some, encoder, control["<|im_end|>"], control["<|endoftext|>"]))
            wrong = next((one for one in given if not one.right), None)
            result[name] = shares(given)
            if wrong is not None:
                result[f"{name}, wrong"] = f"{wrong.problem.question} → {wrong.written}"
    except Exception as error:
        result["warning"] = f"examination failed: {type(error).__name__}: {error}"
    model.train()
    return {"examined_sec": round(time.monotonic() - began, 1)} | result


def train(a: argparse.Namespace) -> Trainer:
    a.out.mkdir(parents=True, exist_ok=True)
    state_path = a.state or a.out.with_name(a.out.name + "-state.pt")
    state_path.parent.mkdir(parents=True, exist_ok=True)
    device = torch.device(a.device)
    torch.set_float32_matmul_precision("high")
    batches: Iterator[torch.Tensor] = iter(batches_from_workers(a.tokens, a.seed, a.workers, device.type == "cuda"))
    first = next(batches)
    options = TrainOptions(a.seconds, rate=a.rate)
    trainer = Trainer(options, SMALL if a.small else MoeSizes(), device, a.seed)
    if a.resume:
        trainer.load(a.resume)
    encoder = Encoder()
    problems = {split: examined(split, a.examine, a.seed) for split in ("unseen", "paraphrase")} if a.examine else {}
    parameters = sum(p.numel() for p in trainer.model.parameters())
    report(
        parameters=parameters,
        flash=trainer.packed.flash,
        grouped=trainer.grouped,
        device=str(device),
        torch=torch.__version__,
    )
    trainer.step(first, 0.0)  # with allocation, before the clock starts
    began = printed = saved = asked = time.monotonic()
    steps, waited = 0, 0.0
    while (now := time.monotonic()) - began < options.seconds:
        batch = next(batches)
        waited += time.monotonic() - now
        trainer.step(batch, (now - began) / options.seconds)
        steps += 1
        if steps % 10 == 0 and device.type == "cuda":
            torch.cuda.synchronize()  # the wall clock must see finished work
        if now - printed > min(a.print_every, options.seconds / 4):
            took = time.monotonic() - printed
            rates = {
                "steps_a_sec": round(steps / took, 2),
                "tokens_a_sec": round(steps * a.tokens / took),
                "waited": round(waited / took, 3),
            }
            report(sec=round(now - began), step=trainer.steps, **rates, **trainer.read(steps))
            printed, steps, waited = time.monotonic(), 0, 0.0
        if now - saved > a.save_every:
            trainer.save(a.out, state_path)
            saved = time.monotonic()
        if problems and now - asked > a.examine_every:
            report(sec=round(now - began), **examine(trainer, problems, encoder))
            asked = time.monotonic()
    trainer.save(a.out, state_path)
    report(
        last=True,
        step=trainer.steps,
        **trainer.read(steps),
        **(examine(trainer, problems, encoder) if problems else {}),
    )
    return trainer


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    p.add_argument("--seconds", type=float, default=900.0, help="wall time of the schedule")
    p.add_argument("--state", type=Path, help="file to resume from; OUT-state.pt if not named")
    p.add_argument("--resume", type=Path, help="a state file, or a checkpoint folder: its weights, with a new schedule")
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--tokens", type=int, default=32_768, help="tokens of a batch")
    p.add_argument("--workers", type=int, default=6)
    p.add_argument("--seed", type=int, default=0, help="give another for a further run, or it sees the same data")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--small", action="store_true", help="a model for tries, far too small to be good")
    p.add_argument("--save-every", type=float, default=120.0)
    p.add_argument("--print-every", type=float, default=15.0)
    p.add_argument("--examine-every", type=float, default=240.0)
    p.add_argument("--examine", type=int, default=264, help="held-out problems of each split; 0: never")
    return p


if __name__ == "__main__":
    train(parser().parse_args())

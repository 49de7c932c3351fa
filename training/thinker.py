"""Train omni-nano's Thinker on everything at once: text, pictures, videos and speech.

    python -m training.thinker --out runs/thinker --shards data/speech --seconds 900
    python -m training.thinker --shards data/speech --measure        steps and samples a second, for 20 s
    python -m torch.distributed.run --standalone --nproc-per-node 2 -m training.thinker …       on two GPUs (`parallel`)

The learning rate follows the wall clock: it rises for the first 3 %, then falls along a cosine to 5 %. Every
--save-every seconds and at the end the folder gets thinker.safetensors (names of Qwen2_5OmniThinkerForConditionalGeneration) and
state.pt (auxiliary heads, optimizer, steps), from which --resume continues.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import multimodal  # noqa: F401  (repairs torchvision before transformers)
from multimodal.blueprint import Blueprint
from training.augment import Augmenter, place_clips
from training.batches import MIXTURE, Maker, SourceOptions
from training.blocks import batch_views, blocks_from_workers
from training.features import LogMel, patch_values
from training.nano import NANO
from training.packed_thinker import PackedThinker, attend_flash, attend_padded
from training.packing import Budget, Layout, empty_arrays
from training.parallel import Ranks, SharedGradients
from training.thinker_losses import LossSums, thinker_loss
from training.thinker_progress import Examinations
from training.tokenizer import chat_tokenizer


@dataclass(frozen=True)
class TrainOptions:
    """How to optimize. warm_up and floor: share of the time, share of the rate. vision_rate: its part of the rate.
    quiet_until: share of the time before sound is disturbed; the disturbance then grows over a tenth."""

    seconds: float
    rate: float = 6e-4
    vision_rate: float = 0.7
    warm_up: float = 0.03
    floor: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    clip: float = 1.0
    quiet_until: float = 0.33
    print_every: float = 20.0

    def factor(self, progress: float) -> float:
        """Learning rate ÷ its highest value at a progress of 0…1."""
        if progress < self.warm_up:
            return max(0.01, progress / self.warm_up)
        along = min(1.0, (progress - self.warm_up) / (1 - self.warm_up))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * along))

    def disturbance(self, progress: float) -> float:
        return min(1.0, max(0.0, (progress - self.quiet_until) / 0.1))


def new_model(seed: int, blueprint: Blueprint = NANO) -> Any:
    """A fresh Thinker; the projections that write into the residual streams start smaller, by depth."""
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration

    torch.manual_seed(seed)
    model = Qwen2_5OmniThinkerForConditionalGeneration(blueprint.config().thinker_config)
    depths = {
        "language_model": blueprint.layers,
        "visual": blueprint.vision_depth,
        "audio_tower": blueprint.audio_layers,
    }
    writers = ("o_proj.weight", "down_proj.weight", "out_proj.weight", "fc2.weight", "attn.proj.weight")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(writers):
                parameter.mul_((2 * next(d for part, d in depths.items() if part in name)) ** -0.5)
    return model.train()


def flash_works(device: torch.device) -> bool:
    """Whether the variable-length kernel is here and gives what ordinary attention gives, gradients included."""
    if device.type != "cuda":
        return False
    try:
        offsets = torch.tensor([0, 5, 40, 40, 104], dtype=torch.int32, device=device)
        for causal in (True, False):
            base = torch.randn(3, 104, 2, 64, device=device, dtype=torch.bfloat16)
            ours, plain = base.clone().requires_grad_(), base.clone().requires_grad_()
            a = attend_flash(ours[0], ours[1], ours[2], offsets, 64, causal, 0.125)
            b = attend_padded(plain[0], plain[1], plain[2], offsets, 64, causal, 0.125)
            a.float().square().sum().backward()
            b.float().square().sum().backward()
            assert ours.grad is not None and plain.grad is not None
            if not (torch.allclose(a, b, atol=0.03) and torch.allclose(ours.grad, plain.grad, atol=0.15, rtol=0.1)):
                return False
    except (RuntimeError, AttributeError, TypeError) as error:
        report(warning=f"no flash attention: {error}".splitlines()[0])
        return False
    return True


class Trainer:
    """Model, optimizer and front end on one device."""

    def __init__(
        self,
        options: TrainOptions,
        budget: Budget,
        kinds: tuple[str, ...],
        device: torch.device,
        seed: int = 0,
        sizes: Blueprint = NANO,
        ranks: Ranks | None = None,
    ) -> None:
        self.options, self.budget, self.device = options, budget, device
        self.ranks = ranks or Ranks()
        self.packed = PackedThinker(new_model(seed, sizes), flash_works(device)).to(device)
        self.mel, self.augmenter = LogMel().to(device), Augmenter(seed=seed).to(device)
        self.sums = LossSums(kinds, device)
        self.like = empty_arrays(budget, 0)
        self.skipped = torch.zeros((), device=device)
        self.norm = torch.zeros((), device=device)
        self.step_count = 0
        self.optimizer = torch.optim.AdamW(self._groups(), lr=options.rate, betas=options.betas, fused=True)
        self.shared = SharedGradients(self.packed.parameters(), self.ranks) if self.ranks.world > 1 else None

    def _groups(self) -> list[dict[str, Any]]:
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for name, parameter in self.packed.named_parameters():
            scale = self.options.vision_rate if ".visual." in name else 1.0
            decay = self.options.weight_decay if parameter.ndim > 1 and "embed_tokens" not in name else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
        return [{"params": p, "weight_decay": decay, "scale": scale} for (scale, decay), p in groups.items()]

    def step(self, whole: torch.Tensor, progress: float) -> None:
        """One update from one block of bytes."""
        options, device = self.options, self.device
        here = batch_views(whole, self.like)
        batch = batch_views(whole.to(device, non_blocking=True), self.like)
        for group in self.optimizer.param_groups:
            group["lr"] = options.rate * group["scale"] * options.factor(progress)
        with torch.no_grad():
            start, count, lead, total = batch["clips"].long().unbind(1)
            waves = place_clips(batch["samples"], start, count, lead, batch["speeds"], self.budget.clip_samples)
            waves = self.augmenter(waves, total, options.disturbance(progress))
            warps = self.augmenter.warps(len(waves), options.disturbance(progress))
            chunks = batch["chunks"].long()
            mel = self.mel(waves, total, chunks, warps)
            mel = self.augmenter.recolour(mel, chunks, len(waves), options.disturbance(progress))
            values = patch_values(batch["patches"], batch["pairs"].long())
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            hidden, heard, seen, inside = self.packed(
                batch, mel, values, self.budget.longest, self.budget.largest_image
            )
            loss = thinker_loss(self.packed, batch, hidden, heard, seen, inside, here["clip_tokens"], self.sums)
        if self.shared is None:
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        else:
            self.shared.clear()
            loss.backward()
            self.shared.average()
        norm = torch.nn.utils.clip_grad_norm_(self.packed.parameters(), options.clip)
        bad = (~torch.isfinite(norm)).float()
        # The fused kernel leaves weights and moments alone where this is 1, without waiting for the device.
        self.optimizer.found_inf = bad  # type: ignore[attr-defined]
        self.optimizer.step()
        self.skipped += bad
        self.norm = norm.detach()
        self.step_count += 1

    def save(self, folder: Path) -> None:
        """Replace the folder's files one after the other, each whole."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: p.detach().float().cpu().contiguous() for name, p in self.packed.model.state_dict().items()}
        save_file(weights, folder / "thinker.safetensors.part", metadata={"format": "pt"})
        os.replace(folder / "thinker.safetensors.part", folder / "thinker.safetensors")
        heads = {name: p for name, p in self.packed.state_dict().items() if not name.startswith("model.")}
        state = {"heads": heads, "optimizer": self.optimizer.state_dict(), "steps": self.step_count}
        torch.save(state, folder / "state.pt.part")
        os.replace(folder / "state.pt.part", folder / "state.pt")

    def load(self, folder: Path) -> None:
        """Continue from `save`; without state.pt the weights alone are taken."""
        from safetensors.torch import load_file

        self.packed.model.load_state_dict(load_file(folder / "thinker.safetensors"))
        if (folder / "state.pt").exists():
            state = torch.load(folder / "state.pt", map_location=self.device, weights_only=True)
            self.packed.load_state_dict(state["heads"], strict=False)
            self.optimizer.load_state_dict(state["optimizer"])
            self.step_count = state["steps"]


class Usage:
    """How full the batches are, as shares of their budgets, how many of their tokens are of pictures and frames, and how
    much was waited for them."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id
        self.began = time.monotonic()
        self.steps, self.waited = 0, 0.0
        self.shares: dict[str, float] = {}

    def add(self, batch: dict[str, torch.Tensor], waited: float) -> None:
        embeddings = batch["clip_tokens"][:, 1]
        shares = {
            "tokens": float((batch["ids"] != self.pad_id).float().mean()),
            "chunks": float(embeddings.sum()) / len(batch["audio_at"]),
            "patches": float((batch["image_at"] < len(batch["ids"])).float().mean()),
            "learned": float((batch["targets"] >= 0).float().mean()),
            "picture tokens": float((batch["image_at"] < len(batch["ids"])).sum()) / len(batch["ids"]),
            "clips": float((embeddings > 0).float().mean()),
        }
        self.steps += 1
        self.waited += waited
        for name, share in shares.items():
            self.shares[name] = self.shares.get(name, 0.0) + share

    def read(self) -> dict[str, Any]:
        seconds, steps = time.monotonic() - self.began, max(self.steps, 1)
        fill = {name: round(share / steps, 3) for name, share in self.shares.items()}
        return {"steps_a_sec": round(self.steps / seconds, 2), "waited": round(self.waited / seconds, 3), "fill": fill}


def report(**facts: Any) -> None:
    print(json.dumps(facts, ensure_ascii=False), flush=True)


def train(arguments: argparse.Namespace) -> None:
    """The whole run, as the command's arguments say."""
    ranks = Ranks()
    tokenizer = chat_tokenizer()
    layout = Layout(tokenizer, NANO.config().thinker_config, NANO.system_prompt)
    source = SourceOptions(
        arguments.shards,
        arguments.root,
        arguments.wordnet,
        arguments.seed + 7919 * ranks.rank,
        budget=Budget().scaled(arguments.scale),
        mixture=replace(MIXTURE, end=json.loads(arguments.mixture)) if arguments.mixture else MIXTURE,
    )
    options = TrainOptions(20.0 if arguments.measure else arguments.seconds, rate=arguments.rate)
    if arguments.later:
        options = replace(options, quiet_until=-1.0)
        source = replace(
            source, mixture=replace(source.mixture, start=source.mixture.end, quiet_until=-1.0, easy_until=0.0)
        )
    maker = Maker(source, layout)
    maker.warm()
    progress = torch.zeros(1, dtype=torch.float64).share_memory_()
    # Processes are forked before the device is touched.
    examinations = None
    if not arguments.measure and arguments.examine_every > 0 and ranks.first:
        test = replace(source, shards=arguments.test_shards)
        examinations = Examinations(test, layout, tokenizer, arguments.examine_every)
    device = ranks.device(arguments.device)
    blocks = iter(blocks_from_workers(source, layout, progress, arguments.workers, device.type == "cuda"))
    first = next(blocks)
    ranks.join()
    trainer = Trainer(options, source.budget, maker.kinds(), device, arguments.seed, NANO, ranks)
    if arguments.resume:
        trainer.load(arguments.resume)
    if arguments.compile:
        trainer.packed.compile_parts()
    parameters = sum(p.numel() for p in trainer.packed.model.parameters())
    if ranks.first:
        report(flash=trainer.packed.flash, parameters=parameters, block_bytes=first.numel(), kinds=maker.kinds())
    try:
        trainer.step(first, 0.0)  # with compilation and allocation, before the clock starts
    except Exception as error:
        if not arguments.compile:
            raise
        report(warning=f"goes on without compilation: {error}".splitlines()[0][:300])
        trainer.packed.run_eagerly()
        trainer.step(first, 0.0)
    _synchronize(device)
    out = None if arguments.measure or not ranks.first else arguments.out
    _run(trainer, blocks, progress, examinations, out, min(arguments.save_every, options.seconds))
    if examinations is not None:
        report(last=True, **examinations.ask(trainer.packed, trainer.mel, device, wait_sec=60.0))
        examinations.close()
    ranks.close()


def _run(
    trainer: Trainer,
    blocks: Iterator[torch.Tensor],
    progress: torch.Tensor,
    examinations: Examinations | None,
    out: Path | None,
    save_every: float,
) -> None:
    """Steps until the time is over by the first process's clock, with lines, checkpoints and examinations in between."""
    options, pad_id = trainer.options, NANO.special_ids()["<|endoftext|>"]
    began = printed = saved = time.monotonic()
    usage = Usage(pad_id)
    while (along := trainer.ranks.agree((time.monotonic() - began) / options.seconds)) < 1:
        progress[0], now = along, time.monotonic()
        whole = next(blocks)
        usage.add(batch_views(whole, trainer.like), time.monotonic() - now)
        trainer.step(whole, along)
        if trainer.ranks.first and now - printed > min(options.print_every, options.seconds / 3):
            _synchronize(trainer.device)
            rates = {"sec": round(now - began), "step": trainer.step_count, "lr": options.rate * options.factor(along)}
            health = {"norm": round(float(trainer.norm), 3), "skipped": int(trainer.skipped)}
            report(**rates, **usage.read(), **health, losses=trainer.sums.read())
            printed, usage = time.monotonic(), Usage(pad_id)
        if out and now - saved > save_every:
            trainer.save(out)
            saved = time.monotonic()
        if examinations is not None and examinations.due():
            report(sec=round(now - began), **examinations.ask(trainer.packed, trainer.mel, trainer.device))
    _synchronize(trainer.device)
    if out:
        trainer.save(out)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the checkpoint")
    parser.add_argument("--shards", type=Path, help="folder of speech shards (training voices)")
    parser.add_argument("--test-shards", type=Path, help="folder of held-out speech, for the examinations")
    parser.add_argument("--root", type=Path, help="folder where the synthesizers' Debian packages were unpacked")
    parser.add_argument("--wordnet", type=Path, help="folder of data.noun and the like")
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the batches")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0, help="give another for a further run, or it sees the same data")
    parser.add_argument("--resume", type=Path, help="folder of a checkpoint to continue from")
    parser.add_argument(
        "--later", action="store_true", help="a further run: disturbed sound and the final mixture at once"
    )
    parser.add_argument("--mixture", help="JSON of group to share of the tokens, instead of the mixture of the end")
    parser.add_argument("--save-every", type=float, default=90.0)
    parser.add_argument("--examine-every", type=float, default=240.0, help="0: never")
    parser.add_argument("--compile", action="store_true", help="compile encoders and language model")
    parser.add_argument("--measure", action="store_true", help="run 20 s, save nothing")
    arguments = parser.parse_args()
    try:
        train(arguments)
    except Exception:
        if Ranks().world == 1:
            raise
        # A process that waits for its children or for the others keeps those waiting, too.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()

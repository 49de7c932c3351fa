"""Trains the Talker on the frozen Thinker's own states.

Each step takes one prompt from a bank and a batch of utterances as replies to it. A teacher-forced pass of the
Thinker gives the rows that the Talker reads when it speaks that reply (`talker_model`). The embedding rows of the
speech tokens (<tts_pad> … <tts_voice_3>), which the Thinker itself never reads, are trained along; export.py puts
them into the Thinker's table. With `--codec` an auxiliary head also learns the phones that each code stands for.

    python -m training.talker --codes runs/codes --thinker runs/thinker/thinker.safetensors --seconds 420
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from multimodal import checkpoint
from multimodal.blueprint import Blueprint
from multimodal.checkpoint import Checkpoint
from training.codec import read_codec
from training.export import SPEECH_TOKENS, assemble, export, random_voices, read_part, write_part
from training.nano import NANO
from training.prompts import Prompt, prompt_of, text_turns
from training.replies import Grouping, Replies, ReplyBatch, phones_of
from training.shared_prompt import layer_pass
from training.talker_model import (
    ReadPrompt,
    TalkerTraining,
    code_targets,
    foretold_rows,
    guidance_loss,
    mask_codes,
    own_codes,
    read_prompt,
    thinker_rows,
)
from training.utterances import CodedUtterance, read_coded


@dataclass(frozen=True)
class TalkerOptions:
    """How the Talker is trained. Rates are probabilities; `code_masking` is the most that a row's codes are masked.
    state_dropout: how often a reply comes without the Thinker's hidden states. Those depend on how well the prompt foretells
    the reply, and no prompt here foretells it as a question does its answer; the tokens themselves must do. foretold: how
    often a reply stands there for the second time, which foretells it wholly. own_codes: the most of a row's codes, in every
    second step, that are not the teacher's but what the Talker would have said, as when it speaks."""

    seconds: float = 420.0
    codes_per_step: int = 32_768
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 300
    dropout: float = 0.1
    code_masking: float = 0.4
    bpe_dropout: float = 0.08
    state_dropout: float = 0.25
    foretold: float = 0.25
    own_codes: float = 0.5
    joined: float = 0.15
    max_codes: int = 500
    text_prompts: int = 512
    media_prompts: int = 128
    phone_weight: float = 0.3
    guidance_weight: float = 0.1
    gradient_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        assert self.seconds > 0 and self.codes_per_step >= self.max_codes > 0 and self.learning_rate > 0
        assert all(
            0 <= rate < 1
            for rate in (
                self.dropout,
                self.state_dropout,
                self.foretold,
                self.own_codes,
                self.code_masking,
                self.bpe_dropout,
                self.joined,
            )
        )


class Trainer:
    """The optimisation of one Talker: steps, schedule by the wall clock, checkpoints."""

    def __init__(
        self,
        model: TalkerTraining,
        decoder: Any,
        prompts: Sequence[Prompt],
        options: TalkerOptions,
        between: Sequence[int] = (),
    ) -> None:
        """between: what stands between a reply and the same reply once more; if nothing, none is foretold."""
        self.model, self.decoder, self.prompts, self.options = model, decoder, prompts, options
        self.device = model.speech_tokens.device
        self.between = torch.tensor(between, dtype=torch.long, device=self.device)
        self._known: dict[int, ReadPrompt] = {}
        matrices = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=options.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.generator = torch.Generator(self.device).manual_seed(options.seed)
        self.rng = random.Random(options.seed)
        self.step_count = 0
        self.elapsed_sec = 0.0
        self.skipped = torch.zeros((), device=self.device)

    def rate(self) -> float:
        """Linear warm-up by steps, then a cosine over the time given, down to a fiftieth."""
        done = min(self.elapsed_sec / self.options.seconds, 1.0)
        decay = 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2
        return self.options.learning_rate * min(1.0, (self.step_count + 1) / self.options.warmup_steps) * decay

    def losses(self, batch: ReplyBatch, prompt: Prompt, masking: float) -> dict[str, Tensor]:
        """Cross-entropy of the codes, share of right codes, cross-entropy of the phones (0 where unknown), loss of the
        guided attention and how often it is right."""
        blueprint = self.model.blueprint
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            known = self._read(prompt)
            reply = self._reply_rows(batch, prompt, known)
            given = prompt, known.rows, reply, batch.text_lengths, batch.voices
            codes = mask_codes(batch.codes, masking, blueprint.codec_mask, self.generator)
            if self.model.training and self.options.own_codes and self.step_count % 2:
                with torch.no_grad():
                    said = self.model(*given, codes)[0]
                codes = own_codes(codes, said, self.options.own_codes, blueprint.codes, self.generator)
            logits, phones, look = self.model(*given, codes)
        targets = code_targets(batch.codes, batch.code_lengths, blueprint.codec_eos)
        right = (logits.argmax(-1) == targets).sum() / (targets >= 0).sum()
        phone = logits.new_zeros(())
        if batch.phones.numel():
            phone = F.cross_entropy(phones[:, :-1].flatten(0, 2), batch.phones.flatten())
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        guidance, looked = guidance_loss(look, batch.written, batch.said)
        return {"loss": loss, "right": right, "phone": phone, "guidance": guidance, "looked": looked}

    def _reply_rows(self, batch: ReplyBatch, prompt: Prompt, known: ReadPrompt) -> Tensor:
        """What the Talker reads of the replies, [B, M, D]; in training some foretold and some without states."""
        text, options, run = batch.text, self.options, self.model.run
        if not self.model.training:
            return thinker_rows(self.decoder, prompt, known.memory, text, run)
        bare = torch.rand(len(text), generator=self.generator, device=self.device) < options.state_dropout
        rows = thinker_rows(self.decoder, prompt, known.memory, text, run, bare)
        count = round(options.foretold * len(text)) if len(self.between) else 0
        if count:
            chosen = torch.randperm(len(text), generator=self.generator, device=self.device)[:count]
            lengths = batch.text_lengths[chosen]
            told = foretold_rows(self.decoder, prompt, known.memory, text[chosen], lengths, self.between, run)
            rows = rows.index_copy(0, chosen, told.to(rows.dtype))
        return rows

    def _read(self, prompt: Prompt) -> ReadPrompt:
        """The prompt as the Thinker understands it, which no step changes: kept."""
        if id(prompt) not in self._known:
            self._known[id(prompt)] = read_prompt(self.decoder, prompt)
        return self._known[id(prompt)]

    def step(self, batch: ReplyBatch) -> dict[str, Tensor]:
        """One update. A batch whose gradient is not finite changes nothing and is counted in `skipped`."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        prompt = self.rng.choice(self.prompts)
        figures = self.losses(batch.to(self.device), prompt, self.options.code_masking)
        options = self.options
        whole = (
            figures["loss"] + options.phone_weight * figures["phone"] + options.guidance_weight * figures["guidance"]
        )
        self.optimizer.zero_grad(set_to_none=True)
        whole.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.gradient_norm)
        # The fused optimizer leaves everything as it is where found_inf is 1: no wait for the device.
        self.optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        self.skipped += self.optimizer.found_inf  # type: ignore[attr-defined]
        self.step_count += 1
        return {name: value.detach() for name, value in figures.items()}

    @torch.no_grad()
    def validate(self, batches: Sequence[ReplyBatch]) -> dict[str, float]:
        self.model.eval()
        results = [self.losses(batch.to(self.device), self.prompts[0], 0.0) for batch in batches]
        self.model.train()
        means = {name: sum(float(r[name]) for r in results) / len(results) for name in results[0]}
        return {f"held_out_{name}": round(value, 4) for name, value in means.items()}

    def save(self, folder: Path) -> None:
        """talker.safetensors, and state.pt with what `--resume` needs."""
        write_part(folder / "talker.safetensors", self.model.weights())
        state = {"optimizer": self.optimizer.state_dict(), "steps": self.step_count, "elapsed_sec": self.elapsed_sec}
        torch.save(state, folder / ".state.pt")
        (folder / ".state.pt").replace(folder / "state.pt")

    def resume(self, folder: Path) -> None:
        self.model.load(read_part(folder / "talker.safetensors", "talker"))
        state = torch.load(folder / "state.pt", map_location=self.device, weights_only=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step_count, self.elapsed_sec = state["steps"], state["elapsed_sec"]
        self.generator.manual_seed(self.options.seed + self.step_count)
        self.rng.seed(self.options.seed + self.step_count)

    def run(
        self, batches: Iterator[ReplyBatch], held_out: Sequence[ReplyBatch], folder: Path, save_every_sec: float = 60.0
    ) -> None:
        """Train until `options.seconds` of training time are used up; report and save on the way and at the end."""
        batches = itertools.chain([next(batches)], batches)  # the processes that make them are up before the clock runs
        begin = time.monotonic() - self.elapsed_sec
        reported = saved = time.monotonic()
        codes = steps = 0
        self.model.train()
        while self.elapsed_sec < self.options.seconds:
            batch = next(batches)
            learned = self.step(batch)
            codes += int(batch.code_lengths.sum())
            steps += 1
            now = time.monotonic()
            self.elapsed_sec = now - begin
            last = self.elapsed_sec >= self.options.seconds
            if now - reported >= 10 or last:
                figures = {
                    "stage": "talker", "step": self.step_count, "elapsed_sec": round(self.elapsed_sec, 1),
                    **{name: round(value.item(), 4) for name, value in learned.items()}, "rate": round(self.rate(), 6),
                    "steps_a_sec": round(steps / (now - reported), 2), "codes_a_sec": round(codes / (now - reported)),
                    "skipped": int(self.skipped.item()),
                }  # fmt: skip
                if last or now - saved >= save_every_sec:
                    self.save(folder)
                    figures |= self.validate(held_out)
                    saved = time.monotonic()
                print(json.dumps(figures), flush=True)
                reported, codes, steps = time.monotonic(), 0, 0


def split_by_text(
    utterances: Sequence[CodedUtterance], share: float = 0.005
) -> tuple[list[CodedUtterance], list[CodedUtterance]]:
    """(to learn, held out), split by a hash of the text, so that a sentence is on one side whoever speaks it."""
    sides: tuple[list[CodedUtterance], list[CodedUtterance]] = ([], [])
    for utterance in utterances:
        sides[zlib.crc32(utterance.text.encode()) % 100_000 < share * 100_000].append(utterance)
    return sides


def open_thinker(path: Path, tokenizer: Path, blueprint: Blueprint, device: str) -> Checkpoint:
    """The Thinker of an exported folder or of a safetensors file, frozen; bfloat16 on a GPU. A file is exported
    first, so that its weights are rounded and laid out as the application will load them."""
    from tokenizers import Tokenizer

    dtype = "float32" if device == "cpu" else "bfloat16"
    with tempfile.TemporaryDirectory() as folder:
        if not (path / "config.json").exists():
            model = assemble(blueprint, {"thinker": read_part(path, "thinker", blueprint)})
            path = Path(folder) / "thinker"
            export(path, blueprint, model, random_voices(blueprint), Tokenizer.from_file(str(tokenizer)))
        opened = checkpoint.load(path, device=device, dtype=dtype, speech=False)
    opened.thinker.model.requires_grad_(False)
    return opened


def prompt_bank(model: Checkpoint, texts: Sequence[str], options: TalkerOptions) -> list[Prompt]:
    """Prompts of short texts, and `options.media_prompts` of the worlds' pictures, clips and talk."""
    rng = random.Random(options.seed)
    bank = [prompt_of(model, text_turns(texts, rng)) for _ in range(options.text_prompts)]
    if options.media_prompts:
        from training import examples

        kinds = list(examples.KINDS)
        for index in range(options.media_prompts):
            kind = kinds[index % len(kinds)]
            example = examples.sample(kind, 10_000_000 + index, "train")
            bank.append(prompt_of(model, example.turns[:-1]))
    return [prompt for prompt in bank if len(prompt.media) <= 256]


def train(
    options: TalkerOptions,
    codes: Path,
    thinker: Path,
    tokenizer: Path,
    out: Path,
    codec: Path | None = None,
    init: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    workers: int = 0,
    compile: bool = False,
    blueprint: Blueprint = NANO,
) -> Trainer:
    """Train a Talker and leave it in `out`/talker.safetensors."""
    began = time.monotonic()
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    # cuDNN's attention plans each new shape anew, and nearly every batch has its own: it took four fifths of a step.
    torch.backends.cuda.enable_cudnn_sdp(False)
    opened = open_thinker(thinker, tokenizer, blueprint, device)
    decoder = opened.thinker.model.model.language_model
    learned, held_out = split_by_text(read_coded(codes))
    grouping = Grouping(options.codes_per_step, options.max_codes, options.joined)
    phones = None
    if codec:
        teacher, _ = read_codec(codec, device)
        phones = phones_of(teacher, np.concatenate([u.codes for u in learned]))
    dataset = Replies(learned, tokenizer, grouping, options.bpe_dropout, options.seed, phones)
    short = [text for text in dataset.texts[:20_000] if text.count(" ") < 9] or dataset.texts[:100]
    prompts = prompt_bank(opened, short, options)

    model = TalkerTraining(blueprint, options.dropout)
    rows = [blueprint.special_ids()[token] for token in SPEECH_TOKENS]
    model.speech_tokens.data.copy_(decoder.embed_tokens.weight[rows].float())
    if init:
        model.load(read_part(init, "talker", blueprint))
    model.to(device)
    again = [
        opened.prompt.close_turn(),
        *opened.prompt.turn("user", ["Again."]),
        *opened.prompt.open_turn("assistant", []),
    ]
    between = [token for span in again for token in opened.thinker.tmrope.ids(span)]
    trainer = Trainer(model, decoder, prompts, options, between)
    if resume and (out / "state.pt").exists():
        trainer.resume(out)
    if compile:
        model.run = torch.compile(layer_pass, dynamic=True)
    checks = held_out_batches(held_out or learned[:64], tokenizer, grouping)
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        pin_memory=device != "cpu",
        prefetch_factor=8 if workers else None,
    )
    about = {
        "stage": "talker", "utterances": len(learned), "hours": round(sum(dataset.lengths) / 25 / 3600, 2),
        "held_out": len(held_out), "prompts": len(prompts), "set_up_sec": round(time.monotonic() - began, 1),
    }  # fmt: skip
    print(json.dumps(about), flush=True)
    trainer.run(iter(loader), checks, out)
    return trainer


def held_out_batches(utterances: Sequence[CodedUtterance], tokenizer: Path, grouping: Grouping) -> list[ReplyBatch]:
    """The utterances one by one, in batches that are always the same."""
    from tokenizers import Tokenizer

    replies = Replies(utterances, tokenizer, replace(grouping, joined=0.0), bpe_dropout=0.0, seed=0)
    rng = random.Random(0)
    groups = grouping.batches(replies.grouping.replies(replies.lengths, replies.voices, rng), replies.lengths, rng)
    encoder = Tokenizer.from_file(str(tokenizer))
    return [replies.batch(group, encoder, None) for group in groups[:8]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=Path, required=True, help="file or folder of coded utterances")
    parser.add_argument(
        "--thinker",
        type=Path,
        required=True,
        help="the Thinker's safetensors file, a folder of its pieces, or an exported folder",
    )
    parser.add_argument("--tokenizer", type=Path, default=Path(__file__).parent / "tokenizer" / "tokenizer.json")
    parser.add_argument("--out", type=Path, default=Path("runs/talker"))
    parser.add_argument("--codec", type=Path, help="the codec's safetensors file: adds the loss on phones")
    parser.add_argument("--init", type=Path, help="begin with the weights of this Talker file or exported folder")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the interrupted run in --out, if there is one"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=4, help="processes that prepare batches")
    parser.add_argument("--compile", action="store_true", help="compile the layers of both models")
    for field in fields(TalkerOptions):
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, type=type(field.default), default=field.default)
    arguments = vars(parser.parse_args())
    options = TalkerOptions(**{field.name: arguments[field.name] for field in fields(TalkerOptions)})
    train(options, **{name: value for name, value in arguments.items() if not hasattr(options, name)})


if __name__ == "__main__":
    main()

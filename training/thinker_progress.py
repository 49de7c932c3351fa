"""How far the Thinker has come: greedy answers to held-out questions, many at once, cheap enough during training."""

from __future__ import annotations

import multiprocessing
import random
import re
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from training.augment import place_clips
from training.batches import Maker, SourceOptions
from training.features import LogMel, patch_values
from training.packed_thinker import PackedThinker
from training.packing import Budget, Layout, Packer, Sequence
from training.recognition import edit_distance


@dataclass(frozen=True, eq=False)
class Task:
    """prompt: the conversation up to the last answer; answer: its ids, without the end."""

    prompt: Sequence
    answer: list[int]

    @classmethod
    def split(cls, s: Sequence) -> Task:
        """Cut before the last learned run of ids."""
        last = int(np.flatnonzero(s.learned)[-1])
        begin = last
        while s.learned[begin - 1]:
            begin -= 1
        learned = np.zeros(begin, bool)
        prompt = replace(
            s, ids=s.ids[:begin], positions=s.positions[:, :begin], learned=learned, guided=s.guided[:0], times=None
        )
        return cls(prompt, s.ids[begin:last].tolist())


def held_out_tasks(options: SourceOptions, layout: Layout, dictations: int, of_each_kind: int) -> list[Task]:
    """Test questions: dictation, and every kind of example, written and spoken."""
    maker = Maker(replace(options, split="test", mixture=replace(options.mixture, spoken=0.3)), layout)
    sequences: list[Sequence | None] = []
    if options.shards is not None:
        sequences += [maker.dictation() for _ in range(dictations)]
    sequences += [maker.repetition() for _ in range(of_each_kind)]
    for kinds in maker.kinds_of_group.values():
        for kind in kinds:
            sequences += [maker.example(kind) for _ in range(of_each_kind)]
    packer = Packer(options.budget, layout.control, maker.kinds(), 0)
    return [Task.split(s) for s in sequences if s is not None and packer.fits_alone(s)]


def plain_words(text: str) -> list[str]:
    """Words without case and punctuation."""
    return re.sub(r"[^a-z0-9' ]+", " ", text.lower()).split()


class Examiner:
    """Asks a model all tasks. tokenizer: for reading answers."""

    def __init__(self, tasks: list[Task], layout: Layout, tokenizer: Any, budget: Budget, pad_id: int) -> None:
        self.tasks = sorted(tasks, key=lambda t: (len(t.answer) // 8, len(t.prompt.ids)))
        self.layout, self.tokenizer, self.pad_id = layout, tokenizer, pad_id
        self.budget = budget

    @torch.no_grad()
    def ask(self, packed: PackedThinker, mel: LogMel, device: torch.device) -> dict[str, Any]:
        """Per kind the share of exact answers, for dictation and repetition also the word error rate; and samples."""
        right: dict[str, list[float]] = {}
        words: dict[str, list[int]] = {}
        shown: dict[str, str] = {}
        for tasks, answers in self._answers(packed, mel, device):
            for task, ids in zip(tasks, answers, strict=True):
                kind = task.prompt.kind
                wanted, given = self.tokenizer.decode(task.answer), self.tokenizer.decode(ids)
                right.setdefault(kind, []).append(float(wanted.strip() == given.strip()))
                if kind in ("dictation", "repeat"):
                    errors = edit_distance(plain_words(wanted), plain_words(given))
                    pair = words.setdefault(kind, [0, 0])
                    pair[0], pair[1] = pair[0] + errors, pair[1] + len(plain_words(wanted))
                if kind not in shown or random.random() < 0.02:
                    shown[kind] = f"{wanted} → {given}"
        result: dict[str, Any] = {kind: round(sum(r) / len(r), 3) for kind, r in right.items()}
        result |= {f"{kind} WER": round(e / max(n, 1), 3) for kind, (e, n) in words.items()}
        return {"exact": result, "samples": shown}

    def _answers(self, packed: PackedThinker, mel: LogMel, device: torch.device) -> Any:
        """Batches of tasks with the ids of their answers."""
        kinds = tuple(dict.fromkeys(task.prompt.kind for task in self.tasks))
        waiting = list(self.tasks)
        while waiting:
            packer = Packer(self.budget, self.layout.control, kinds, self.pad_id)
            tasks: list[Task] = []
            while waiting and packer.add(waiting[0].prompt):
                tasks.append(waiting.pop(0))
            assert tasks, "a task is larger than a batch"
            yield tasks, self._decode(packed, mel, packer, tasks, device)

    def _decode(
        self, packed: PackedThinker, mel: LogMel, packer: Packer, tasks: list[Task], device: torch.device
    ) -> list[list[int]]:
        arrays = {name: torch.from_numpy(array).to(device) for name, array in packer.finish().items()}
        clips = arrays["clips"].long()
        start, count, lead, total = clips.unbind(1)
        waves = place_clips(arrays["samples"], start, count, lead, arrays["speeds"], self.budget.clip_samples)
        features = mel(waves, total, arrays["chunks"].long())
        values = patch_values(arrays["patches"], arrays["pairs"].long())
        language = packed.model.model.language_model
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            embeddings, _, _ = packed.embed(arrays, features, values, self.budget.largest_image, compiled=False)
            borders = np.cumsum([0, *(len(t.prompt.ids) for t in tasks)]).tolist()
            parts = [embeddings[a:b] for a, b in pairwise(borders)]
            places = [torch.from_numpy(t.prompt.positions.T.astype(np.int64)).to(device) for t in tasks]
            x = pad_sequence(parts, batch_first=True, padding_side="left")  # [B, L, hidden]
            positions = pad_sequence(places, batch_first=True, padding_side="left").permute(2, 0, 1)  # [3, B, L]
            mask = pad_sequence([torch.ones(len(p), dtype=torch.long, device=device) for p in parts], True, 0, "left")
            following = positions.amax((0, 2)) + 1  # [B]
            end = self.layout.control.im_end
            done = torch.zeros(len(tasks), dtype=torch.bool, device=device)
            cache, ids = None, []
            for _ in range(max(len(t.answer) for t in tasks) + 6):
                out = language(
                    inputs_embeds=x, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True
                )
                cache = out.past_key_values
                token = packed.model.lm_head(out.last_hidden_state[:, -1]).argmax(-1)  # [B]
                ids.append(token)
                done = done | (token == end)
                if len(ids) % 4 == 0 and bool(done.all()):
                    break
                x = language.embed_tokens(token)[:, None]
                positions = following.expand(3, -1)[..., None]
                following = following + 1
                mask = torch.cat([mask, mask.new_ones(len(tasks), 1)], 1)
        rows = torch.stack(ids, 1).tolist()
        return [row[: row.index(end)] if end in row else row for row in rows]


class Examinations:
    """Held-out tasks, made by a process of their own, asked every `every_sec`."""

    def __init__(
        self,
        options: SourceOptions,
        layout: Layout,
        tokenizer: Any,
        every_sec: float,
        dictations: int = 100,
        others: int = 32,
    ) -> None:
        context = multiprocessing.get_context("fork")
        self._receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_send_tasks, args=(sender, options, layout, dictations, others), daemon=True
        )
        self._process.start()
        sender.close()
        self._make = (layout, tokenizer, replace(options.budget, learned=1), 0)
        self._every = every_sec
        self._asked: float | None = None  # the first question starts the clock
        self._examiner: Examiner | None = None
        self._failed = False

    def due(self) -> bool:
        """Whether it is time, and the tasks are ready."""
        if self._asked is None:
            self._asked = time.monotonic()
        return not self._failed and time.monotonic() - self._asked > self._every and self._ready(0.0)

    def _ready(self, wait_sec: float) -> bool:
        if self._examiner is None and not self._failed and self._receiver.poll(wait_sec):
            try:
                self._examiner = Examiner(self._receiver.recv(), *self._make)
            except EOFError:  # the process ended early; its error is on the screen
                self._failed = True
        return self._examiner is not None

    def ask(self, packed: PackedThinker, mel: LogMel, device: torch.device, wait_sec: float = 0.0) -> dict[str, Any]:
        """Results as `Examiner.ask` gives them. An error here is reported, and must not end the training."""
        began = time.monotonic()
        result: dict[str, Any] = {"exact": None}
        if self._ready(wait_sec) and self._examiner is not None:
            try:
                result = self._examiner.ask(packed, mel, device)
            except Exception as error:
                self._failed, result = True, {"warning": f"examination failed: {type(error).__name__}: {error}"}
        self._asked = time.monotonic()
        return {"took_sec": round(self._asked - began, 1)} | result

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def _send_tasks(sender: Any, options: SourceOptions, layout: Layout, dictations: int, others: int) -> None:
    torch.set_num_threads(1)
    sender.send(held_out_tasks(options, layout, dictations, others))

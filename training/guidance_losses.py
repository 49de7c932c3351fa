"""Losses inside the language model: two attention heads must look where `guidance` says, and what is seen and heard of a clip
must know its time by the middle layer."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from training.cell_losses import Tally
from training.cells import CELL, UNKNOWN
from training.guidance import (
    IDS_A_SECOND,
    INSTANCE,
    MOMENT,
    NOTHING,
    PLACE,
    SOUND,
    THING,
    TIMES,
    TIMES_A_SECOND,
    folded,
)
from training.packed_thinker import Inside

WINDOW, BLOCK = 640, 64  # at least so many tokens back are looked at, by blocks of so many together
NAMED_SHARE, NEXT_SHARE, TIME_SHARE = 0.3, 0.3, 0.3
BEGIN, AUDIO = 1, 2
NEAR_PIXELS = 3


def token_labels(batch: dict[str, torch.Tensor], begin_id: int, audio_id: int) -> torch.Tensor:
    """Of every token, int64 [N, 8]: class, colour, middle x and y of what its cell shows, of the cell itself, TMRoPE ids
    since the clip began, and BEGIN, AUDIO or 0. UNKNOWN where there is none."""
    ids, device = batch["ids"], batch["ids"].device
    # The last row takes what has no place.
    labels = torch.full((len(ids) + 1, 8), UNKNOWN, dtype=torch.long, device=device)
    cells = batch["cells"].long()
    fold = torch.from_numpy(folded()).to(device)
    kinds = torch.where(cells[:, 0] > 0, fold[cells[:, 0].clamp(min=0)], UNKNOWN)
    middle = batch["places"].long().view(len(cells), -1, 2)[:, 0].flip(1) // 2 * CELL + CELL // 2  # [cells, 2], x first
    item = torch.where(kinds[:, None] > 0, middle + cells[:, 2:4], UNKNOWN)
    labels[batch["image_at"].long(), :6] = torch.cat([kinds[:, None], cells[:, 1:2], item, middle], 1)
    labels = labels[:-1]
    labels[:, 6] = batch["times"]
    labels[:, 7] = (ids == begin_id) * BEGIN + (ids == audio_id) * AUDIO
    return labels


def sought(labels: torch.Tensor, what: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Which tokens are looked for, bool [R, W]. labels: [R, W, 8] of `token_labels`; the others [R] of `guidance`."""
    kind, color, x, y, cell_x, cell_y, time, flag = labels.unbind(-1)
    what, first, second = what[:, None], first[:, None], second[:, None]
    thing = (kind == first) & ((color == second) | (second == UNKNOWN))
    instance = (kind > 0) & ((x - first).abs() <= NEAR_PIXELS) & ((y - second).abs() <= NEAR_PIXELS)
    place = (cell_x >= 0) & ((cell_x - first).abs() <= CELL // 2) & ((cell_y - second).abs() <= CELL // 2)
    moment = (time >= first) & (time <= second) & (time >= 0)
    return (
        ((what == THING) & thing)
        | ((what == NOTHING) & (flag == BEGIN))
        | ((what == INSTANCE) & instance)
        | ((what == PLACE) & place)
        | ((what == SOUND) & moment & (flag == AUDIO))
        | ((what == MOMENT) & moment)
    )


def _scores_nearby(inside: Inside) -> torch.Tensor:
    """Queries · keys · scale of every token with its block and the WINDOW before it, [HEADS, N, WINDOW + BLOCK].

    All of them are computed, because to pick keys for some rows alone is far slower: its backward adds up one after the other what
    came from the same key."""
    count = inside.keys.shape[1]
    spare = -count % BLOCK
    queries = F.pad(inside.queries, (0, 0, 0, spare)).unflatten(1, (-1, BLOCK))  # [H, N / BLOCK, BLOCK, D]
    keys = F.pad(inside.keys, (0, 0, WINDOW, spare)).unfold(1, WINDOW + BLOCK, BLOCK)  # [H, N / BLOCK, D, W]
    return (queries @ keys).flatten(1, 2)[:, :count] * inside.scale


def guidance_losses(
    batch: dict[str, torch.Tensor], inside: Inside, time_logits: torch.Tensor, begin_id: int, audio_id: int
) -> tuple[torch.Tensor, dict[str, Tally]]:
    """The weighted sum, a scalar, and tallies by name. time_logits: [N, TIMES] from `inside.middle`.

    A row's loss is −log of its head's attention to what it looks for; it is right where that is more than half.
    """
    rows, heads, what, first, second = batch["guided"].long().t().contiguous()
    count = len(batch["ids"])
    offsets = batch["offsets"].long()
    begins = offsets[torch.searchsorted(offsets, rows, right=True) - 1]  # [R]
    at = (rows // BLOCK * BLOCK - WINDOW)[:, None] + torch.arange(WINDOW + BLOCK, device=rows.device)  # [R, W]
    inner = (at >= begins[:, None]) & (at <= rows[:, None])
    at = at.clamp(0, count - 1)
    scores = _scores_nearby(inside)[heads, rows].float().masked_fill(~inner, -1e9)  # [R, W]
    labels = token_labels(batch, begin_id, audio_id)
    wanted = sought(labels[at], what, first, second) & inner
    known = wanted.any(1)  # not where the picture comes after the words, or farther back than WINDOW
    share = scores.masked_fill(~wanted, -1e9).logsumexp(1) - scores.logsumexp(1)
    losses = torch.where(known, -share, 0.0)
    total = losses.new_zeros(())
    tallies = {}
    for head, (name, weight) in enumerate((("named", NAMED_SHARE), ("next", NEXT_SHARE))):
        mine = (known & (heads == head)).float()
        total = total + weight * (losses * mine).sum() / mine.sum().clamp(min=1.0)
        right = ((share.detach() > -0.693) * mine).sum()
        tallies[name] = Tally((losses.detach() * mine).sum(), right, mine.sum())
    times = labels[:, 6]
    targets = (times * TIMES_A_SECOND // IDS_A_SECOND).clamp(max=TIMES - 1).masked_fill(times == UNKNOWN, UNKNOWN)
    timed = (times != UNKNOWN).float()
    each = F.cross_entropy(time_logits.float(), targets, ignore_index=UNKNOWN, reduction="none")
    total = total + TIME_SHARE * each.sum() / timed.sum().clamp(min=1.0)
    right = ((time_logits.argmax(-1) == targets) * timed).sum()
    return total, {**tallies, "times": Tally(each.detach().sum(), right, timed.sum())}

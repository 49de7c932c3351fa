"""Losses on the picture embeddings: what each cell shows, its colour, its letters, where it lies and how large it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from training.cells import CELL, LETTER_LABELS, UNKNOWN
from training.packed_thinker import Batch, PackedThinker

CLASS_SHARE, COLOR_SHARE, BOX_SHARE, PLACE_SHARE, LETTER_SHARE = 0.4, 0.3, 0.3, 0.3, 0.6
BACKGROUND_WEIGHT = 0.2  # of a cell without an item, of which there are many
EMPTY_WEIGHT = 0.05  # of half a cell without letters
PLACES = 12.0  # cells along a side, about the most there are


@dataclass(frozen=True)
class Tally:
    """Of one loss: its sum, how many were right, and of how many, as scalars on the device."""

    loss: torch.Tensor
    right: torch.Tensor
    count: torch.Tensor


def cell_losses(packed: PackedThinker, batch: Batch, seen: torch.Tensor) -> tuple[torch.Tensor, dict[str, Tally]]:
    """The weighted sum, a scalar, and tallies by name. seen: picture embeddings [cells, hidden].

    Right are: classes of cells that show an item, their colours, boxes with an IoU above 0.5, places within half a cell
    both ways, and halves of cells with letters all of whose letters are found and no others.
    """
    labels = batch["cells"].long()  # [cells, FIELDS]
    kinds, colors = labels[:, 0], labels[:, 1]
    item = (kinds > 0).float()
    total, classes = _sorted(packed.class_head(seen).float(), kinds, item + (kinds == 0) * BACKGROUND_WEIGHT, item)
    total = CLASS_SHARE * total
    known = (colors >= 0).float()
    loss, colored = _sorted(packed.color_head(seen).float(), colors, known * (item + (1 - item) * 0.05), known * item)
    total = total + COLOR_SHARE * loss
    lines = packed.box_head(seen).float()
    loss, boxes = _boxes(lines[:, :4], labels[:, 2:6], item)
    total = total + BOX_SHARE * loss
    loss, places = _places(lines[:, 4:], batch, labels)
    total = total + PLACE_SHARE * loss
    loss, letters = _letters(packed.letter_head(seen).float(), batch["letters"])
    total = total + LETTER_SHARE * loss
    return total, {"cells": classes, "colors": colored, "boxes": boxes, "places": places, "letters": letters}


def _sorted(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, counted: torch.Tensor
) -> tuple[torch.Tensor, Tally]:
    """Cross-entropy as a weighted mean, and its tally over those `counted`."""
    losses = F.cross_entropy(logits, targets, ignore_index=UNKNOWN, reduction="none")
    right = (logits.argmax(-1) == targets).float() * counted
    loss = (losses * weights).sum() / weights.sum().clamp(min=1.0)
    return loss, Tally((losses.detach() * counted).sum(), right.sum(), counted.sum())


def _boxes(found: torch.Tensor, labels: torch.Tensor, item: torch.Tensor) -> tuple[torch.Tensor, Tally]:
    """Middle (from the cell's own) and size of the item in cells, L1; sizes count as logarithms."""
    middle, size = labels.float().clamp(min=-2000).div(CELL).split(2, -1)  # [cells, 2] each
    size = size.clamp(min=0.05)
    wanted = torch.cat([middle, size.log()], -1)
    losses = F.smooth_l1_loss(found, wanted, beta=0.1, reduction="none").sum(-1) * item
    count = item.sum()
    with torch.no_grad():
        given, other = found[:, :2], found[:, 2:].clamp(-4, 4).exp()
        low, high = (
            torch.maximum(given - other / 2, middle - size / 2),
            torch.minimum(given + other / 2, middle + size / 2),
        )
        common = (high - low).clamp(min=0).prod(-1)
        overlap = common / (other.prod(-1) + size.prod(-1) - common).clamp(min=1e-6)
        right = ((overlap > 0.5).float() * item).sum()
    return losses.sum() / count.clamp(min=1.0), Tally(losses.detach().sum(), right, count)


def _places(found: torch.Tensor, batch: Batch, labels: torch.Tensor) -> tuple[torch.Tensor, Tally]:
    """Row and column of the cell, counted in cells and as shares of the picture's sides."""
    sides = labels[:, 6:].float()  # rows and columns of the picture; UNKNOWN where there is none
    known = (sides[:, 0] > 0).float()
    sides = sides.clamp(min=1.0)
    at = (batch["places"].view(len(labels), -1, 2)[:, 0] // 2).float() + 0.5  # [cells, 2]
    losses = (
        F.smooth_l1_loss(found, torch.cat([at / PLACES, at / sides], -1), beta=0.02, reduction="none").sum(-1) * known
    )
    count = known.sum()
    near = ((found[:, :2].detach() * PLACES - at).abs() < 0.5).all(-1)
    return 5 * losses.sum() / count.clamp(min=1.0), Tally(losses.detach().sum(), (near * known).sum(), count)


def _letters(logits: torch.Tensor, letters: torch.Tensor) -> tuple[torch.Tensor, Tally]:
    """Which letters each half of a cell shows, binary cross-entropy summed over all letters."""
    logits = logits.view(-1, LETTER_LABELS)  # [cells · 2, labels]
    sets = letters.flatten()  # [cells · 2]
    wanted = (sets[:, None] >> torch.arange(LETTER_LABELS, device=sets.device)) & 1
    some, known = (sets > 0).float(), (sets >= 0).float()
    losses = F.binary_cross_entropy_with_logits(logits, wanted.float(), reduction="none").sum(-1)
    weights = known * (some + (1 - some) * EMPTY_WEIGHT)
    right = ((logits > 0) == wanted.bool()).all(-1).float() * some
    loss = (losses * weights).sum() / weights.sum().clamp(min=1.0)
    return loss, Tally((losses.detach() * some).sum(), right.sum(), some.sum())

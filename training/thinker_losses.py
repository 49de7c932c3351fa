"""What the Thinker is trained on: its answers, the phones and characters at the audio encoder's output, what every cell of a
picture shows at the vision encoder's, and where the language model looks."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from training.cell_losses import Tally, cell_losses
from training.guidance_losses import guidance_losses
from training.packed_thinker import Batch, Inside, PackedThinker
from training.packing import IGNORED, NO_PHONE

INNER_LOSSES = ("phones", "characters", "cells", "colors", "boxes", "places", "letters", "named", "next", "times")
PHONE_SHARE = 0.5
CHARACTER_SHARE = 0.3


class LossSums:
    """Running sums per kind on the training device, read rarely because reading waits for the device."""

    def __init__(self, kinds: tuple[str, ...], device: torch.device) -> None:
        self.kinds = kinds
        self.sums = torch.zeros(len(kinds), 3, device=device)  # loss, right tokens, tokens
        self.other = torch.zeros(len(INNER_LOSSES), 3, device=device)  # the same of all other losses

    def add(self, kinds: torch.Tensor, values: torch.Tensor) -> None:
        self.sums.index_add_(0, kinds, values)

    def add_tally(self, name: str, tally: Tally) -> None:
        self.other[INNER_LOSSES.index(name)] += torch.stack([tally.loss, tally.right, tally.count]).detach()

    def read(self) -> dict[str, list[float]]:
        """Since the last read, by name: mean loss, and share of tokens (phones, cells …) that are right; empties the sums.
        The loss of characters is for each of them, without a share."""
        sums = [*self.sums.tolist(), *self.other.tolist()]
        self.sums.zero_()
        self.other.zero_()
        result: dict[str, list[float]] = {}
        for name, (loss, right, count) in zip((*self.kinds, *INNER_LOSSES), sums, strict=True):
            if count:
                result[name] = [round(loss / count, 3), round(right / count, 3)]
        return {name: pair[:1] if name == "characters" else pair for name, pair in result.items()}


def thinker_loss(
    packed: PackedThinker,
    batch: Batch,
    hidden: torch.Tensor,
    heard: torch.Tensor,
    seen: torch.Tensor,
    inside: Inside,
    lengths: torch.Tensor,
    sums: LossSums,
) -> torch.Tensor:
    """The sum of all losses, a scalar.

    hidden: [N, hidden]; heard: [A · 50, hidden]; seen: [P / 4, hidden]; lengths: `clip_tokens` of the batch on the CPU,
    where CTC wants them.
    """
    answers = _answer_loss(packed, batch, hidden, sums)
    phones = _phone_loss(packed, batch, heard, sums)
    characters = _character_loss(packed, batch, heard, lengths, sums)
    cells, tallies = cell_losses(packed, batch, seen)
    config = packed.model.config
    begin, audio = config.vision_start_token_id, config.audio_token_id
    guidance, guided = guidance_losses(batch, inside, packed.time_head(inside.middle), begin, audio)
    for name, tally in {**tallies, **guided}.items():
        sums.add_tally(name, tally)
    return answers + PHONE_SHARE * phones + CHARACTER_SHARE * characters + cells + guidance


def _answer_loss(packed: PackedThinker, batch: Batch, hidden: torch.Tensor, sums: LossSums) -> torch.Tensor:
    logits = packed.model.lm_head(hidden[batch["hidden_at"].long()]).float()  # [Y, vocabulary]
    targets = batch["targets"].long()
    losses = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")  # [Y]
    weights = batch["weights"]
    with torch.no_grad():
        known = (targets != IGNORED).float()
        right = (logits.argmax(-1) == targets).float()
        sums.add(batch["kinds"].long(), torch.stack([losses.detach() * known, right, known], 1))
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)


def _phone_loss(packed: PackedThinker, batch: Batch, heard: torch.Tensor, sums: LossSums) -> torch.Tensor:
    logits = packed.phone_head(heard).float()
    logits = logits.view(2 * len(heard), -1)  # [A · 100, phones]
    targets = batch["phones"].flatten().long()
    known = (targets != NO_PHONE).float()
    losses = F.cross_entropy(logits, targets.masked_fill(targets == NO_PHONE, 0), reduction="none") * known
    loss = losses.sum() / known.sum().clamp(min=1.0)
    with torch.no_grad():
        right = ((logits.argmax(-1) == targets).float() * known).sum()
        sums.add_tally("phones", Tally(losses.sum(), right, known.sum()))
    return loss


def _character_loss(
    packed: PackedThinker, batch: Batch, heard: torch.Tensor, lengths: torch.Tensor, sums: LossSums
) -> torch.Tensor:
    logits = packed.character_head(heard).view(2 * len(heard), -1)  # [A · 100, characters + 1]
    first, _, characters = batch["clip_tokens"].long().unbind(1)
    steps = max(2, 2 * int(lengths[:, 1].max()))
    steps = -(-steps // 100) * 100
    rows = 2 * first[:, None] + torch.arange(steps, device=heard.device)  # [C, T]
    logits = logits[rows.clamp(max=len(logits) - 1)].float()
    losses = F.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),  # [T, C, characters + 1]
        batch["characters"].long(),
        (2 * lengths[:, 1]).long().clamp(min=1),
        lengths[:, 2].long(),
        reduction="none",
        zero_infinity=True,
    )
    known = (characters > 0).float()
    losses = losses / characters.clamp(min=1) * known
    with torch.no_grad():
        sums.add_tally("characters", Tally(losses.sum(), torch.zeros_like(known[0]), known.sum()))
    return losses.sum() / known.sum().clamp(min=1.0)

"""The Talker as it is taught: over whole replies at once, on the rows that `generate` would give it step by step.

    prompt rows (media positions without their embedding) · voice row + codec pad · reply row 0 + codec begin ·
    code 0 + reply row 1 · code 1 + reply row 2 · … · code + end-of-text row · code + pad row · …

A row of the prompt or the reply is the Thinker's last hidden state + embedding. The first code is predicted at reply
row 0, the codec's end token after the last code. Source: `generate` and the Talker's forward in transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.blueprint import Blueprint
from training.export import SPEECH_TOKENS
from training.prompts import Prompt, positions_after
from training.shared_prompt import LayerPass, Memory, attention_of, layer_pass, read
from training.utterances import PHONES

PHONES_A_CODE = 2
"""A code lasts 40 ms; the phones 10 ms and 30 ms into it are learned."""
GUIDED_HEAD = 0
"""The head, of the layer after a third of them, that has to look at the word being said."""


@dataclass(frozen=True, eq=False)
class ReadPrompt:
    """A prompt after the Thinker has read it. rows: what the Talker reads of it, [P, D]; memory: for what follows."""

    rows: Tensor
    memory: Memory


@torch.no_grad()
def read_prompt(decoder: Any, prompt: Prompt) -> ReadPrompt:
    """decoder: the Thinker's language model. No reply can change what it makes of the prompt."""
    hidden, memory = read(decoder, prompt.embeds[None], prompt.positions)
    return ReadPrompt(hidden[0] + prompt.embeds.masked_fill(prompt.media[:, None], 0), memory)


@torch.no_grad()
def thinker_rows(
    decoder: Any,
    prompt: Prompt,
    memory: Memory,
    reply_ids: Tensor,
    run: LayerPass = layer_pass,
    bare: Tensor | None = None,
) -> Tensor:
    """What the Talker reads of the Thinker's teacher-forced pass over each reply to the prompt, [B, M, D].

    reply_ids: int64 [B, M], right-padded with any id (attention is causal). bare: bool [B], replies that get their embeddings
    alone.
    """
    embeds = decoder.embed_tokens(reply_ids)  # [B, M, D]
    hidden, _ = read(decoder, embeds, positions_after(prompt, reply_ids.shape[1]), memory, run=run)
    if bare is not None:
        hidden = hidden.masked_fill(bare[:, None, None], 0)
    return hidden + embeds


@torch.no_grad()
def foretold_rows(
    decoder: Any,
    prompt: Prompt,
    memory: Memory,
    reply_ids: Tensor,
    lengths: Tensor,
    between: Tensor,
    run: LayerPass = layer_pass,
) -> Tensor:
    """As `thinker_rows`, of a reply that could be foretold: it was given once before, then came the tokens `between`, [S]."""
    most, gap = reply_ids.shape[1], len(between)
    step = torch.arange(2 * most + gap, device=reply_ids.device)
    after = step - lengths[:, None]  # [B, 2 M + S], counted from the end of the first time
    again = reply_ids.gather(1, (after - gap).clamp(0, most - 1))
    ids = torch.where(after < 0, reply_ids[:, step.clamp(max=most - 1)], between[after.clamp(0, gap - 1)])
    ids = torch.where(after < gap, ids, again)
    hidden, _ = read(decoder, decoder.embed_tokens(ids), positions_after(prompt, len(step)), memory, run=run)
    at = lengths[:, None] + gap + torch.arange(most, device=lengths.device)  # [B, M]
    return hidden.gather(1, at[..., None].expand(-1, -1, hidden.shape[-1])) + decoder.embed_tokens(reply_ids)


class TalkerTraining(nn.Module):
    """A Talker, the embedding rows of the speech tokens, and a head for the phones that only training uses."""

    def __init__(self, blueprint: Blueprint, dropout: float = 0.0) -> None:
        from transformers import Qwen2_5OmniTalkerForConditionalGeneration

        super().__init__()
        self.blueprint = blueprint
        self.dropout = dropout
        self.talker: Any = Qwen2_5OmniTalkerForConditionalGeneration(blueprint.config().talker_config)
        self.speech_tokens = nn.Parameter(torch.randn(len(SPEECH_TOKENS), blueprint.hidden) * 0.02)
        self.phone_head = nn.Linear(blueprint.talker_hidden, PHONES_A_CODE * len(PHONES))
        self.run: LayerPass = layer_pass  # may be replaced by its compiled form

    def reply_stream(self, reply: Tensor, reply_lengths: Tensor, steps: int) -> Tensor:
        """The text side of each step: reply rows, then the end-of-text row, then pad rows, [B, steps, D]."""
        step = torch.arange(steps, device=reply.device)  # [S]
        index = step.clamp(max=reply.shape[1] - 1)
        after = (step - reply_lengths[:, None])[..., None]  # [B, S, 1], negative inside the text
        end = self.speech_tokens[SPEECH_TOKENS.index("<tts_text_eod>")]
        pad = self.speech_tokens[SPEECH_TOKENS.index("<tts_pad>")]
        return torch.where(after < 0, reply[:, index], torch.where(after == 0, end, pad))

    def forward(
        self, prompt: Prompt, prompt_rows: Tensor, reply: Tensor, reply_lengths: Tensor, voices: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of each code and of what follows the last, [B, T + 1, talker vocabulary]; of the phones that each
        code stands for, [B, T + 1, PHONES_A_CODE, phones]; and how much of the guided attention goes to each token of the
        reply, logarithms of shares, [B, T + 1, min(M, T + 1)].

        prompt_rows [P, D], reply [B, M, D], reply_lengths [B], voices [B] (index of <tts_voice_i>), codes int64
        [B, T]."""
        length = codes.shape[1]
        embed = self.talker.model.embed_tokens
        codec_pad = embed.weight[self.blueprint.codec_pad]
        voice = self.speech_tokens[SPEECH_TOKENS.index("<tts_voice_0>") + voices] + codec_pad  # [B, D]
        begin = torch.full_like(codes[:, :1], self.blueprint.codec_bos)
        spoken = embed(torch.cat([begin, codes], dim=1))  # [B, T+1, D]
        spoken = spoken + self.reply_stream(reply, reply_lengths, length + 1)
        drop = self.dropout if self.training else 0.0
        model, project = self.talker.model, self.talker.thinker_to_talker_proj
        _, memory = read(
            model, project(F.dropout(prompt_rows[None].to(spoken), drop, drop > 0)), prompt.positions, None, drop
        )
        rows = F.dropout(torch.cat([voice[:, None], spoken], dim=1), drop, drop > 0)
        looks: list[Tensor] = []

        def watch(number: int, layer: Any, *given: Any) -> None:
            if number == len(model.layers) // 3:
                looks.append(attention_of(layer, *given, head=GUIDED_HEAD))

        hidden, _ = read(model, project(rows), positions_after(prompt, length + 2), memory, drop, self.run, watch)
        first = len(prompt_rows) + 1  # row of the reply's first token, after prompt and voice
        look = looks[0][:, 1:, first : first + reply.shape[1]]
        ahead = hidden[:, 1:]
        phones = self.phone_head(ahead).unflatten(-1, (PHONES_A_CODE, len(PHONES)))
        return self.talker.codec_head(ahead).float(), phones.float(), look

    def weights(self) -> dict[str, Tensor]:
        """Under the names of transformers' talker, `speech_tokens` [7, D] and the phone head."""
        head = {f"phone_head.{name}": value for name, value in self.phone_head.state_dict().items()}
        return {**self.talker.state_dict(), **head, "speech_tokens": self.speech_tokens.detach()}

    def load(self, weights: dict[str, Tensor]) -> None:
        """weights: as `weights` gives them; all but the talker's own may be missing."""
        rest = dict(weights)
        if "speech_tokens" in rest:
            self.speech_tokens.data.copy_(rest.pop("speech_tokens"))
        head = {name: rest.pop(f"phone_head.{name}", value) for name, value in self.phone_head.state_dict().items()}
        self.phone_head.load_state_dict(head)
        self.talker.load_state_dict(rest)


def code_targets(codes: Tensor, code_lengths: Tensor, codec_eos: int) -> Tensor:
    """Codes, then the end token once, then −100, int64 [B, T + 1]."""
    step = torch.arange(codes.shape[1] + 1, device=codes.device)
    targets = F.pad(codes, (0, 1)).masked_fill(step == code_lengths[:, None], codec_eos)
    return targets.masked_fill(step > code_lengths[:, None], -100)


def guidance_loss(look: Tensor, written: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
    """−log of the attention to the word that is being said, and the share of codes where it gets more than half.

    look: of `TalkerTraining.forward`; written [B, M], said [B, T]: of a ReplyBatch."""
    written, look = written[:, : look.shape[2]], look[:, :-1]
    wanted = (said[:, :, None] == written[:, None]) & (said[:, :, None] >= 0)  # [B, T, M]
    known = wanted.any(-1)
    share = look.masked_fill(~wanted, -1e9).logsumexp(-1)
    count = known.sum().clamp(min=1)
    return -(share * known).sum() / count, ((share > -0.693) & known).sum() / count


def own_codes(codes: Tensor, logits: Tensor, most: float, sounds: int, generator: torch.Generator) -> Tensor:
    """Replace a random share, up to `most` and different for each row, of the codes by ones that the Talker might have said
    itself. logits: [B, T + 1, talker vocabulary]; sounds: how many codes there are, 1…sounds."""
    chosen = _chosen(codes, most, generator)
    scores = logits[:, : codes.shape[1], 1 : sounds + 1]
    noise = torch.empty_like(scores).exponential_(generator=generator)
    return torch.where(chosen, (scores - noise.log()).argmax(-1) + 1, codes)


def mask_codes(codes: Tensor, most: float, codec_mask: int, generator: torch.Generator) -> Tensor:
    """Replace a random share, up to `most` and different for each row, of the codes by the codec's mask token."""
    return codes.masked_fill(_chosen(codes, most, generator), codec_mask)


def _chosen(codes: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Places in random rows' random shares, up to `most`, bool [B, T]."""
    rate = torch.rand(len(codes), 1, generator=generator, device=codes.device) * most
    return torch.rand(codes.shape, generator=generator, device=codes.device) < rate

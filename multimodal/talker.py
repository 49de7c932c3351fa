"""The Talker: the Thinker's rows in, codec tokens out.

It reads the conversation as rows (last hidden state + embedding of each token, embeddings of media left out),
then the voice's begin row and the reply's rows one per code, then the end row, then pad rows for as long as it
speaks. Its cache is cropped back to the conversation after each reply: speech codes never become context.
Source: transformers' `Qwen2_5OmniForConditionalGeneration.generate` and the Talker's forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from multimodal.decoder import Decoder
from multimodal.kv_cache import KvCache
from multimodal.sampler import Sampler
from multimodal.tmrope import Cursor


@dataclass
class TalkerMemory:
    """The Talker's cache over a conversation's rows."""

    cache: KvCache

    @property
    def length(self) -> int:
        return self.cache.length

    def fork(self) -> TalkerMemory:
        return TalkerMemory(self.cache.fork())


class Talker:
    """model: Qwen2_5OmniTalkerForConditionalGeneration; embed: the Thinker's embedding of token ids → [n, D];
    last_code: the highest code Token2Wav can voice."""

    def __init__(self, model: Any, embed: Any, last_code: int) -> None:
        self.model = model
        self._decoder = Decoder(model.model)
        config = model.config
        self.bos = int(config.tts_codec_start_token_id)
        self.pad = int(config.tts_codec_pad_token_id)
        self.mask = int(config.tts_codec_mask_token_id)
        self.stop = frozenset({self.pad, int(config.tts_codec_end_token_id)})
        silent = set(range(last_code + 1, int(config.vocab_size))) - self.stop
        self.suppress = tuple(sorted(silent | {self.bos}))
        self.rows_computed = 0
        self._embed_text = embed
        self._text_eos = int(config.tts_text_end_token_id)
        self._text_pad = int(config.tts_text_pad_token_id)

    def new_memory(self) -> TalkerMemory:
        return TalkerMemory(self._decoder.new_cache())

    @property
    def device(self) -> torch.device:
        return self.model.codec_head.weight.device

    @torch.inference_mode()
    def read(self, memory: TalkerMemory, rows: torch.Tensor, positions: np.ndarray) -> torch.Tensor:
        """Append rows [n, D] at positions [3, n]; last hidden states [n, H]."""
        self.rows_computed += len(rows)
        weight = self.model.thinker_to_talker_proj.weight
        inputs = self.model.thinker_to_talker_proj(rows.to(weight.device, weight.dtype))
        return self._decoder.forward(inputs, torch.from_numpy(positions), memory.cache)

    def sampler(self, sampler: Sampler) -> Sampler:
        """Prepare a sampler as the reference does: the prompt's control codes count as seen, begin is never drawn.
        Codes that Token2Wav has no sound for, on which the reference would fail, are not drawn either."""
        sampler.seen |= {self.mask, self.pad, self.bos}
        sampler.suppress = self.suppress
        return sampler

    @torch.inference_mode()
    def speak(
        self,
        memory: TalkerMemory,
        cursor: Cursor,
        voice_token: int,
        reply: Iterator[torch.Tensor],
        sampler: Sampler,
        limit: int,
    ) -> Iterator[int]:
        """Codes of a reply, the stop code left out.

        cursor: after the conversation's rows, which `memory` already holds.
        voice_token: the voice's text begin token. reply: rows [1, D] of the reply's tokens as the Thinker makes
        them; taken one per code, waiting where the Thinker is slower. Nothing is spoken for an empty reply.
        """
        first_row = next(reply, None)
        if first_row is None:
            return
        text_bos = self._embed_text([voice_token])
        codec = self.model.get_input_embeddings()
        control = codec(torch.tensor([self.pad, self.bos], device=self.device))  # [2, D]
        rows = torch.cat([text_bos, first_row]).to(control.device, control.dtype) + control
        start = cursor.last + 1
        hidden = self.read(memory, rows, np.tile(np.arange(start, start + 2), (3, 1)))
        position = max(cursor.highest, start + 1) + 1
        tail = iter([self._embed_text([self._text_eos])])
        pad_row = self._embed_text([self._text_pad])
        for index in range(limit):
            code = sampler.draw(self.model.codec_head(hidden[-1]))
            if code in self.stop:
                return
            yield code
            if index == limit - 1:
                return
            row = next(reply, None)
            if row is None:
                row = next(tail, pad_row)
            spoken = codec(torch.tensor([code], device=self.device))
            hidden = self.read(
                memory, spoken + row.to(spoken.device, spoken.dtype), np.full((3, 1), position + index, np.int64)
            )

"""Every message that crosses a queue, in the order of the flow.

Each carries the generation number of its response. Barge-in and cancellation raise the number; whoever
reads an event of an older generation drops it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

# --- Thinker → Talker -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ReplyRow:
    """One token of the reply as the Talker reads it: last hidden state + embedding, row [1, 1, D]."""

    generation: int
    token: int
    row: torch.Tensor


@dataclass(frozen=True)
class ReplyEnd:
    """The Thinker has written its last token."""

    generation: int


# --- Talker → Token2Wav -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Code:
    """One codec token."""

    generation: int
    code: int


@dataclass(frozen=True)
class CodesEnd:
    """The Talker has stopped: by its own end code ("stop") or at the limit ("length")."""

    generation: int
    reason: Literal["stop", "length"]


# --- session → application --------------------------------------------------------------------------


@dataclass(frozen=True)
class TextDelta:
    """More of the reply's text; the deltas joined are the reply."""

    generation: int
    text: str


@dataclass(frozen=True, eq=False)
class SpeechChunk:
    """More of the reply's speech: float32 [N] in −1…1 at `rate_hz`, gapless after the previous chunk.

    marks_ms: on the first chunk, what came before it, as in ResponseDone.
    """

    generation: int
    samples: np.ndarray
    rate_hz: int
    marks_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """What a response cost. `prompt_tokens` counts the whole conversation before the reply;
    `prefill_tokens` only what had not been in the caches yet."""

    prompt_tokens: int = 0
    prefill_tokens: int = 0
    text_tokens: int = 0
    codes: int = 0


@dataclass(frozen=True)
class ResponseDone:
    """The one terminal event of a response.

    status: "completed" (stopped by itself), "length" (a limit of the options was reached),
            "cancelled", or "failed" with `error` saying what to do.
    first_text_ms, first_audio_ms, total_ms: from the moment the request reached the session.
    marks_ms: from the same moment, when each stage gave its first and last: appended, read (the prompt is cached),
              first_text, last_text, first_code, last_code, first_audio, last_audio; only what happened.
    sureness: geometric mean of the probabilities of the text's tokens, 0…1; None where it was not measured.
    """

    generation: int
    status: Literal["completed", "length", "cancelled", "failed"]
    text: str
    usage: Usage
    first_text_ms: float | None = None
    first_audio_ms: float | None = None
    total_ms: float = 0.0
    error: str | None = None
    marks_ms: Mapping[str, float] = field(default_factory=dict)
    sureness: float | None = None


@dataclass(frozen=True, eq=False)
class Aside:
    """What the writer of a script told meanwhile (`streaming.script`): reasoning, tool calls, who answers."""

    generation: int
    event: object


Event = TextDelta | SpeechChunk | ResponseDone
ScriptedEvent = Event | Aside

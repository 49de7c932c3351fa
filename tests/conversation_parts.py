"""What tests of backends say and look at: messages, pictures, events, and a model that says what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from multimodal.media import Picture
from reasoning.backend import AnswerDelta
from reasoning.local_backend import LocalBackend
from reasoning.messages import Message


def picture(height: int = 90, width: int = 120, seed: int = 0) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def user(*parts: str | Picture) -> Message:
    return Message("user", parts)


def joined(events: Sequence[Any], kind: type = AnswerDelta) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


def only(events: Sequence[Any], kind: type) -> Any:
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, events
    return found[0]


def scripted_model(backend: LocalBackend, *texts: str) -> None:
    """Makes the model write the given texts, one a request: what its weights would say is not the matter."""
    model = backend.model
    replies = [[*model.tokenizer(text, add_special_tokens=False).input_ids, max(model.stop)] for text in texts]
    state: dict[str, Any] = {"reply": iter(())}
    forward = type(model).forward

    def say(prompt: Any, start: int, cache: Any, experts: bool = False) -> Any:
        if len(prompt.ids) > 1:
            state["reply"] = iter(replies.pop(0))
        logits, routers = forward(model, prompt, start, cache, experts)
        logits = torch.full_like(logits, -1e4)
        logits[next(state["reply"])] = 1e4
        return logits, routers

    model.forward = say  # type: ignore[method-assign]

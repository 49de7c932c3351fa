"""Events of the realtime protocol: the names and shapes of OpenAI's Realtime API, checked by its client's own models.

Client events come in through `parse`; what is wrong with one is a `ClientError`, which becomes an `error` event and
ends nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from functools import cache
from typing import Any

import numpy as np

MOST_IMAGE_BYTES = 1_500_000


class ClientError(Exception):
    """An event that cannot be done. str(error) is one line for the client; code, param: as in the `error` event."""

    def __init__(self, message: str, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param

    def event(self, event_id: str | None) -> dict[str, Any]:
        error = {"type": "invalid_request_error", "code": self.code, "message": str(self), "param": self.param}
        return {"type": "error", "error": {**error, "event_id": event_id}}


@cache
def _models() -> dict[str, Any]:
    from openai.types import realtime

    return {
        "session.update": realtime.SessionUpdateEvent,
        "input_audio_buffer.append": realtime.InputAudioBufferAppendEvent,
        "input_audio_buffer.commit": realtime.InputAudioBufferCommitEvent,
        "input_audio_buffer.clear": realtime.InputAudioBufferClearEvent,
        "conversation.item.create": realtime.ConversationItemCreateEvent,
        "conversation.item.truncate": realtime.ConversationItemTruncateEvent,
        "conversation.item.delete": realtime.ConversationItemDeleteEvent,
        "conversation.item.retrieve": realtime.ConversationItemRetrieveEvent,
        "response.create": realtime.ResponseCreateEvent,
        "response.cancel": realtime.ResponseCancelEvent,
        "input_video_buffer.append": None,
        "tandem.playback.update": None,
    }


def parse(text: str) -> dict[str, Any]:
    """The event of one text message. Raises ClientError."""
    from pydantic import ValidationError

    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise ClientError("the message is not JSON", "invalid_json") from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise ClientError("an event is an object with a type", "invalid_event", "type")
    kind = event["type"]
    if kind not in _models():
        raise ClientError(f"{kind[:80]} is not an event that a client can send", "unknown_event", "type")
    model = _models()[kind]
    if model is not None:
        try:
            model.model_validate(event)
        except (ValidationError, RecursionError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "too deep"}
            place = ".".join(str(part) for part in first["loc"][:4])
            raise ClientError(f"{place or kind}: {first['msg']}"[:300], "invalid_event", place or None) from None
    return event


def event_id_of(text: str) -> str | None:
    """The client's own name for an event, for the error about it."""
    try:
        found = json.loads(text).get("event_id")
    except (ValueError, RecursionError, AttributeError):
        return None
    return found[:100] if isinstance(found, str) else None


def pcm_of(audio: str) -> np.ndarray:
    """float32 [n] of base64 PCM16. Raises ClientError."""
    try:
        data = base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise ClientError("audio is not base64", "invalid_audio", "audio") from None
    if len(data) % 2:
        raise ClientError("audio is PCM16: an even number of bytes", "invalid_audio", "audio")
    return np.frombuffer(data, "<i2").astype(np.float32) / 32768.0


def pcm16(samples: np.ndarray) -> bytes:
    return np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def picture_bytes(image: Any) -> bytes:
    """The bytes of a base64 picture, or of a data URL. Raises ClientError."""
    if not isinstance(image, str) or not image:
        raise ClientError("image is a base64 JPEG or PNG", "invalid_image", "image")
    if image.startswith("data:"):
        image = image.partition(",")[2]
    elif "://" in image[:20]:
        raise ClientError("pictures come as data URLs; nothing is fetched from elsewhere", "invalid_image", "image_url")
    if len(image) > MOST_IMAGE_BYTES * 4 // 3:
        raise ClientError(f"a picture may have {MOST_IMAGE_BYTES:,} bytes: make it smaller", "image_too_large", "image")
    try:
        return base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise ClientError("image is not base64", "invalid_image", "image") from None


def new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(10)}"

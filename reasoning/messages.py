"""What is said to a backend: messages with text and pictures, tool calls and their results."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from multimodal.errors import PromptError
from multimodal.media import Picture
from reasoning.boxes import Sight, Size

Role = Literal["system", "user", "assistant", "tool"]
JPEG_QUALITY = 90


@dataclass(frozen=True)
class ToolSpec:
    """A tool that the model may call. parameters: JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class ToolCall:
    """The model wants a tool run. arguments: JSON text as the model wrote it, not yet checked."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, eq=False)
class Message:
    """One message. reasoning: what the model thought before it; a local model reads it again only while it calls tools
    for the same question, and a server never gets it.

    tool_calls: of an assistant message; tool_call_id: of a tool message, which call it answers.
    A last message of the assistant is a reply begun, which the backend goes on with.
    """

    role: Role
    content: tuple[str | Picture, ...]
    reasoning: str = field(default="", compare=False)
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        return "".join(part for part in self.content if isinstance(part, str))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(part for part in self.content if isinstance(part, Picture))


def checked(messages: Sequence[Message], *, sees: bool, single_turn: bool = False) -> list[Message]:
    """The messages as they may be sent: reasoning dropped, except between the last question and its answer, where tools
    are called; only the last question kept for a model of one turn.

    Raises PromptError for an empty conversation, a reply where a question is due, or a picture that nobody sees.
    """
    asked = max((index for index, message in enumerate(messages) if message.role == "user"), default=len(messages))
    kept = [replace(one, reasoning=one.reasoning if index > asked else "") for index, one in enumerate(messages)]
    if not any(message.role == "user" for message in kept):
        raise PromptError("there is no question: the conversation needs a message of the user")
    if single_turn:
        last = max(index for index, message in enumerate(kept) if message.role == "user")
        kept = [message for message in kept[:last] if message.role == "system"] + kept[last:]
    for message in kept:
        if message.pictures and (message.role != "user" or not sees):
            raise PromptError("this model does not take pictures here: ask a model that sees, or leave them out")
        if any("\ud800" <= char <= "\udfff" for char in message.text):
            raise PromptError("the text holds a lone surrogate: send valid Unicode")
    return kept


def without_oldest(messages: Sequence[Message]) -> list[Message] | None:
    """The conversation without its oldest question and what answered it; None where only the last question is left."""
    asked = [index for index, message in enumerate(messages) if message.role == "user"]
    if len(asked) < 2:
        return None
    return [*messages[: asked[0]], *messages[asked[1] :]]


def data_url(picture: Picture) -> str:
    """The picture as a JPEG in a data: URL."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def to_openai(message: Message, sight: Sight | None = None) -> dict[str, Any]:
    """The message in the shape of the chat completions API.

    sight: for a model that counts in pixels of what it sees, pictures are sent in that size, so that its server need
    not resize them and its coordinates are known."""
    shaped: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.pictures:
        shaped["content"] = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_url", "image_url": {"url": data_url(_sized(part, sight))}}
            for part in message.content
        ]
    if message.tool_calls:
        shaped["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        shaped["tool_call_id"] = message.tool_call_id
    return shaped


def _sized(picture: Picture, sight: Sight | None) -> Picture:
    if sight is None or sight.coordinates != "resized":
        return picture
    from PIL import Image

    height, width = picture.pixels.shape[:2]
    size = sight.seen(Size(width, height))
    resized = Image.fromarray(picture.pixels).resize((size.width, size.height), Image.Resampling.BICUBIC)
    return Picture(np.asarray(resized))

"""The items of a session's conversation as the protocol shows them, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import soxr

from app.realtime.protocol import ClientError, new_id, pcm_of, picture_bytes
from app.realtime.settings import RATE_HZ
from multimodal.media import AudioClip, Picture
from multimodal.prompt import Turn
from streaming.turn import RATE_HZ as HEARING_HZ

MOST_SOUND_SEC = 60.0


class Tell(Protocol):
    """Gives the client an event; never waits."""

    def __call__(self, kind: str, **fields: Any) -> None: ...


@dataclass
class Item:
    """view: as the protocol shows it. turn: of the history; reply: number of the call's reply; clip: what was
    spoken."""

    view: dict[str, Any]
    turn: str | None = None
    reply: int | None = None
    clip: AudioClip | None = None

    @property
    def id(self) -> str:
        return self.view["id"]


def message(name: str, role: str, content: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    """The view of an item."""
    view = {"id": name, "object": "realtime.item", "type": "message", "role": role, "status": status}
    return {**view, "content": content}


class Items:
    """All items, oldest first."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._items: dict[str, Item] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._items

    @property
    def last(self) -> str | None:
        return next(reversed(self._items), None)

    def find(self, name: Any) -> Item:
        """Raises ClientError where there is none."""
        if not isinstance(name, str) or name not in self._items:
            raise ClientError("there is no such item", "item_not_found", "item_id")
        return self._items[name]

    def being_made(self, turn: str) -> bool:
        return any(one.turn == turn and one.view["status"] == "in_progress" for one in self._items.values())

    def add(self, item: Item) -> None:
        previous = self.last
        self._items[item.id] = item
        self._tell("conversation.item.added", item=dict(item.view), previous_item_id=previous)

    def done(self, item: Item) -> None:
        names = list(self._items)
        place = names.index(item.id) if item.id in names else 0
        self._tell("conversation.item.done", item=dict(item.view), previous_item_id=names[place - 1] if place else None)

    def delete(self, name: str) -> None:
        del self._items[name]
        self._tell("conversation.item.deleted", item_id=name)


async def read_item(
    event: dict[str, Any], items: Items, decode: Callable[[bytes], Picture]
) -> tuple[Item, Turn, list[Any]]:
    """`conversation.item.create`: the item, its turn, and the turn's parts as they were given. Raises ClientError for
    one that cannot be had."""
    given = event["item"]
    if given.get("type") != "message" or given.get("role") not in ("user", "system"):
        raise ClientError("items are messages of the user or the system here", "unsupported", "item")
    name = given.get("id") or new_id("item")
    if name in items or not isinstance(name, str) or len(name) > 64:
        raise ClientError("item.id is a new name of at most 64 characters", param="item.id")
    previous = event.get("previous_item_id")
    if previous is not None and previous != (items.last or "root"):
        raise ClientError("items are added at the end: leave previous_item_id out", "unsupported", "previous_item_id")
    parts = [await _part(part, decode) for part in given["content"]]
    if not parts:
        raise ClientError("the item has no content", param="item.content")
    role, content = given["role"], tuple(parts)
    sounds = [part for part in parts if isinstance(part, AudioClip)]
    if role == "user" and sounds and len(parts) > 1:
        raise ClientError("a sound stands alone in its item", "unsupported", "item.content")
    if role == "user" and not sounds:  # pictures, then what was typed
        text = "\n".join(part for part in parts if isinstance(part, str))
        content = (*(part for part in parts if isinstance(part, Picture)), *((text,) if text else ()))
    shown = [{k: v for k, v in part.items() if k not in ("audio", "image_url")} for part in given["content"]]
    return Item(message(name, role, shown)), Turn(role, content), parts


async def _part(part: dict[str, Any], decode: Callable[[bytes], Picture]) -> str | Picture | AudioClip:
    kind = part.get("type", "input_text")
    if kind == "input_text" and part.get("text"):
        return part["text"]
    if kind == "input_image":
        return await asyncio.to_thread(decode, picture_bytes(part.get("image_url")))
    if kind == "input_audio" and part.get("audio"):
        samples = soxr.resample(pcm_of(part["audio"]), RATE_HZ, HEARING_HZ).astype(np.float32)
        if len(samples) > MOST_SOUND_SEC * HEARING_HZ:
            raise ClientError(f"a sound may have {MOST_SOUND_SEC:.0f} s", "buffer_full", "item.content")
        return AudioClip(samples, HEARING_HZ)
    raise ClientError(f"a part of type {str(kind)[:40]} with content is wanted", param="item.content")

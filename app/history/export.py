"""A conversation as Markdown to read and as JSON to keep; and the JSON taken back in.

The JSON holds everything: all branches, token ids, and the media themselves (base64). Importing it makes a new
conversation with the same turns.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.history.records import BadImport, Conversation, MediaPart, Medium, TextPart, Turn
from app.history.store import History

FORMAT = "tandem-history"
VERSION = 1
MOST_IMPORT_BYTES = 512 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Medium(_Strict):
    kind: Literal["image", "audio", "video"]
    mime: str = Field(pattern=r"^(image|audio|video)/[a-z0-9.+-]{1,40}$")
    size_bytes: int = Field(ge=1)
    width: int | None = None
    height: int | None = None
    duration_sec: float | None = None
    data: str


class _Part(_Strict):
    text: str | None = None
    medium: str | None = None
    name: str | None = Field(default=None, max_length=300)


class _Turn(_Strict):
    parent: int | None
    role: Literal["user", "assistant"]
    status: Literal["completed", "length", "cancelled", "failed"]
    parts: list[_Part]
    ids: list[int] | None = None
    vocabulary: str | None = None
    model: str | None = None
    error: str | None = None
    speech: str | None = None
    heard_ms: int | None = None
    route: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    timings_ms: dict[str, Any] = {}
    places: list[dict[str, Any]] = []
    places_of: str | None = None
    transcript: str | None = None
    unheard: str | None = None
    reasoning: dict[str, Any] = {}
    inspection: dict[str, Any] = {}


class _Document(_Strict):
    format: Literal["tandem-history"]
    version: Literal[1]
    title: str
    head: int | None
    turns: list[_Turn]
    media: dict[str, _Medium]


def markdown(conversation: Conversation, turns: list[Turn]) -> str:
    """The branch `turns` to read; media by name, since Markdown holds none."""
    blocks = [f"# {conversation.title or 'Conversation'}"]
    for turn in turns:
        blocks.append(f"## {'You' if turn.role == 'user' else turn.model or 'Tandem'}")
        for part in turn.parts:
            if isinstance(part, MediaPart):
                label = {"image": "picture", "audio": "sound", "video": "video"}[part.medium.kind]
                blocks.append(f"*[{label}: {_escaped(part.name or label)}]*")
            elif part.name is not None:
                fence = "`" * max(3, 1 + max(map(len, re.findall("`+", part.text)), default=0))
                blocks.append(f"*[file: {_escaped(part.name)}]*\n\n{fence}\n{part.text}\n{fence}")
            elif part.text:
                blocks.append(part.text)
        if turn.transcript:
            blocks.append(turn.transcript)
        if turn.unheard:
            blocks.append(f"*(not heard: {_escaped(turn.unheard)})*")
        if turn.status != "completed":
            blocks.append(f"*({_escaped(turn.error or turn.status)})*")
    return "\n\n".join(blocks) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)


def to_json(history: History, conversation: Conversation) -> Iterator[bytes]:
    """The document in pieces, one medium in memory at a time."""
    turns = history.turns(conversation.id)
    number = {turn.id: index for index, turn in enumerate(turns)}
    media: dict[str, Medium] = {}
    for turn in turns:
        media |= {part.medium.digest: part.medium for part in turn.media}
        media |= {turn.speech.digest: turn.speech} if turn.speech else {}
    head = None if conversation.head is None else number[conversation.head]
    top = json.dumps({"format": FORMAT, "version": VERSION, "title": conversation.title, "head": head})
    entries = ",\n".join(json.dumps(_turn_entry(turn, number), ensure_ascii=False) for turn in turns)
    yield f'{top[:-1]}, "turns": [\n{entries}\n], "media": {{'.encode()
    for index, medium in enumerate(media.values()):
        entry = {name: value for name, value in vars(medium).items() if name != "digest"}
        yield f'{"," if index else ""}\n"{medium.digest}": {json.dumps(entry)[:-1]}, "data": "'.encode()
        yield base64.b64encode(history.media.path(medium.digest).read_bytes())
        yield b'"}'
    yield b"\n}}\n"


def _turn_entry(turn: Turn, number: dict[str, int]) -> dict[str, Any]:
    parts = []
    for part in turn.parts:
        content = {"text": part.text} if isinstance(part, TextPart) else {"medium": part.medium.digest}
        parts.append(content if part.name is None else {**content, "name": part.name})
    return {
        "parent": None if turn.parent is None else number[turn.parent],
        "role": turn.role,
        "status": "failed" if turn.status == "answering" else turn.status,
        "parts": parts,
        "ids": turn.ids,
        "vocabulary": turn.vocabulary,
        "model": turn.model,
        "error": turn.error,
        "speech": turn.speech.digest if turn.speech else None,
        "heard_ms": turn.heard_ms,
        "route": turn.route,
        "usage": turn.usage,
        "timings_ms": turn.timings_ms,
        "places": turn.places,
        "places_of": turn.places_of,
        "transcript": turn.transcript,
        "unheard": turn.unheard,
        "reasoning": turn.reasoning,
        "inspection": turn.inspection,
    }


def from_json(history: History, data: bytes) -> Conversation:
    """A new conversation from an exported document. Raises BadImport; then nothing was added."""
    try:
        document = _Document.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise BadImport(
            f"not an exported conversation ({place}: {first['msg']}): choose a JSON made by Export"
        ) from None
    contents = {digest: _content(digest, medium) for digest, medium in document.media.items()}
    _check_references(document)
    kept: dict[str, Medium] = {}
    for digest, medium in document.media.items():
        history.media.add(contents[digest])
        fields = medium.model_dump(exclude={"data"})
        kept[digest] = history.keep(Medium(digest=digest, **fields))
    conversation = history.create(document.title)
    try:
        ids: list[str] = []
        for turn in document.turns:
            fields = turn.model_dump(exclude={"parent", "role", "status", "parts", "speech"})
            fields["speech"] = kept[turn.speech] if turn.speech else None
            parts = [
                TextPart(part.text, part.name)
                if part.text is not None
                else MediaPart(kept[part.medium or ""], part.name or "")
                for part in turn.parts
            ]
            parent = None if turn.parent is None else ids[turn.parent]
            ids.append(history.add_turn(conversation.id, turn.role, parts, parent, turn.status, **fields).id)
        if document.head is not None:
            history.select(ids[document.head])
    except BaseException:
        history.delete(conversation.id)
        raise
    return history.conversation(conversation.id)


def _content(digest: str, medium: _Medium) -> bytes:
    try:
        content = base64.b64decode(medium.data, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if hashlib.sha256(content).hexdigest() != digest or len(content) != medium.size_bytes:
        raise BadImport("a medium in this file is damaged: export the conversation again")
    return content


def _check_references(document: _Document) -> None:
    for index, turn in enumerate(document.turns):
        media = [part.medium for part in turn.parts if part.medium is not None]
        media += [turn.speech] if turn.speech else []
        one_each = all((part.text is None) != (part.medium is None) for part in turn.parts)
        if not one_each or (turn.parent is not None and not 0 <= turn.parent < index):
            raise BadImport(f"turn {index + 1} of this file is damaged: export the conversation again")
        if any(digest not in document.media for digest in media):
            raise BadImport(f"a medium of turn {index + 1} is missing in this file: export the conversation again")
        try:
            json.dumps(turn.model_dump(), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise BadImport(f"turn {index + 1} of this file is not valid Unicode: export it again") from None
    if document.head is not None and not 0 <= document.head < len(document.turns):
        raise BadImport("this file does not say where the conversation ends: export it again")

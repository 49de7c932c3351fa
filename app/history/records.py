"""What the history holds, as values.

    Conversation ── head ──→ Turn ── parent ──→ Turn ── … ── parent ──→ None
                              └ parts: TextPart | MediaPart ──→ Medium (a file by content hash)

Turns form a tree: editing a question or asking for another answer adds a sibling, and the conversation's head says
which branch is being read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["user", "assistant"]
MediaKind = Literal["image", "audio", "video"]
Status = Literal["answering", "completed", "length", "cancelled", "failed"]
TERMINAL: frozenset[str] = frozenset({"completed", "length", "cancelled", "failed"})


class HistoryError(Exception):
    """str(error) is one line for the user that says what to do."""


class NotKept(HistoryError):
    """No conversation, turn or medium of that name."""


class DiskFull(HistoryError):
    """Nothing was written, because it would not have fitted."""


class BadImport(HistoryError):
    """A file that is not an exported conversation, or a damaged one."""


@dataclass(frozen=True)
class Medium:
    """A file of the media folder. digest: sha256 of its bytes, hexadecimal; mime: of the content, not of a name."""

    digest: str
    kind: MediaKind
    mime: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    duration_sec: float | None = None


@dataclass(frozen=True)
class TextPart:
    """What was typed or written; of an attached text file, its content and its name."""

    text: str
    name: str | None = None


@dataclass(frozen=True)
class MediaPart:
    """A picture, sound or video, under the name that the user's file had."""

    medium: Medium
    name: str = ""


Part = TextPart | MediaPart


@dataclass(frozen=True)
class Turn:
    """One message.

    ids: of a reply, the token ids it was written with, which mean something in `vocabulary` only.
    speech: of a reply, what was spoken. heard_ms: how much of it was played, None where nobody kept count.
    route, usage, timings_ms, places: as the answering side gave them; places are boxes and points in pixels of the
    picture `places_of` (a digest). transcript: what was said in the sounds of the turn, of several a line
    each. unheard: the end of a spoken
    reply that was written and never heard; the text before it is what the model remembers. reasoning: {"text", "ms"}
    of a model that thought before it answered. inspection: how the turn was laid out and made, see app.web.inspection.
    """

    id: str
    conversation: str
    parent: str | None
    role: Role
    status: Status
    parts: tuple[Part, ...]
    created_ms: int
    ids: tuple[int, ...] | None = None
    vocabulary: str | None = None
    model: str | None = None
    error: str | None = None
    speech: Medium | None = None
    heard_ms: int | None = None
    route: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    timings_ms: dict[str, Any] = field(default_factory=dict)
    places: tuple[dict[str, Any], ...] = ()
    places_of: str | None = None
    transcript: str | None = None
    unheard: str | None = None
    reasoning: dict[str, Any] = field(default_factory=dict)
    inspection: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What was typed or written, without attached files."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart) and part.name is None)

    @property
    def captions(self) -> dict[Part, str]:
        """What was said in each of its sounds, where that is known."""
        transcript = self.transcript or ""
        lines = transcript.split("\n") if len(self.sounds) > 1 else [transcript]
        return {part: line for part, line in zip(self.sounds, lines) if line}

    @property
    def sounds(self) -> tuple[MediaPart, ...]:
        return tuple(part for part in self.media if part.medium.kind == "audio")

    @property
    def media(self) -> tuple[MediaPart, ...]:
        return tuple(part for part in self.parts if isinstance(part, MediaPart))


@dataclass(frozen=True)
class Conversation:
    """head: the newest turn of the branch that is read, None before the first turn. spoken: whether anything in it was
    said aloud, by either side."""

    id: str
    title: str
    created_ms: int
    updated_ms: int
    head: str | None
    spoken: bool = False

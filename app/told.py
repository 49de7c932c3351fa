"""What is told beside a reply's own text and speech: who answers, what a backend thinks, the programs it wants run, and
how its part ended."""

from __future__ import annotations

from dataclasses import dataclass

from reasoning.backend import Usage
from reasoning.router import Route
from streaming.events import Event, TextDelta
from streaming.transcription import Transcribed


@dataclass(frozen=True)
class Routed:
    """Who answers, first when it is decided, and again when a backend failed and the Thinker takes over."""

    route: Route


@dataclass(frozen=True)
class Reasoning:
    """More of what the backend thinks. replaced: it was shown as the answer so far, and is no part of it."""

    text: str
    replaced: bool = False


@dataclass(frozen=True)
class Tool:
    """A program that the model wants run, and, a moment later, the same with its result.

    in_text: program and output stand in the answer's own text, where they need not be shown again.
    """

    name: str
    code: str
    result: str | None = None
    status: str | None = None
    in_text: bool = False


@dataclass(frozen=True)
class ExpertUse:
    """Which experts a written token of a mixture went to: layer → the chosen, strongest first. of: experts a layer."""

    text: str
    layers: tuple[tuple[int, ...], ...]
    of: int


@dataclass(frozen=True)
class Answered:
    """How the backend's part ended. shown: its whole text; spent: tokens."""

    shown: str
    reasoning: str
    reasoning_ms: float
    spent: Usage
    truncated: bool
    error: str | None


@dataclass(frozen=True)
class Said:
    """A sentence of the backend's text in the words in which it is spoken. shown: characters of the text up to its
    end."""

    text: str
    shown: int


Told = Event | Transcribed | Routed | Reasoning | Tool | ExpertUse | Answered | Said


def shown_after(shown: str, told: object) -> str:
    """The text that a backend has shown, after one more thing that it tells."""
    if isinstance(told, TextDelta):
        return shown + told.text
    if isinstance(told, Reasoning) and told.replaced:
        return ""
    return told.shown if isinstance(told, Answered) else shown

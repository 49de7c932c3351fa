"""Turns and conversations as the page gets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from app.history.records import Conversation, MediaPart, Part, Turn
from app.web.markdown import Clip, render


def conversation_view(conversation: Conversation, excerpt: str | None = None) -> dict[str, Any]:
    """excerpt: where what was searched for stands in it."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "updated_ms": conversation.updated_ms,
        "spoken": conversation.spoken,
        "excerpt": excerpt,
    }


def path_view(path: Sequence[Turn], all_turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """The branch that is read; each turn knows its siblings."""
    return [turn_view(turn, path[:index], all_turns) for index, turn in enumerate(path)]


def turn_view(turn: Turn, before: Sequence[Turn], all_turns: Sequence[Turn]) -> dict[str, Any]:
    """before: the turns that lead to it, oldest first."""
    siblings = [one.id for one in all_turns if one.parent == turn.parent]
    view: dict[str, Any] = {
        "id": turn.id,
        "parent": turn.parent,
        "role": turn.role,
        "status": turn.status,
        "text": turn.text,
        "parts": [part_view(part, turn.captions.get(part)) for part in turn.parts],
        "siblings": siblings,
        "error": turn.error,
        "model": turn.model,
        "route": {
            name: value for name, value in turn.route.items() if name != "experts"
        },  # the inspector asks for them
        "usage": turn.usage,
        "timings_ms": turn.timings_ms,
        "transcript": turn.transcript,
        "heard_ms": turn.heard_ms,
        "inspected": bool(turn.inspection or turn.timings_ms),
    }
    if turn.role == "assistant":
        view["html"] = render(turn.text, clip_before(before))
        view["unheard"] = turn.unheard
        view["reasoning"] = reasoning_view(turn.reasoning)
        view["places"] = list(turn.places)
        view["places_of"] = turn.places_of and media_url(turn.places_of)
        if turn.speech is not None:
            view["speech"] = {
                "url": media_url(turn.speech.digest, f"reply-{turn.id[:6]}.wav"),
                "duration_sec": turn.speech.duration_sec,
            }
    return view


def reasoning_view(reasoning: dict[str, Any]) -> dict[str, Any] | None:
    """What a model thought before it answered, and for how long; ms is None while it is still thinking."""
    if not reasoning.get("text"):
        return None
    return {"html": render(reasoning["text"]), "ms": reasoning.get("ms")}


def part_view(part: Part, caption: str | None = None) -> dict[str, Any]:
    """caption: what was said in it."""
    if not isinstance(part, MediaPart):
        return {"kind": "text", "text": part.text, "name": part.name}
    medium = part.medium
    return {
        "kind": medium.kind,
        "name": part.name,
        "digest": medium.digest,
        "url": media_url(medium.digest, part.name),
        "width": medium.width,
        "height": medium.height,
        "duration_sec": medium.duration_sec,
        "size_bytes": medium.size_bytes,
        **({"caption": caption} if caption else {}),
    }


def media_url(digest: str, name: str = "") -> str:
    return f"/api/media/{digest}" + (f"?name={quote(name)}" if name else "")


def last_part(before: Sequence[Turn], kind: str) -> MediaPart | None:
    """The newest picture, sound or video that was shown."""
    for turn in reversed(before):
        for part in reversed(turn.media):
            if part.medium.kind == kind:
                return part
    return None


def clip_before(before: Sequence[Turn]) -> Clip | None:
    part = last_part(before, "video")
    return Clip(part.medium.digest, part.medium.duration_sec or 0.0) if part else None

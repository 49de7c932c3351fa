"""Boxes and points of an answer, in pixels of the picture that it is about, for the history and the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.history.records import Turn
from app.web.call_turns import is_film
from app.web.views import last_part
from reasoning.boxes import Sight, Size

MOST_PLACES = 200


def placed(path: Sequence[Turn], text: str, sight: Sight | None) -> dict[str, Any]:
    """Fields of an answer that says `text` after the turns of `path`. sight: how who answered counts, None for one that
    gives no places. Those in a film are left out: it was seen in the size of its frames, and has no one picture."""
    shown = next((turn for turn in reversed(path) if any(part.medium.kind == "image" for part in turn.media)), None)
    picture = last_part([shown], "image") if shown is not None and not is_film(shown.media) else None
    if picture is None or sight is None or not picture.medium.width or not picture.medium.height:
        return {}
    found = sight.places(text, Size(picture.medium.width, picture.medium.height))[:MOST_PLACES]
    places = [{"kind": type(place).__name__.lower(), **vars(place)} for place in found]
    return {"places": places, "places_of": picture.medium.digest if places else None}

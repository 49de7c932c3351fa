"""The HTML report: one file that works offline, with pictures inside, a timeline, search, and a player that seeks.

What a model wrote is untrusted: it only ever reaches the page as escaped text, and the page's policy allows no script
or style but its own and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.analysis import times

MOST_PICTURES = 12  # of one video
PICTURE_PIXELS = 28 * 28 * 24
PICTURE_SEC = 20.0  # longest wait for one
_STYLE = (Path(__file__).parent / "page.css").read_text
_SCRIPT = (Path(__file__).parent / "page.js").read_text


def page(title: str, records: Sequence[dict[str, Any]], folder: Path) -> str:
    """The page. folder: where it will lie, from where the videos are addressed."""
    import jinja2

    style, script = _STYLE(encoding="utf-8"), _SCRIPT(encoding="utf-8")
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["clock"] = times.write
    policy = (
        f"default-src 'none'; img-src data:; media-src 'self' file:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    prompts = {record["prompt"] for record in records}
    failed = [number for number, record in enumerate(records) if record["status"] == "error"]
    return environment.get_template("page.html.jinja").render(
        title=title,
        policy=policy,
        style=style,
        script=script,
        prompt=prompts.pop() if len(prompts) == 1 else None,
        videos=[{**_video(record, folder), "number": number} for number, record in enumerate(records)],
        failed=len(failed),
        first_failed=failed[0] if failed else None,
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _video(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    duration = record["duration_sec"] or 0.0
    source = Path(record["source"])
    segments = [
        {
            **segment,
            "left": 100 * segment["start_sec"] / duration if duration else 0,
            "width": 100 * (segment["end_sec"] - segment["start_sec"]) / duration if duration else 0,
        }
        for segment in record["segments"]
    ]
    found = source.is_file()
    named = Path(record["id"])
    return {
        **record,
        "name": named.name or record["id"],
        "folder": str(named.parent) if named.parent.parts else "",
        "words": None if _repeats(record) else record["answer"],
        "segments": segments,
        "pictures": _pictures(source, segments) if found and record["status"] == "ok" else {},
        "address": quote(os.path.relpath(source, folder)) if found else None,
    }


def _repeats(record: dict[str, Any]) -> bool:
    """Whether the answer says no more than its segments, with their times."""
    rest = record["answer"] or ""
    for segment in record["segments"]:
        rest = rest.replace(segment["text"], "")
    return not any(character.isalpha() for character in rest)


def _pictures(source: Path, segments: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Number of a segment → data: URL of a frame from its middle; fewer where the file has changed or is broken."""
    from PIL import Image

    from app.analysis.decoder import Decoder
    from multimodal.errors import TandemError
    from multimodal.limits import DEFAULT_LIMITS
    from multimodal.sampling import FrameBudget

    budget = FrameBudget(fps=1, min_frames=2, max_frames=2, min_pixels=28 * 28, max_pixels=PICTURE_PIXELS)
    step = max(1, -(-len(segments) // MOST_PICTURES))
    made: dict[int, str] = {}
    try:
        decoder = Decoder(source, DEFAULT_LIMITS, 1, PICTURE_SEC)
    except TandemError:
        return made
    try:
        for number in range(0, len(segments), step):
            start = max(0.0, (segments[number]["start_sec"] + segments[number]["end_sec"]) / 2)
            try:
                decoder.ask("window", budget, False, start, start + 1.0)
                clip = decoder.answer()
            except TandemError:
                continue
            jpeg = io.BytesIO()
            Image.fromarray(clip.frames[0]).save(jpeg, "JPEG", quality=75)
            made[number] = "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode("ascii")
    finally:
        decoder.close()
    return made

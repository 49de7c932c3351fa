"""What the inspector shows of a turn: how its input was laid out on the model's time axis, and how its reply was made.

kept with the turn:    layout(spans), the stages' times, memory          (numbers)
drawn when looked at:  frames as thumbnails, sounds as outlines          (from the media, app.web.uploads)
"""

from __future__ import annotations

import base64
import io
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # imports torch, which the first page must not wait for
    from multimodal.media import AudioClip, Picture, VideoClip
    from multimodal.prompt import Span
    from multimodal.tmrope import Cursor, Tmrope
    from streaming.session import Conversation

IDS_PER_SECOND = 25.0  # how finely a sound is drawn where no model's own figure is known
MOST_THUMBNAILS = 64
MOST_PEAKS = 15_000
THUMBNAIL_HEIGHT = 72


def layout(tmrope: Tmrope, spans: Sequence[Span], cursor: Cursor) -> dict[str, Any]:
    """The blocks that `spans` become after `cursor`, in order, as the inspector draws them.

    A block has a kind, its tokens, and the position ids `from` … `to` that it covers. Blocks of media are numbered by
    `medium`, in their order among the turn's files. `sound`: the ids that sound covers; of videos, `frames`: the time
    id of each pair of frames, and `every`: seconds from one to the next. ids_per_second: position ids a second.
    """
    from multimodal.prompt import (
        AudioPiece,
        AudioSpan,
        FilmMark,
        FilmPicture,
        FilmSound,
        TextSpan,
        VideoSpan,
        grid_time_ids,
    )

    blocks: list[dict[str, Any]] = []
    media = 0
    for span in spans:
        positions, cursor = tmrope.place(span, cursor)
        if positions.shape[1] == 0:
            continue
        block: dict[str, Any] = {
            "kind": _kind(span),
            "tokens": int(positions.shape[1]),
            "from": int(positions.min()),
            "to": int(positions.max()),
        }
        if isinstance(span, TextSpan):
            if _is_control(span, tmrope):
                for before in blocks[-1:]:
                    before.pop("open", None)
                continue
        elif isinstance(span, AudioPiece) and blocks and blocks[-1].get("open"):
            blocks[-1]["tokens"] += block["tokens"]
            blocks[-1]["to"] = blocks[-1]["sound"][1] = block["to"]
            continue
        elif isinstance(span, FilmPicture | FilmSound) or (isinstance(span, FilmMark) and span.ends):
            film = blocks[-1]
            film["tokens"] += block["tokens"]
            film["to"] = max(film["to"], block["to"])
            if isinstance(span, FilmPicture):
                film["frames"].append(cursor.film + span.at)
            elif isinstance(span, FilmSound):
                film["sound"] = [film.get("sound", [block["from"]])[0], block["to"]]
            continue
        else:
            block["medium"] = media
            media += 1
        if isinstance(span, AudioPiece):
            block |= {"open": True, "sound": [block["from"], block["to"]]}
        if isinstance(span, FilmMark):
            block |= {"frames": [], "every": float(tmrope.seconds_per_chunk)}
        if isinstance(span, AudioSpan):
            block["sound"] = [block["from"] + 1, block["to"] - 1]
        if isinstance(span, VideoSpan):
            first = block["from"] + 1  # the begin token stands before the first frame
            block["frames"] = [first + int(time_id) for time_id in grid_time_ids(span, tmrope.ids_per_second)]
            block["every"] = float(span.second_per_grid)
            if span.audio is not None:
                block["sound"] = [first, first + span.audio.tokens - 1]
        blocks.append(block)
    for block in blocks:
        block.pop("open", None)
    return {"ids_per_second": float(tmrope.ids_per_second), "blocks": blocks, "next": cursor.next_decoded}


def of_turn(conversation: Conversation, begun: int) -> dict[str, Any]:
    """The layout of the spans from number `begun` on. `layout["reply"]` is the first id of the reply to them."""
    checkpoint = conversation.checkpoint
    tmrope, spans = checkpoint.thinker.tmrope, conversation.spans
    _, cursor = tmrope.place_all(list(spans[:begun]))
    found = layout(tmrope, spans[begun:], cursor)
    opening = checkpoint.prompt.open_turn("assistant", [])
    _, before = tmrope.place_all(list(spans))
    _, after = tmrope.place_all(opening, before)
    return found | {"reply": after.next_decoded}


def of_exchange(conversation: Conversation) -> dict[str, Any]:
    """What is kept of the newest reply and the turn that it answers; {} where the newest turn is no reply."""
    from multimodal.prompt import TextSpan

    checkpoint, spans = conversation.checkpoint, conversation.spans
    tmrope, start = checkpoint.thinker.tmrope, checkpoint.prompt.control.im_start
    turns = [index for index, span in enumerate(spans) if isinstance(span, TextSpan) and span.ids[:1] == (start,)]
    opening = checkpoint.prompt.open_turn("assistant", [])
    if len(turns) < 2 or list(spans[turns[-1] : turns[-1] + len(opening)]) != opening:
        return {}
    _, before = tmrope.place_all(list(spans[: turns[-2]]))
    _, cursor = tmrope.place_all(list(spans[: turns[-1]]))
    _, after = tmrope.place_all(opening, cursor)
    found = layout(tmrope, spans[turns[-2] : turns[-1]], before) | {"reply": after.next_decoded}
    return {"layout": found, "memory_mib": memory(conversation)}


def memory(conversation: Conversation) -> dict[str, float]:
    """MiB: of the process at its peak and now, of this conversation's caches, and on the GPU where there is one."""
    import torch

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"peak": peak, "caches": conversation.cache_bytes / (1 << 20)}
    status = Path("/proc/self/statm")
    if status.exists():
        found["process"] = int(status.read_text().split()[1]) * resource.getpagesize() / (1 << 20)
        found["peak"] = max(peak, found["process"])  # the kernel brings its peak up to date only now and then
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.memory_allocated() / (1 << 20)
    return {name: round(value, 1) for name, value in found.items()}


def drawing(decoded: Picture | AudioClip | VideoClip, ids_per_second: float) -> dict[str, Any]:
    """What can be seen and heard of a medium: `thumbnails` [{index, src}] and `peaks`, the loudest sample (0…1) of
    each position id; `start_sec` of its sound relative to its first frame."""
    from multimodal.media import AudioClip, Picture

    if isinstance(decoded, AudioClip):
        return {"peaks": _peaks(decoded, ids_per_second), "start_sec": 0.0}
    if isinstance(decoded, Picture):
        return {"thumbnails": [{"index": 0, "src": _thumbnail(decoded.pixels)}]}
    pairs = len(decoded.frames) // 2
    chosen = np.unique(np.linspace(0, pairs - 1, min(pairs, MOST_THUMBNAILS)).round().astype(int))
    found: dict[str, Any] = {
        "thumbnails": [{"index": int(index), "src": _thumbnail(decoded.frames[2 * index])} for index in chosen],
        "times_sec": [round(float(decoded.times_sec[2 * index]), 3) for index in range(pairs)],
        "sampled": len(decoded.frames),
        "fps": decoded.fps,
    }
    if decoded.audio is not None:
        found |= {"peaks": _peaks(decoded.audio, ids_per_second), "start_sec": decoded.audio.start_sec}
    return found


def _kind(span: Span) -> str:
    from multimodal.prompt import FilmMark, ImageSpan, TextSpan, VideoSpan

    if isinstance(span, TextSpan):
        return "text"
    if isinstance(span, ImageSpan):
        return "image"
    return "video" if isinstance(span, VideoSpan | FilmMark) else "audio"


def _is_control(span: Any, tmrope: Tmrope) -> bool:
    """Only the begin or end token of a sound that is read while it comes."""
    return set(span.ids) <= {tmrope.control.audio_bos, tmrope.control.audio_eos}


def _peaks(clip: AudioClip, ids_per_second: float) -> list[float]:
    step = max(1, round(clip.rate_hz / ids_per_second))
    samples = np.abs(clip.samples[: step * MOST_PEAKS])
    if not len(samples):
        return []
    padded = np.pad(samples, (0, -len(samples) % step))
    return [round(float(value), 3) for value in padded.reshape(-1, step).max(axis=1)]


def _thumbnail(pixels: np.ndarray) -> str:
    from PIL import Image

    height, width = pixels.shape[:2]
    size = (max(1, min(4 * THUMBNAIL_HEIGHT, round(width * THUMBNAIL_HEIGHT / height))), THUMBNAIL_HEIGHT)
    data = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR).save(data, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()

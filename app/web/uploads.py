"""Files from the page: received up to a limit, looked into in the decoder's process, and kept by content hash."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from app.config import Config
from app.history.media_folder import as_history_error
from app.history.records import HistoryError, MediaKind, MediaPart, Medium
from app.history.store import History
from app.web import inspection
from app.web.call_turns import is_film, shown_at
from app.web.decoder import MediaDecoder
from app.web.engine import Engine, EngineUnavailable
from app.web.views import part_view

if TYPE_CHECKING:  # imports torch, which the first page must not wait for
    from multimodal.media import AudioClip, Picture, VideoClip

    Decoded = Picture | AudioClip | VideoClip

MOST_MEDIA = 8
"""Pictures, sounds and videos of one question."""
MOST_TEXT_BYTES = 1_000_000
MOST_DECODED_BYTES = 512 << 20
HEAD_BYTES = 64
MEDIA_SUFFIX = re.compile(
    r"\.(png|jpe?g|gif|webp|bmp|tiff?|heic|avif|svg|ico|wav|mp3|flac|ogg|opus|m4a|aac|aiff?|wma|mp4|m4v|mov|mkv|webm|avi|"
    r"ts|mpe?g|wmv|flv|3gp)$",
    re.IGNORECASE,
)
_MIME = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"RIFF....WEBP", "webp"),
    (b"RIFF....WAVE", "wav"),
    (b"RIFF....AVI ", "x-msvideo"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"%PDF", "pdf"),
    (b"ID3|\xff[\xe0-\xff]", "mpeg"),
    (b"....ftyp", "mp4"),
    (b"\x1aE\xdf\xa3", "webm"),
    (b"G", "mp2t"),
)


class Uploads:
    """Takes files in and hands them to the model. limits: config's, for encoded size, pixels and length."""

    def __init__(self, config: Config, history: History, decoder: MediaDecoder, engine: Engine) -> None:
        self._config = config
        self._history = history
        self._decoder = decoder
        self._engine = engine
        self._lock = threading.Lock()
        self._decoded: OrderedDict[str, Decoded] = OrderedDict()

    async def receive(self, blocks: AsyncIterator[bytes], name: str) -> dict[str, Any]:
        """Keep a file that arrives in blocks; its view for the page, of a document {"kind": "document", "name",
        "count", "pages": views of the first MOST_MEDIA as pictures}. Raises MediaError, and DiskFull; then nothing of
        it remains."""
        draft = await asyncio.to_thread(self._history.media.draft)
        try:
            await self._write(draft, blocks, name)
            return await asyncio.to_thread(self._take, draft, name, await self._budget(draft))
        except OSError as error:
            raise as_history_error(error) from error
        finally:
            draft.unlink(missing_ok=True)

    def decoded(self, part: MediaPart) -> Decoded:
        """As the model wants it. Raises MediaError."""
        found = self._decoded.get(part.medium.digest)
        if found is None:
            path = self._history.media.path(part.medium.digest)
            found = self._decode(path, part.medium.kind, part.name, self._frame_budget())
            self._remember(part.medium.digest, found)
        return found

    def film(self, parts: Sequence[MediaPart]) -> VideoClip:
        """What was shown and spoken together in a call, as the model read it. Raises MediaError."""
        from multimodal.film import film_clip

        *pictures, sound = [cast(Any, self.decoded(part)) for part in parts]
        times = [shown_at(part) for part in parts]
        return film_clip(list(zip(times, pictures)), sound, self._frame_budget())

    def drawings(self, parts: Sequence[MediaPart], ids_per_second: float) -> list[dict[str, Any]]:
        """Of each medium, its name and what the inspector draws of it; {} where it cannot be decoded any more."""
        from multimodal.errors import MediaError

        film = is_film(parts)
        found = []
        for part in parts[-1:] if film else parts:
            try:
                drawn = inspection.drawing(self.film(parts) if film else self.decoded(part), ids_per_second)
            except (MediaError, EngineUnavailable, HistoryError):
                drawn = {}
            found.append({"kind": "video" if film else part.medium.kind, "name": part.name, **drawn})
        return found

    async def _write(self, draft: Path, blocks: AsyncIterator[bytes], name: str) -> None:
        limits = await asyncio.to_thread(self._config.media_limits)
        from multimodal.document import is_document
        from multimodal.errors import MediaTooLarge
        from multimodal.source import file_name, picture_format

        most, size = limits.video_upload_bytes, 0
        with draft.open("wb") as file:
            async for block in blocks:
                if size == 0 and picture_format(block[:HEAD_BYTES]):
                    most = limits.picture_bytes
                elif size == 0 and is_document(block[:HEAD_BYTES]):
                    most = limits.document_bytes
                size += len(block)
                if size > most:
                    raise MediaTooLarge(
                        f"{file_name(name)} is larger than {most / (1 << 20):g} MiB: shorten or compress it"
                    )
                file.write(block)

    async def _budget(self, draft: Path) -> Any:
        """How many frames of a video fit depends on the model, so a video waits until it is loaded."""
        kind = await asyncio.to_thread(_sniffed, draft)
        if kind == "video":
            await self._engine.assistant()
            return self._frame_budget()
        return None

    def _frame_budget(self) -> Any:
        from multimodal.decode import FrameBudget

        assistant = self._engine.loaded
        return FrameBudget.from_preprocessor(assistant.checkpoint.thinker.vision.processor.to_dict())

    def _take(self, draft: Path, name: str, budget: Any) -> dict[str, Any]:
        from multimodal.document import is_document
        from multimodal.errors import MediaError
        from multimodal.source import file_name

        shown = file_name(name)
        with draft.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if is_document(head):
            return self._pages(draft, shown)
        try:
            info = self._decoder.probe(draft, shown)
        except MediaError:
            text = None if MEDIA_SUFFIX.search(shown) else _text_of(draft)
            if text is None:
                raise
            return {"kind": "text", "name": shown, "text": text, "size_bytes": len(text.encode())}
        kind = cast(MediaKind, "image" if info.kind == "picture" else info.kind)
        decoded = self._decode(draft, kind, shown, budget)
        mime = f"{kind}/{_subtype(head)}"
        size = draft.stat().st_size
        digest = self._history.media.adopt(draft)
        duration_sec = None if kind == "image" else getattr(decoded, "duration_sec", info.duration_sec)
        medium = Medium(digest, kind, mime, size, info.width, info.height, duration_sec)
        self._remember(digest, decoded)
        return part_view(MediaPart(self._history.keep(medium), shown))

    def _pages(self, draft: Path, name: str) -> dict[str, Any]:
        """The first pages of a document, kept as pictures."""
        from PIL import Image

        limits = self._config.media_limits()
        count = self._decoder.count_pages(draft, name, limits)
        drawn = []
        for number in range(1, min(count, MOST_MEDIA) + 1):
            picture, file = self._decoder.page(draft, name, number, limits), io.BytesIO()
            Image.fromarray(picture.pixels).save(file, "PNG")
            drawn.append((picture, file.getvalue()))
        pages = []
        for number, (picture, data) in enumerate(drawn, 1):  # all could be drawn
            digest = self._history.media.add(data)
            height, width = picture.pixels.shape[:2]
            medium = Medium(digest, "image", "image/png", len(data), width, height)
            self._remember(digest, picture)
            pages.append(part_view(MediaPart(self._history.keep(medium), f"{number} – {Path(name).stem}.png")))
        return {"kind": "document", "name": name, "count": count, "pages": pages}

    def _decode(self, path: Path, kind: MediaKind, name: str, budget: Any) -> Decoded:
        limits = self._config.media_limits()
        if kind == "image":
            return self._decoder.picture(path, name, limits)
        if kind == "audio":
            return self._decoder.audio(path, name, limits)
        return self._decoder.video(path, name, limits, budget)

    def _remember(self, digest: str, decoded: Decoded) -> None:
        """Keep what was decoded for the question that follows, within MOST_DECODED_BYTES."""
        with self._lock:
            self._decoded[digest] = decoded
            while len(self._decoded) > 1 and sum(map(_size_bytes, self._decoded.values())) > MOST_DECODED_BYTES:
                self._decoded.popitem(last=False)


def _size_bytes(decoded: Any) -> int:
    arrays = [getattr(decoded, name, None) for name in ("pixels", "samples", "frames")]
    audio = getattr(decoded, "audio", None)
    return sum(array.nbytes for array in arrays if array is not None) + (audio.samples.nbytes if audio else 0)


def _sniffed(draft: Path) -> str | None:
    """Whether it may be a video, judged by the first bytes only; the decoder's process looks closer."""
    with draft.open("rb") as file:
        subtype = _subtype(file.read(HEAD_BYTES))
    return "video" if subtype in ("mp4", "webm", "x-msvideo", "mp2t", "octet-stream") else None


def _subtype(head: bytes) -> str:
    return next((name for pattern, name in _MIME if re.match(pattern, head, re.DOTALL)), "octet-stream")


def _text_of(draft: Path) -> str | None:
    """The file's content where it is UTF-8 text of a bearable length."""
    from multimodal.errors import MediaTooLarge

    with draft.open("rb") as file:
        data = file.read(MOST_TEXT_BYTES + 1)
    try:
        text = data[:MOST_TEXT_BYTES].decode("utf-8", "strict" if len(data) <= MOST_TEXT_BYTES else "ignore")
    except UnicodeDecodeError:
        return None
    if "\0" in text or not text.strip():
        return None
    if len(data) > MOST_TEXT_BYTES:
        raise MediaTooLarge(f"a text file may have {MOST_TEXT_BYTES:,} bytes: shorten it")
    return text

"""The user's words: what was spoken in a turn, written down for the client and the history.

Where a router had to know the words before it could answer, they come with the answer; otherwise the model writes them
down beside it, once the answer's first sound is out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from app.history.records import HistoryError
from app.realtime.items import Item, Tell
from app.realtime.keeping import Keeping
from multimodal.checkpoint import Checkpoint
from streaming.transcription import transcribe

log = logging.getLogger(__name__)

AFTER_SEC = 2.0  # where no answer's first sound comes before
KIND = "conversation.item.input_audio_transcription"


class Words:
    """Of one session, on its event loop. wanted: whether the client asked for them; history gets them anyway where they
    are known. closed: the session is over."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        keeping: Keeping,
        tell: Tell,
        wanted: Callable[[], bool],
        closed: Callable[[], bool],
        watch: Callable[[Any], None],
    ) -> None:
        self._checkpoint = checkpoint
        self._keeping = keeping
        self._tell = tell
        self._wanted = wanted
        self._closed = closed
        self._watch = watch
        self._waiting: dict[str, Item] = {}
        self._promised: set[str] = set()

    def of(self, item: Item) -> None:
        """A turn was spoken."""
        if self._wanted():
            self._waiting[item.id] = item
            asyncio.get_running_loop().call_later(AFTER_SEC, self.go_on)

    def promise(self, item: Item) -> None:
        """They will come with the answer, unless that ends before."""
        self._promised.add(item.id)

    def release(self, item: Item) -> None:
        self._promised.discard(item.id)

    async def came(self, item: Item, text: str) -> None:
        self.release(item)
        self._waiting.pop(item.id, None)
        if self._wanted() and text:
            self._tell(f"{KIND}.delta", item_id=item.id, content_index=0, delta=text)
        await self._keep(item, text)

    def go_on(self) -> None:
        """Now there is time to write down."""
        for name in [name for name in self._waiting if name not in self._promised]:
            item = self._waiting.pop(name)
            if not self._closed():
                self._watch(self._write_down(item))

    async def _write_down(self, item: Item) -> None:
        clip, at = item.clip, {"item_id": item.id, "content_index": 0}
        if clip is None:
            return
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | Exception | None] = asyncio.Queue()

        def work() -> None:
            end: Exception | None = None
            try:
                for piece in transcribe(self._checkpoint, clip, lambda: not self._closed()):
                    loop.call_soon_threadsafe(pieces.put_nowait, piece)
            except Exception as error:
                end = error
            loop.call_soon_threadsafe(pieces.put_nowait, end)

        running = asyncio.ensure_future(asyncio.to_thread(work))
        text = ""
        while isinstance(piece := await pieces.get(), str):
            text += piece
            self._tell(f"{KIND}.delta", delta=piece, **at)
        await running
        if piece is not None:
            log.warning("a turn could not be written down: %s", piece)
            error = {"type": "server_error", "code": "transcription_failed", "message": str(piece)[:300]}
            self._tell(f"{KIND}.failed", error=error, **at)
            return
        await self._keep(item, text.strip())

    async def _keep(self, item: Item, text: str) -> None:
        item.view["content"][0]["transcript"] = text
        turn = item.turn
        if turn is not None:
            with contextlib.suppress(HistoryError):
                await asyncio.to_thread(lambda: self._keeping.turns.transcribed(turn, text))
        if self._wanted():
            usage = {"type": "duration", "seconds": round(item.clip.duration_sec, 2) if item.clip else 0.0}
            self._tell(f"{KIND}.completed", transcript=text, usage=usage, item_id=item.id, content_index=0)

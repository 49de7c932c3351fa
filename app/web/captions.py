"""What was said in the sounds of a question, written down by the model once nobody waits for an answer any more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from app.history.records import HistoryError, Turn
from app.history.store import History
from app.web.engine import Busy, Engine, EngineUnavailable
from app.web.live import Tabs
from app.web.uploads import Uploads

if TYPE_CHECKING:  # imports torch, which the first page must not wait for
    from app.assistant import Assistant
    from multimodal.media import AudioClip
    from streaming.transcription import Transcribed

log = logging.getLogger(__name__)

MOST_SEC = 120.0
"""A longer sound keeps its name instead of its words."""
MOST_TRIES = 5
"""How often writing down begins anew after somebody asked meanwhile."""
SURE = 0.7
"""From which sureness on they are words, and not what a model makes of music or noise."""
SILENT = 1e-3
"""A sound that nowhere reaches this share of the full scale says nothing, however sure the model is."""


class Captions:
    """Made and used in one event loop; the model works in threads."""

    def __init__(self, history: History, engine: Engine, uploads: Uploads, tabs: Tabs) -> None:
        self._history = history
        self._engine = engine
        self._uploads = uploads
        self._tabs = tabs
        self._writing: set[asyncio.Task[None]] = set()
        self._closing = False

    def of(self, turn: Turn) -> None:
        """A question was answered: write down its sounds where they are not yet."""
        if self._closing or turn.transcript is not None or not turn.sounds:
            return
        task = asyncio.create_task(self._write(turn))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def know(self, turn: Turn, written: Transcribed) -> Turn:
        """The words of its one sound are known already. The turn with them. In a thread."""
        return self._keep(turn, _caption(written))

    def _keep(self, turn: Turn, text: str) -> Turn:
        with contextlib.suppress(HistoryError):  # the conversation was deleted meanwhile
            self._history.update_turn(turn.id, transcript=text)
        return replace(turn, transcript=text)

    def show(self, turn: Turn) -> None:
        message = {"type": "changed", "conversation": turn.conversation, "by": None}
        self._tabs.tell_watchers(turn.conversation, message)
        self._tabs.tell_all({"type": "conversations"})  # it may be called after what was said

    async def close(self) -> None:
        self._closing = True
        if self._writing:
            await asyncio.wait(self._writing)

    async def _write(self, turn: Turn) -> None:
        text = None
        for _ in range(MOST_TRIES):
            try:
                async with self._engine.queue.turn():
                    assistant = await self._engine.assistant()
                    text = await asyncio.to_thread(self._words, turn, assistant)
            except (Busy, EngineUnavailable):
                return
            except Exception:
                log.exception("the sounds of a question could not be written down")
                return
            if text is not None or self._closing:
                break
        if text is not None:
            await asyncio.to_thread(self._keep, turn, text)
            self.show(turn)

    def _words(self, turn: Turn, assistant: Assistant) -> str | None:
        """A line for each sound, empty where nothing is sure; None where somebody else waits for the model."""
        from streaming.transcription import write_down

        lines = []
        for part in turn.sounds:
            clip = cast("AudioClip", self._uploads.decoded(part))
            if clip.duration_sec > MOST_SEC or abs(clip.samples).max(initial=0.0) < SILENT:
                lines.append("")
                continue
            written = write_down(assistant.checkpoint, clip, self._wanted)
            if written is None:
                return None
            lines.append(_caption(written))
        return "\n".join(lines)

    def _wanted(self) -> bool:
        return not self._closing and not self._engine.queue.waiting


def _caption(written: Transcribed) -> str:
    """One line, empty where the model was not sure."""
    return " ".join(written.text.split()) if written.sureness >= SURE else ""

"""Replies: a question from the page or a call → the model → the history, and everyone who watches.

Each reply is a turn with status "answering" from the moment the question is kept until its one terminal state. It
is made to its end whether or not a tab is watching.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from app.history.records import HistoryError, Medium, Part, TextPart, Turn
from app.history.spoken import pcm16_wav
from app.history.store import History
from app.web import inspection, settings
from app.web.captions import Captions
from app.web.engine import Busy, Engine, EngineUnavailable
from app.web.live import Message, Tabs
from app.web.markdown import Clip, render
from app.web.memory import Memory
from app.web.uploads import Uploads
from app.web.views import clip_before, turn_view

if TYPE_CHECKING:  # imports torch, which the first page must not wait for
    from app.assistant import Assistant
    from app.web.told import Told
    from streaming.events import ResponseDone, SpeechChunk
    from streaming.session import Conversation

log = logging.getLogger(__name__)

SHOW_SEC = 0.12  # how often the growing text is drawn anew
KEEP_SEC = 1.0  # how often it is written to the history


class Answering(Exception):
    """The conversation's last reply is still being made."""


class Closing(Exception):
    """Tandem is being shut down."""


@dataclass(eq=False)
class Reply:
    """One reply while it is made. path: the turns that lead to it. tab: the page that plays its speech."""

    turn: Turn
    asked: Turn
    tab: str | None
    path: list[Turn]
    text: str = ""
    stop: bool = False
    conversation: Conversation | None = None
    asked_at: float = field(default_factory=time.monotonic)
    begun_at: float = 0.0
    layout: dict[str, Any] = field(default_factory=dict)
    pcm: list[bytes] = field(default_factory=list)
    rate_hz: int = 0
    task: asyncio.Task[None] | None = None

    @property
    def clip(self) -> Clip | None:
        return clip_before(self.path)

    def shown(self) -> Turn:
        """The turn with what has been written so far."""
        return replace(self.turn, parts=(TextPart(self.text),))

    def cancel(self) -> None:
        self.stop = True
        if self.conversation is not None:
            self.conversation.cancel()


class Replies:
    """Makes them, one at a time per conversation. Made and used in one event loop; the model works in threads."""

    def __init__(self, history: History, engine: Engine, uploads: Uploads, tabs: Tabs) -> None:
        self._history = history
        self._engine = engine
        self._tabs = tabs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._by_conversation: dict[str, Reply] = {}
        self.memory = Memory(uploads)
        self._captions = Captions(history, engine, uploads, tabs)
        self._held: set[str] = set()  # conversations that a call is going on in
        self.closing = False
        engine.on_unload = self.memory.forget

    async def ask(self, conversation: str, parts: Sequence[Part], parent: str | None, tab: str | None) -> Turn:
        """Keep a question and begin to answer it; returns the reply's turn. When this returns, both are on disk."""
        self._check(conversation)
        self._by_conversation[conversation] = placeholder = _reserved()
        try:
            asked = await asyncio.to_thread(self._history.add_turn, conversation, "user", parts, parent)
            return await self._begin(asked, tab)
        finally:
            if self._by_conversation.get(conversation) is placeholder:
                del self._by_conversation[conversation]

    async def again(self, turn: Turn, tab: str | None) -> Turn:
        """Another reply to the question that `turn` (a reply, or a question) belongs to."""
        self._check(turn.conversation)
        self._by_conversation[turn.conversation] = placeholder = _reserved()
        try:
            asked = turn
            if turn.role == "assistant":
                assert turn.parent is not None, "a reply follows a question"
                asked = await asyncio.to_thread(self._history.turn, turn.parent)
            return await self._begin(asked, tab)
        finally:
            if self._by_conversation.get(turn.conversation) is placeholder:
                del self._by_conversation[turn.conversation]

    def current(self, conversation: str) -> Reply | None:
        """The reply that is being made."""
        return self._by_conversation.get(conversation)

    def cancel(self, turn: str) -> None:
        for reply in self._by_conversation.values():
            if reply.turn.id == turn:
                reply.cancel()

    async def drain(self, patience_sec: float) -> None:
        """Let what is being answered finish, for a while; then stop it, keeping what was written."""
        self.closing = True
        running = [reply for reply in self._by_conversation.values() if reply.task]
        tasks = [reply.task for reply in running if reply.task]
        if tasks:
            await asyncio.wait(tasks, timeout=patience_sec)
            for reply in running:
                reply.cancel()
            await asyncio.wait(tasks)
        await self._captions.close()

    # --- for calls ---------------------------------------------------------------------------------------

    def hold(self, conversation: str) -> None:
        """A call begins in that conversation: nobody else asks in it until `release`. Raises Answering."""
        if conversation in self._held:
            raise Answering("a call is going on in this conversation already")
        if conversation in self._by_conversation:
            raise Answering("the last answer is still being made: wait for it, or stop it")
        if self.closing:
            raise Answering("Tandem is being closed: call again after it has started")
        self._held.add(conversation)

    def release(self, conversation: str) -> None:
        self._held.discard(conversation)

    def _check(self, conversation: str) -> None:
        if self.closing:
            raise Closing("Tandem is being closed: ask again after it has started")
        if conversation in self._held:
            raise Answering("a call is going on in this conversation: write in the call, or end it first")
        if conversation in self._by_conversation:
            raise Answering("the last answer is still being made: wait for it, or stop it")
        if self._engine.state.phase == "failed":
            raise EngineUnavailable(self._engine.state.problem or "the model could not be loaded")
        self._engine.queue.check()

    async def _begin(self, asked: Turn, tab: str | None) -> Turn:
        def start() -> tuple[Turn, list[Turn]]:
            kept = [TextPart("")]
            turn = self._history.add_turn(asked.conversation, "assistant", kept, asked.id, "answering")
            return turn, self._history.path(asked.conversation, asked.id)

        self._loop = asyncio.get_running_loop()
        turn, path = await asyncio.to_thread(start)
        reply = Reply(turn, asked, tab, path)
        self._by_conversation[asked.conversation] = reply
        reply.task = asyncio.create_task(self._make(reply))
        return turn

    async def _make(self, reply: Reply) -> None:
        fields: dict[str, Any]
        try:
            if self._engine.queue.waiting or self._engine.state.phase == "loading":
                self._tell(reply, {"type": "waiting", "turn": reply.turn.id, "ahead": self._engine.queue.waiting})
            async with self._engine.queue.turn():
                assistant = await self._engine.assistant()
                fields = await asyncio.to_thread(self._answer, reply, assistant)
        except (EngineUnavailable, Busy) as error:
            fields = {"status": "failed", "error": str(error)}
        except Exception as error:
            fields = {"status": "failed", "error": self._explain(error)}
        turn = await asyncio.to_thread(self._keep, reply, fields)
        del self._by_conversation[reply.turn.conversation]
        if reply.pcm:
            self._tabs.tell(reply.tab, {"type": "speech_end", "turn": turn.id})
        try:
            every = await asyncio.to_thread(self._history.turns, turn.conversation)
        except HistoryError:  # the conversation was deleted meanwhile
            return
        self._tell(reply, {"type": "turn", "turn": turn_view(turn, reply.path, every)})
        self._tabs.tell_all({"type": "conversations"})
        self._captions.of(reply.asked)

    def _keep(self, reply: Reply, fields: dict[str, Any]) -> Turn:
        """Write down how it ended; where the disk refuses, the page is told at least."""
        try:
            if reply.pcm:
                fields["speech"] = self._speech(reply)
            return self._history.update_turn(reply.turn.id, text=reply.text, **fields)
        except HistoryError as error:
            log.warning("a reply could not be kept: %s", error)
            return replace(reply.turn, parts=(TextPart(reply.text),), status="failed", error=str(error))

    def _speech(self, reply: Reply) -> Medium:
        pcm = b"".join(reply.pcm)
        data = pcm16_wav(pcm, reply.rate_hz)
        digest = self._history.media.add(data)
        seconds = len(pcm) / 2 / reply.rate_hz
        return self._history.keep(Medium(digest, "audio", "audio/wav", len(data), duration_sec=seconds))

    # --- in a thread of its own ------------------------------------------------------------------------

    def _answer(self, reply: Reply, assistant: Assistant) -> dict[str, Any]:
        """Make the reply; returns what is to be kept of it."""
        from app.backend_answer import MOST_HISTORY
        from app.told import Reasoning, Tool
        from app.web.places import placed
        from app.web.told import Told
        from streaming.events import ResponseDone, SpeechChunk, TextDelta
        from streaming.transcription import Transcribed

        if reply.stop:
            return {"status": "cancelled"}
        reply.begun_at = time.monotonic()
        chosen = settings.load(self._history)
        options = assistant.options
        voice = chosen.voice if chosen.voice in assistant.checkpoint.voices else options.voice
        options = replace(options, voice=voice, speech=options.speech and chosen.speech)
        conversation = self.memory.recall(reply.path[:-1], assistant)
        said = self.memory.question(reply.asked)
        before = len(conversation.spans)
        conversation.append(said)
        reply.layout = inspection.of_turn(conversation, before)
        reply.conversation = conversation
        shown, kept = 0.0, time.monotonic()  # the first words are shown at once
        done: ResponseDone | None = None
        told = Told()
        earlier = [self.memory.shown(turn) for turn in reply.path[:-1][-MOST_HISTORY:]]
        choice = chosen.choice(assistant.config.backend)
        for event in assistant.answering.respond(conversation, options, choice, earlier):
            if reply.stop:
                conversation.cancel()
            if isinstance(event, Reasoning) and event.replaced:
                reply.text = ""
                self._show(reply)
            if told.take(event):
                # A program is shown before it is run, which may take a while.
                if told.reasoning and (isinstance(event, Tool) or time.monotonic() - shown >= SHOW_SEC):
                    self._show_reasoning(reply, told)
                    shown = time.monotonic()
            elif isinstance(event, TextDelta):
                if told.reasoning and not reply.text:
                    self._show_reasoning(reply, told)
                reply.text += event.text
                now = time.monotonic()
                if now - shown >= SHOW_SEC:
                    self._show(reply)
                    # Drawing a long text takes longer: never more than a fifth of the time goes into it.
                    shown = time.monotonic() + 4 * (time.monotonic() - now)
                if now - kept >= KEEP_SEC:
                    kept = now
                    self._history.update_turn(reply.turn.id, text=reply.text)
            elif isinstance(event, SpeechChunk):
                self._play(reply, event)
            elif isinstance(event, Transcribed):
                reply.asked = self._captions.know(reply.asked, event)
                self._loop_soon(self._captions.show, reply.asked)
            elif isinstance(event, ResponseDone):
                done = event
        assert done is not None, "every response ends in one terminal event"
        reply.text = done.text
        sight = assistant.answering.sight(told.routes[-1].backend, assistant.checkpoint)
        return (
            self._outcome(reply, conversation, assistant, done) | placed(reply.path, done.text, sight) | told.fields()
        )

    def _outcome(
        self, reply: Reply, conversation: Conversation, assistant: Assistant, done: ResponseDone
    ) -> dict[str, Any]:
        last = conversation.turns[-1]
        if last.role == "assistant":  # else the reply never became part of the conversation
            self.memory.keep(reply.turn.id, conversation, assistant)
        return {
            "status": done.status,
            "error": done.error,
            "ids": list(last.ids or ()) if last.role == "assistant" else None,
            "vocabulary": self.memory.vocabulary,
            "model": assistant.checkpoint.name,
            "usage": vars(done.usage),
            "timings_ms": {
                "first_text": done.first_text_ms,
                "first_audio": done.first_audio_ms,
                "total": done.total_ms,
            },
            "inspection": {
                "layout": reply.layout,
                "marks_ms": _marks_ms(reply, done),
                "memory_mib": inspection.memory(conversation),
            },
        }

    def _show_reasoning(self, reply: Reply, told: Told) -> None:
        html = render(told.reasoning)
        self._soon(reply, {"type": "reasoning", "turn": reply.turn.id, "html": html, "ms": None})

    def _show(self, reply: Reply) -> None:
        html = render(reply.text, reply.clip)
        self._soon(reply, {"type": "text", "turn": reply.turn.id, "html": html})

    def _play(self, reply: Reply, chunk: SpeechChunk) -> None:
        pcm = np.round(np.clip(chunk.samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
        if not reply.pcm:
            reply.rate_hz = chunk.rate_hz
            self._soon(reply, {"type": "speech", "turn": reply.turn.id, "rate_hz": chunk.rate_hz}, reply.tab)
        reply.pcm.append(pcm)
        self._soon(reply, pcm, reply.tab)

    def _soon(self, reply: Reply, message: Message, tab: str | None = None) -> None:
        """Tell the page from this thread: the tab that asked, or all that watch."""
        if isinstance(message, bytes) or message["type"] == "speech":
            self._loop_soon(self._tabs.tell, tab, message)
        else:
            self._loop_soon(self._tell, reply, message)

    def _loop_soon(self, act: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(act, *arguments)

    def _tell(self, reply: Reply, message: Message) -> None:
        self._tabs.tell_watchers(reply.turn.conversation, message)

    @staticmethod
    def _explain(error: Exception) -> str:
        from multimodal.errors import TandemError

        if isinstance(error, TandemError | HistoryError):
            return str(error)
        log.exception("a reply failed", exc_info=error)
        return f"the answer failed ({type(error).__name__}): the log has the details; the conversation can go on"


def _marks_ms(reply: Reply, done: ResponseDone) -> dict[str, float]:
    """When what happened, from the moment the question was asked."""
    total = (time.monotonic() - reply.asked_at) * 1000
    in_session = {name: total - done.total_ms + ms for name, ms in done.marks_ms.items()}
    marks = {"asked": 0.0, "begun": (reply.begun_at - reply.asked_at) * 1000, **in_session, "done": total}
    return {name: round(ms, 1) for name, ms in marks.items()}


def _reserved() -> Reply:
    """Holds a conversation's place while its question is written to the disk."""
    turn = Turn("", "", None, "assistant", "answering", (), 0)
    return Reply(turn, turn, None, [])

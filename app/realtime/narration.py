"""What a call does, told to the client and kept in the history, in its order: a client hears of a turn when the turn is
on the disk.

    Call (on its line) ── hear ──→ follow (on the event loop) ──→ history, then tell ──→ client
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from app.assistant import Assistant
from app.history.records import HistoryError
from app.realtime.items import Item, Items, Tell, message
from app.realtime.keeping import Keeping
from app.realtime.protocol import ClientError, new_id
from app.realtime.response import Response
from app.realtime.words import Words
from app.web import inspection
from app.web.places import placed
from multimodal.media import AudioClip
from streaming.call_events import (
    CallEvent,
    Interrupted,
    Played,
    ReplyEvent,
    ReplyStarted,
    TurnCommitted,
    TurnStarted,
    TurnStopped,
    TurnTiming,
)
from streaming.events import ResponseDone, SpeechChunk, TextDelta
from streaming.session import Conversation
from streaming.transcription import Transcribed
from streaming.turn import RATE_HZ as HEARING_HZ

log = logging.getLogger(__name__)


class Narration:
    """Of one session. error: tells the client of what it or we did wrong. conversation: the call's, now. listens:
    whether the words of a spoken turn come with its answer. metadata: the client's own, for the next response that it
    asks for."""

    def __init__(
        self,
        assistant: Assistant,
        keeping: Keeping,
        items: Items,
        words: Words,
        tell: Tell,
        error: Callable[[ClientError], None],
        conversation: Callable[[], Conversation],
        listens: Callable[[], bool],
    ) -> None:
        self.metadata: dict[str, str] | None = None
        self._assistant = assistant
        self._keeping = keeping
        self._items = items
        self._words = words
        self._tell = tell
        self._error = error
        self._conversation = conversation
        self._listens = listens
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[CallEvent, tuple[int, ...]] | None] = asyncio.Queue()
        self._turn_names: dict[int, str] = {}
        self._spoken: Item | None = None
        self._answered: dict[int, Item] = {}  # number of a reply → the spoken turn before it
        self._responses: dict[int, Response] = {}
        self._cancelled: set[int] = set()
        self._inspections: dict[int, dict[str, object]] = {}

    def number_of(self, response: str) -> int | None:
        """The call's number of a reply, None where there is no such response."""
        return next((number for number, one in self._responses.items() if one.id == response), None)

    def cancelled(self, number: int) -> None:
        """The client has cancelled that reply."""
        self._cancelled.add(number)

    def hear(self, event: CallEvent) -> None:
        """What the call tells; on its line."""
        ids: tuple[int, ...] = ()
        if isinstance(event, Interrupted) or (isinstance(event, ReplyEvent) and isinstance(event.event, ResponseDone)):
            conversation = self._conversation()
            turns = conversation.turns
            ids = turns[-1].ids or () if turns and turns[-1].role == "assistant" else ()
            if isinstance(event, ReplyEvent):
                self._inspections[event.reply] = inspection.of_exchange(conversation)
        with contextlib.suppress(RuntimeError):  # the loop is gone
            self._loop.call_soon_threadsafe(self._events.put_nowait, (event, ids))

    def end(self) -> None:
        """Nothing more comes after what was heard."""
        self._events.put_nowait(None)

    async def follow(self) -> None:
        """Tell until the `end`."""
        while (found := await self._events.get()) is not None:
            event, ids = found
            try:
                await self._take(event, ids)
            except HistoryError as error:
                self._error(ClientError(str(error), "not_kept"))
            except Exception:
                log.exception("an event of a call could not be told")
                self._error(ClientError("something failed here; the log has the details", "server_error"))

    async def _take(self, event: CallEvent, ids: tuple[int, ...]) -> None:
        if isinstance(event, TurnStarted):
            self._turn_names[event.turn] = name = new_id("item")
            if event.detected:
                start_ms = round(event.at * 1000 / HEARING_HZ)
                self._tell("input_audio_buffer.speech_started", audio_start_ms=max(0, start_ms), item_id=name)
        elif isinstance(event, TurnStopped):
            if event.detected:
                end_ms = round(event.at * 1000 / HEARING_HZ)
                name = self._turn_names[event.turn]
                self._tell("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=name)
        elif isinstance(event, TurnCommitted):
            await self._take_turn(event)
        elif isinstance(event, ReplyStarted):
            await self._take_started(event)
        elif isinstance(event, ReplyEvent):
            await self._take_reply(self._responses[event.reply], event, ids)
        elif isinstance(event, TurnTiming):
            self._responses[event.reply].timed(event)
            self._words.go_on()
        elif isinstance(event, Interrupted):
            await self._take_cut(self._responses[event.reply], event, ids)
        else:
            assert isinstance(event, Played)
            response = self._responses[event.reply]
            turn, played_ms = response.item.turn, response.spoken_ms
            if played_ms and turn is not None:
                await asyncio.to_thread(lambda: self._keeping.turns.played(turn, played_ms))

    async def _take_turn(self, event: TurnCommitted) -> None:
        name = self._turn_names.pop(event.turn)
        shown = [(at_sec, picture.pixels) for at_sec, picture in event.shown]
        content = [{"type": "input_audio", "transcript": None}, *({"type": "input_image"} for _ in shown)]
        item = Item(message(name, "user", content), clip=AudioClip(event.samples, HEARING_HZ))
        item.turn = await asyncio.to_thread(lambda: self._keeping.turns.heard(event.samples, HEARING_HZ, shown))
        self._tell("input_audio_buffer.committed", item_id=name, previous_item_id=self._items.last)
        self._items.add(item)
        self._items.done(item)
        if event.sight.received or event.shown:
            self._tell("tandem.turn.pictures", item_id=name, **vars(event.sight))
        self._spoken = item
        self._words.of(item)

    async def _take_started(self, event: ReplyStarted) -> None:
        kept = await asyncio.to_thread(lambda: self._keeping.turns.answering())
        item = Item(message(new_id("item"), "assistant", [], "in_progress"), kept, event.reply)
        metadata = None
        if event.turn is None:
            metadata, self.metadata = self.metadata, None
        speaks = event.options.speech and self._assistant.checkpoint.token2wav is not None
        response = Response(self._tell, item, event.options, speaks, lambda: self._keeping.conversation, metadata)
        self._responses[event.reply] = response
        if self._spoken is not None:
            self._answered[event.reply] = self._spoken
            if self._listens():
                self._words.promise(self._spoken)
        response.begin(self._items)

    async def _take_reply(self, response: Response, event: ReplyEvent, ids: tuple[int, ...]) -> None:
        told = event.event
        if isinstance(told, TextDelta):
            self._keeping.turns.wrote(told.text)
            response.wrote(told.text)
        elif isinstance(told, SpeechChunk):
            self._keeping.turns.said(told.samples, told.rate_hz)
            response.said(told.samples, told.rate_hz)
        elif isinstance(told, ResponseDone):
            await self._take_done(response, told, ids, event.reply)
        elif isinstance(told.event, Transcribed):
            await self._words.came(self._answered[event.reply], told.event.text)
        else:
            response.take(told.event)

    async def _take_done(self, response: Response, done: ResponseDone, ids: tuple[int, ...], number: int) -> None:
        response.written(done)
        timings = {"first_text": done.first_text_ms, "first_audio": done.first_audio_ms, "total": done.total_ms}
        fields = {**self._keeping.authored(ids), "timings_ms": {**timings, **response.timings_ms}}
        fields["inspection"] = self._inspections.pop(number, {})
        if response.told.routes:
            fields |= response.told.fields()
        shown = replace(done, text=response.whole(done.text))
        sight = self._assistant.answering.sight(response.answered_by, self._assistant.checkpoint)

        def keep() -> None:
            places = placed(self._keeping.before(), shown.text, sight) if "[" in shown.text or "<" in shown.text else {}
            self._keeping.turns.done(shown, **fields, **places)

        await asyncio.to_thread(keep)
        response.end(self._items, done, number in self._cancelled)
        if number in self._answered:
            self._words.release(self._answered.pop(number))
        self._words.go_on()

    async def _take_cut(self, response: Response, event: Interrupted, ids: tuple[int, ...]) -> None:
        turn = response.item.turn
        assert turn is not None
        heard = response.shown(event.text, self._assistant.answering.notice)
        await asyncio.to_thread(lambda: self._keeping.turns.interrupted(turn, heard, event.played_ms, ids))
        response.cut(event.text, event.played_ms)

"""One session: the client's events → a call → the client's events, and the history.

    client ── receive ──→ Call (on its line) ── events ──→ _follow ──→ history, then send ──→ client

A session lives on the event loop; its call on a line of its own. What the call tells is followed in order, so that a
client hears of a turn when the turn is on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import soxr

from app.assistant import Assistant
from app.history.records import HistoryError
from app.history.records import Turn as KeptTurn
from app.realtime.items import Item, Items, message, read_item
from app.realtime.keeping import Keeping
from app.realtime.protocol import ClientError, event_id_of, new_id, parse, pcm_of, picture_bytes
from app.realtime.response import Response
from app.realtime.routing import Routing
from app.realtime.settings import PAUSE_MS, RATE_HZ, SessionSettings, token_limit, voice_of
from app.realtime.words import Words
from app.web import inspection
from app.web.replies import Replies
from multimodal.errors import TandemError
from multimodal.media import AudioClip, Picture
from streaming.call import Call, CallSettings
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
from streaming.clock import ThreadLine
from streaming.dialogue import LiveDialogue
from streaming.events import ResponseDone, SpeechChunk, TextDelta
from streaming.session import Conversation, ResponseOptions
from streaming.transcription import Transcribed
from streaming.turn import RATE_HZ as HEARING_HZ
from streaming.turn import SileroDetector, TurnDetector, TurnSettings

log = logging.getLogger(__name__)

MOST_BUFFERED_SEC = 60.0


class Session:
    """send: gives the client an event, never waits. id: also lets a lost client come back. seed: of all replies, in
    place of the assistant's. choice: who shall answer, the configured choice if None. before: the turns of the history
    that `conversation` holds."""

    def __init__(
        self,
        assistant: Assistant,
        replies: Replies,
        keeping: Keeping,
        conversation: Conversation,
        send: Callable[[dict[str, Any]], None],
        decode: Callable[[bytes], Picture],
        settings: SessionSettings = SessionSettings(),
        session_id: str | None = None,
        seed: int | None = None,
        choice: Callable[[], str] | None = None,
        before: Sequence[KeptTurn] = (),
    ) -> None:
        self.id = session_id or new_id("sess")
        self.settings = settings
        self._seed = seed
        self.keeping = keeping
        self.replies = replies
        self._assistant = assistant
        self._conversation = conversation
        self._send = send
        self._decode = decode
        self._loop = asyncio.get_running_loop()
        self._line = ThreadLine()
        self._events: asyncio.Queue[tuple[CallEvent, tuple[int, ...]] | None] = asyncio.Queue()
        self._items = Items(self.tell)
        self._turn_names: dict[int, str] = {}
        self._spoken: Item | None = None
        self._answered: dict[int, Item] = {}  # number of a reply → the spoken turn before it
        self._responses: dict[int, Response] = {}
        self._asked: dict[str, Any] = {}
        self._cancels: set[int] = set()
        self._inspections: dict[int, dict[str, Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._resampler = soxr.ResampleStream(RATE_HZ, HEARING_HZ, 1, dtype="float32")
        self._numbers = 0
        self._created = time.time()
        self.closed = False
        checkpoint, token2wav = assistant.checkpoint, assistant.checkpoint.token2wav
        self._words = Words(
            checkpoint,
            keeping,
            self.tell,
            lambda: self.settings.transcription is not None,
            lambda: self.closed,
            self._watch,
        )
        self._routing = Routing(assistant.answering, checkpoint, choice or (lambda: assistant.config.backend))
        self._know(conversation, before)
        self._call = Call(
            self._dialogue(),
            self._detector(),
            self._line,
            self._hear_call,
            self._options(),
            self._call_settings(),
            token2wav.rate_hz if token2wav is not None else None,
        )
        self._following = self._loop.create_task(self._follow())

    # --- to the client ----------------------------------------------------------------------------------

    def tell(self, kind: str, **fields: Any) -> None:
        self._numbers += 1
        self._send({"type": kind, "event_id": f"event_{self._numbers:08d}", **fields})

    def error(self, problem: ClientError, event_id: str | None = None) -> None:
        event = problem.event(event_id)
        self.tell("error", error=event["error"])

    def view(self) -> dict[str, Any]:
        checkpoint = self._assistant.checkpoint
        view = self.settings.view()
        if view["audio"]["output"]["voice"] is None:
            view["audio"]["output"]["voice"] = next(iter(checkpoint.voices), None)
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": self.id,
            "model": checkpoint.name,
            "expires_at": int(self._created) + 3600,
            **view,
            "tandem": {"conversation": self.keeping.conversation, "voices": list(checkpoint.voices)},
        }

    def greet(self) -> None:
        self.tell("session.created", session=self.view())

    # --- from the client --------------------------------------------------------------------------------

    async def receive(self, text: str) -> None:
        """One message of the client. Never raises for what the client did."""
        try:
            event = parse(text)
            await HANDLERS[event["type"]](self, event)
        except ClientError as problem:
            self.error(problem, event_id_of(text))
        except (HistoryError, TandemError) as problem:
            self.error(ClientError(str(problem), "cannot_be_done"), event_id_of(text))

    async def _update(self, event: dict[str, Any]) -> None:
        before = self.settings
        self.settings = before.updated(event["session"], list(self._assistant.checkpoint.voices))
        options, settings, detector = self._options(), self._call_settings(), None
        if self._turn_taking(before) != self._turn_taking(self.settings):
            detector = self._detector()

        def change() -> None:
            self._call.options, self._call.settings = options, settings
            if detector is not None:
                self._call.listen_with(detector)

        self._line.post(change)
        if self.settings.instructions != before.instructions:
            await self._instruct()
        self.tell("session.updated", session=self.view())

    async def _instruct(self) -> None:
        """Another system prompt: the conversation is read again, once."""
        path = await asyncio.to_thread(self.keeping.before)
        system = self.settings.instructions or None

        def change() -> None:
            self._conversation = self.replies.memory.read(path, self._assistant, system)
            self._know(self._conversation, path)
            self._call.replace(self._dialogue())

        self._line.post(lambda: self._call.do(change))

    async def _append(self, event: dict[str, Any]) -> None:
        samples = pcm_of(event["audio"])
        if self.settings.manual and self._call.buffered_sec + len(samples) / RATE_HZ > MOST_BUFFERED_SEC:
            raise ClientError(
                f"a turn may have {MOST_BUFFERED_SEC:.0f} s of sound: commit or clear it", "buffer_full", "audio"
            )
        self._line.post(lambda: self._call.hear(self._resampler.resample_chunk(samples)))

    async def _show(self, event: dict[str, Any]) -> None:
        at_ms = event.get("timestamp_ms")
        if isinstance(at_ms, bool) or not isinstance(at_ms, int | float) or not 0 <= at_ms < 1e10:
            raise ClientError("timestamp_ms is a number of milliseconds", param="timestamp_ms")
        data = picture_bytes(event.get("image"))
        try:
            picture = await asyncio.to_thread(self._decode, data)
        except TandemError as error:
            raise ClientError(str(error), "invalid_image", "image") from error
        self._line.post(lambda: self._call.see(picture, at_ms))

    async def _commit(self, event: dict[str, Any]) -> None:
        name = event.get("event_id")

        def commit() -> None:
            if self.settings.manual:
                rest = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
                self._resampler.clear()
                if len(rest) and self._call.buffered_sec:
                    self._call.hear(rest)
            if not self._call.commit():
                problem = ClientError("there is no sound to commit", "input_audio_buffer_commit_empty")
                self._loop.call_soon_threadsafe(self.error, problem, name)

        self._line.post(commit)

    async def _clear(self, event: dict[str, Any]) -> None:
        def clear() -> None:
            self._resampler.clear()
            self._call.clear()
            self._loop.call_soon_threadsafe(self.tell, "input_audio_buffer.cleared")

        self._line.post(clear)

    async def _create_item(self, event: dict[str, Any]) -> None:
        item, turn, parts = await read_item(event, self._items, self._decode)
        if turn.role == "user":
            sound = next((part for part in parts if isinstance(part, AudioClip)), None)
            if sound is not None:
                item.turn = await asyncio.to_thread(lambda: self.keeping.turns.heard(sound.samples, HEARING_HZ))
            else:
                text = "\n".join(part for part in parts if isinstance(part, str))
                pictures = [part.pixels for part in parts if isinstance(part, Picture)]
                item.turn = await asyncio.to_thread(lambda: self.keeping.turns.typed(text, pictures))
        added: asyncio.Future[TandemError | None] = self._loop.create_future()

        def then(error: TandemError | None) -> None:
            self._loop.call_soon_threadsafe(lambda: added.done() or added.set_result(error))

        self._line.post(lambda: self._call.append(turn, then))
        self._items.add(item)
        self._items.done(item)
        self._watch(self._report(added))

    async def _report(self, added: asyncio.Future[TandemError | None]) -> None:
        error = await added
        if error is not None:
            self.error(ClientError(str(error), "cannot_be_done"))

    async def _truncate(self, event: dict[str, Any]) -> None:
        item = self._items.find(event["item_id"])
        if item.reply is None:
            raise ClientError("only what was spoken to the user can be cut", param="item_id")
        if event["audio_end_ms"] < 0:
            raise ClientError("audio_end_ms is a number from 0", param="audio_end_ms")
        number, name = item.reply, event.get("event_id")
        samples = round(event["audio_end_ms"] * self._voice_hz / 1000)
        problem = ClientError("only the newest reply can be cut, and only before the next turn", "cannot_be_done")

        def truncate() -> None:
            if not self._call.truncate(number, samples):
                self._loop.call_soon_threadsafe(self.error, problem, name)

        self._line.post(truncate)

    async def _delete(self, event: dict[str, Any]) -> None:
        item = self._items.find(event["item_id"])
        if item.turn is not None:
            if self._items.being_made(item.turn):
                raise ClientError("the reply is being made: cancel it first", param="item_id")
            await asyncio.to_thread(self.keeping.history.remove_turn, item.turn)
            await self._instruct()
        self._items.delete(item.id)

    async def _retrieve(self, event: dict[str, Any]) -> None:
        self.tell("conversation.item.retrieved", item=self._items.find(event["item_id"]).view)

    async def _respond(self, event: dict[str, Any]) -> None:
        given = event.get("response") or {}
        for name in ("instructions", "input", "tools", "prompt"):
            if given.get(name):
                raise ClientError(f"{name} of a single response is not offered: use the session's", "unsupported", name)
        if given.get("conversation") not in (None, "auto"):
            raise ClientError("responses belong to the conversation here", "unsupported", "conversation")
        options = self._options()
        if given.get("output_modalities"):
            options = replace(options, speech=options.speech and "audio" in given["output_modalities"])
        voice = ((given.get("audio") or {}).get("output") or {}).get("voice")
        if voice is not None:
            options = replace(options, voice=voice_of(voice, list(self._assistant.checkpoint.voices)))
        limit = token_limit(given.get("max_output_tokens"))
        if limit is not None:
            options = replace(options, max_text_tokens=min(limit, options.max_text_tokens))
        name, metadata = event.get("event_id"), given.get("metadata")

        def respond() -> None:
            try:
                self._call.respond(options)
            except TandemError as error:
                problem = ClientError(str(error), "conversation_already_has_active_response")
                self._loop.call_soon_threadsafe(self.error, problem, name)

        self._asked = {"metadata": metadata}
        self._line.post(respond)

    async def _cancel(self, event: dict[str, Any]) -> None:
        name = event.get("event_id")
        wanted = event.get("response_id")
        if wanted is not None and all(one.id != wanted for one in self._responses.values()):
            raise ClientError("there is no such response", param="response_id")
        number = next((n for n, one in self._responses.items() if one.id == wanted), None)

        def cancel() -> None:
            making = self._call.making
            if self._call.cancel(number):
                assert making is not None
                self._loop.call_soon_threadsafe(self._cancels.add, making)
            else:
                problem = ClientError("no response is being made", "response_cancel_not_active")
                self._loop.call_soon_threadsafe(self.error, problem, name)

        self._line.post(cancel)

    async def _played(self, event: dict[str, Any]) -> None:
        item = self._items.find(event.get("item_id"))
        played_ms = event.get("played_ms")
        if item.reply is None or isinstance(played_ms, bool) or not isinstance(played_ms, int | float):
            raise ClientError("item_id names a reply, played_ms is a number", param="played_ms")
        number, samples = item.reply, round(max(0.0, min(played_ms, 1e8)) * self._voice_hz / 1000)
        self._line.post(lambda: self._call.played(number, samples))

    # --- from the call ----------------------------------------------------------------------------------

    def _hear_call(self, event: CallEvent) -> None:
        """On the call's line."""
        ids: tuple[int, ...] = ()
        if isinstance(event, Interrupted) or (isinstance(event, ReplyEvent) and isinstance(event.event, ResponseDone)):
            turns = self._conversation.turns
            ids = turns[-1].ids or () if turns and turns[-1].role == "assistant" else ()
            if isinstance(event, ReplyEvent):
                self._inspections[event.reply] = inspection.of_exchange(self._conversation)
        with contextlib.suppress(RuntimeError):  # the loop is gone
            self._loop.call_soon_threadsafe(self._events.put_nowait, (event, ids))

    async def _follow(self) -> None:
        while (found := await self._events.get()) is not None:
            event, ids = found
            try:
                await self._tell(event, ids)
            except HistoryError as error:
                self.error(ClientError(str(error), "not_kept"))
            except Exception:
                log.exception("an event of a call could not be told")
                self.error(ClientError("something failed here; the log has the details", "server_error"))

    async def _tell(self, event: CallEvent, ids: tuple[int, ...]) -> None:
        if isinstance(event, TurnStarted):
            self._turn_names[event.turn] = name = new_id("item")
            if event.detected:
                start_ms = round(event.at * 1000 / HEARING_HZ)
                self.tell("input_audio_buffer.speech_started", audio_start_ms=max(0, start_ms), item_id=name)
        elif isinstance(event, TurnStopped):
            if event.detected:
                end_ms = round(event.at * 1000 / HEARING_HZ)
                name = self._turn_names[event.turn]
                self.tell("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=name)
        elif isinstance(event, TurnCommitted):
            await self._tell_turn(event)
        elif isinstance(event, ReplyStarted):
            await self._tell_started(event)
        elif isinstance(event, ReplyEvent):
            await self._tell_reply(self._responses[event.reply], event, ids)
        elif isinstance(event, TurnTiming):
            self._responses[event.reply].timed(event)
            self._words.go_on()
        elif isinstance(event, Interrupted):
            await self._tell_cut(self._responses[event.reply], event, ids)
        else:
            assert isinstance(event, Played)
            response = self._responses[event.reply]
            turn, played_ms = response.item.turn, response.spoken_ms
            if played_ms and turn is not None:
                await asyncio.to_thread(lambda: self.keeping.turns.played(turn, played_ms))

    async def _tell_turn(self, event: TurnCommitted) -> None:
        name = self._turn_names.pop(event.turn)
        shown = [(at_sec, picture.pixels) for at_sec, picture in event.shown]
        content = [{"type": "input_audio", "transcript": None}, *({"type": "input_image"} for _ in shown)]
        item = Item(message(name, "user", content), clip=AudioClip(event.samples, HEARING_HZ))
        item.turn = await asyncio.to_thread(lambda: self.keeping.turns.heard(event.samples, HEARING_HZ, shown))
        self.tell("input_audio_buffer.committed", item_id=name, previous_item_id=self._items.last)
        self._items.add(item)
        self._items.done(item)
        if event.sight.received or event.shown:
            self.tell("tandem.turn.pictures", item_id=name, **vars(event.sight))
        self._spoken = item
        self._words.of(item)

    async def _tell_started(self, event: ReplyStarted) -> None:
        kept = await asyncio.to_thread(lambda: self.keeping.turns.answering())
        item = Item(message(new_id("item"), "assistant", [], "in_progress"), kept, event.reply)
        metadata = self._asked.pop("metadata", None) if event.turn is None else None
        speaks = event.options.speech and self._assistant.checkpoint.token2wav is not None
        response = Response(self.tell, item, event.options, speaks, lambda: self.keeping.conversation, metadata)
        self._responses[event.reply] = response
        if self._spoken is not None:
            self._answered[event.reply] = self._spoken
            if self._routing.listens:
                self._words.promise(self._spoken)
        response.begin(self._items)

    async def _tell_reply(self, response: Response, event: ReplyEvent, ids: tuple[int, ...]) -> None:
        told = event.event
        if isinstance(told, TextDelta):
            self.keeping.turns.wrote(told.text)
            response.wrote(told.text)
        elif isinstance(told, SpeechChunk):
            self.keeping.turns.said(told.samples, told.rate_hz)
            response.said(told.samples, told.rate_hz)
        elif isinstance(told, ResponseDone):
            await self._tell_done(response, told, ids, event.reply)
        elif isinstance(told.event, Transcribed):
            await self._words.came(self._answered[event.reply], told.event.text)
        else:
            response.take(told.event)

    async def _tell_done(self, response: Response, done: ResponseDone, ids: tuple[int, ...], number: int) -> None:
        response.written(done)
        timings = {"first_text": done.first_text_ms, "first_audio": done.first_audio_ms, "total": done.total_ms}
        fields = {**self.keeping.authored(ids), "timings_ms": {**timings, **response.timings_ms}}
        fields["inspection"] = self._inspections.pop(number, {})
        if response.told.routes:
            fields |= response.told.fields()
        shown = replace(done, text=response.whole(done.text))
        await asyncio.to_thread(lambda: self.keeping.turns.done(shown, **fields))
        response.end(self._items, done, number in self._cancels)
        if number in self._answered:
            self._words.release(self._answered.pop(number))
        self._words.go_on()

    async def _tell_cut(self, response: Response, event: Interrupted, ids: tuple[int, ...]) -> None:
        turn = response.item.turn
        assert turn is not None
        heard = response.shown(event.text, self._assistant.answering.notice)
        await asyncio.to_thread(lambda: self.keeping.turns.interrupted(turn, heard, event.played_ms, ids))
        response.cut(event.text, event.played_ms)

    # --- the end -----------------------------------------------------------------------------------------

    async def close(self) -> None:
        """The client is gone: the reply stops, what was heard of it is kept, everything is let go."""
        self.closed = True
        quiet = asyncio.Event()

        def look() -> None:
            if self._call.quiet:
                self._loop.call_soon_threadsafe(quiet.set)
            else:
                self._line.post(look, 0.02)

        self._line.post(self._call.close)
        self._line.post(look)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(quiet.wait(), 10)
        self._events.put_nowait(None)
        await self._following
        await asyncio.to_thread(self._line.close)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.keeping.conversation is not None:
            await asyncio.to_thread(self.keeping.turns.close)
        ends_whole = quiet.is_set() and self._conversation.turns and self._conversation.turns[-1].role == "assistant"
        head = await asyncio.to_thread(lambda: self.keeping.head) if ends_whole else None
        if head is not None and not self.settings.instructions:
            self.replies.memory.keep(head, self._conversation, self._assistant)

    def _dialogue(self) -> LiveDialogue:
        return LiveDialogue(self._conversation, self._line, self._routing)

    def _know(self, conversation: Conversation, path: Sequence[KeptTurn]) -> None:
        """What was said in earlier calls, for whoever reads it."""
        spoken = [turn for turn in conversation.turns if turn.role == "user"]
        for kept, turn in zip([turn for turn in path if turn.role == "user"], spoken):
            if kept.transcript:
                self._routing.know(turn, kept.transcript)

    # --- small things --------------------------------------------------------------------------------------

    @property
    def _voice_hz(self) -> int:
        token2wav = self._assistant.checkpoint.token2wav
        return token2wav.rate_hz if token2wav is not None else RATE_HZ

    @staticmethod
    def _turn_taking(settings: SessionSettings) -> tuple[Any, ...]:
        return settings.manual, settings.threshold, settings.prefix_padding_ms, settings.silence_duration_ms

    def _detector(self) -> TurnDetector:
        settings = self.settings
        return TurnDetector(
            SileroDetector(),
            TurnSettings(
                begin=settings.threshold,
                end=min(settings.threshold, max(0.05, settings.threshold - 0.15)),
                patience_ms=settings.silence_duration_ms,
                before_ms=settings.prefix_padding_ms,
                pause_ms=min(PAUSE_MS, settings.silence_duration_ms),
            ),
        )

    def _call_settings(self) -> CallSettings:
        settings = self.settings
        return CallSettings(
            detection="manual" if settings.manual else "vad",
            answer=settings.create_response,
            interrupt=settings.interrupt_response,
            longest_turn_sec=MOST_BUFFERED_SEC,
        )

    def _options(self) -> ResponseOptions:
        options, settings = self._assistant.options, self.settings
        if self._seed is not None:
            options = replace(options, seed=self._seed)
        limit = min(settings.max_output_tokens or options.max_text_tokens, options.max_text_tokens)
        voice = settings.voice or options.voice
        return replace(options, voice=voice, speech=options.speech and settings.speech, max_text_tokens=limit)

    def _watch(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


HANDLERS: dict[str, Any] = {
    "session.update": Session._update,
    "input_audio_buffer.append": Session._append,
    "input_audio_buffer.commit": Session._commit,
    "input_audio_buffer.clear": Session._clear,
    "input_video_buffer.append": Session._show,
    "conversation.item.create": Session._create_item,
    "conversation.item.truncate": Session._truncate,
    "conversation.item.delete": Session._delete,
    "conversation.item.retrieve": Session._retrieve,
    "response.create": Session._respond,
    "response.cancel": Session._cancel,
    "tandem.playback.update": Session._played,
}

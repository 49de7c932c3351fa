"""One session: the client's events → a call, whose doings `app.realtime.narration` tells back.

    client ── receive ──→ Call (on its line) ── events ──→ Narration ──→ client

A session lives on the event loop; its call on a line of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import soxr

from app.assistant import Assistant
from app.history.records import HistoryError
from app.history.records import Turn as KeptTurn
from app.realtime.items import Items, read_item
from app.realtime.keeping import Keeping
from app.realtime.narration import Narration
from app.realtime.protocol import ClientError, event_id_of, new_id, parse, pcm_of, picture_bytes
from app.realtime.routing import Routing
from app.realtime.settings import LONGEST_TURN_SEC, RATE_HZ, SessionSettings, of_response
from app.realtime.words import Words
from app.web.replies import Replies
from multimodal.errors import TandemError
from multimodal.media import AudioClip, Picture
from streaming.call import Call
from streaming.clock import ThreadLine
from streaming.dialogue import LiveDialogue
from streaming.session import Conversation, ResponseOptions
from streaming.turn import RATE_HZ as HEARING_HZ


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
        self._items = Items(self.tell)
        self._tasks: set[asyncio.Task[None]] = set()
        self._resampler = soxr.ResampleStream(RATE_HZ, HEARING_HZ, 1, dtype="float32")
        self._numbers = 0
        self._created = time.time()
        self.closed = False
        checkpoint, token2wav = assistant.checkpoint, assistant.checkpoint.token2wav
        self._routing = Routing(assistant.answering, checkpoint, choice or (lambda: assistant.config.backend))
        self._narration = Narration(
            assistant,
            keeping,
            self._items,
            Words(
                checkpoint,
                keeping,
                self.tell,
                lambda: self.settings.transcription is not None,
                lambda: self.closed,
                self._watch,
            ),
            self.tell,
            self.error,
            lambda: self._conversation,
            lambda: self._routing.listens,
        )
        self._know(conversation, before)
        self._call = Call(
            self._dialogue(),
            self.settings.detector(),
            self._line,
            self._narration.hear,
            self._options(),
            self.settings.turn_taking(),
            token2wav.rate_hz if token2wav is not None else None,
        )
        self._following = self._loop.create_task(self._narration.follow())

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
        options, settings = self._options(), self.settings.turn_taking()
        detector = self.settings.detector() if self.settings.listens_unlike(before) else None

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
        if self.settings.manual and self._call.buffered_sec + len(samples) / RATE_HZ > LONGEST_TURN_SEC:
            raise ClientError(
                f"a turn may have {LONGEST_TURN_SEC:.0f} s of sound: commit or clear it", "buffer_full", "audio"
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
        options = of_response(given, self._options(), list(self._assistant.checkpoint.voices))
        name, metadata = event.get("event_id"), given.get("metadata")

        def respond() -> None:
            try:
                self._call.respond(options)
            except TandemError as error:
                problem = ClientError(str(error), "conversation_already_has_active_response")
                self._loop.call_soon_threadsafe(self.error, problem, name)

        self._narration.metadata = metadata
        self._line.post(respond)

    async def _cancel(self, event: dict[str, Any]) -> None:
        name = event.get("event_id")
        wanted = event.get("response_id")
        number = self._narration.number_of(wanted) if wanted is not None else None
        if wanted is not None and number is None:
            raise ClientError("there is no such response", param="response_id")

        def cancel() -> None:
            making = self._call.making
            if self._call.cancel(number):
                assert making is not None
                self._loop.call_soon_threadsafe(self._narration.cancelled, making)
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
        self._narration.end()
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

    def _options(self) -> ResponseOptions:
        options = self._assistant.options
        return self.settings.options(options if self._seed is None else replace(options, seed=self._seed))

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

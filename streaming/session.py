"""A conversation: turns in, text and speech out while they are made.

    append(turn) → spans ─┐
                          ├→ Thinker ── rows ──→ Talker ── codes ──→ Token2Wav ──→ SpeechChunk
    respond(options) ─────┘     └→ TextDelta                                        ResponseDone

Each stage runs in its own thread for the length of one response and owns its model's cache meanwhile. Caches
are kept between turns and extended: a turn costs its own tokens, whatever came before.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, overload

import numpy as np
import torch

from multimodal.checkpoint import Checkpoint
from multimodal.errors import ConversationError, TandemError
from multimodal.prompt import Span, TextSpan, Turn
from multimodal.sampler import Constraint, Sampler, Sampling
from multimodal.thinker import Step
from multimodal.tmrope import Cursor
from multimodal.token2wav import SpeechStream, Voice, Windows
from streaming.channel import Channel, Stale
from streaming.detokenizer import Detokenizer
from streaming.events import (
    Aside,
    Code,
    CodesEnd,
    Event,
    ReplyEnd,
    ReplyRow,
    ResponseDone,
    ScriptedEvent,
    SpeechChunk,
    TextDelta,
    Usage,
)
from streaming.interrupt import Generations
from streaming.script import Script

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResponseOptions:
    """How to answer.

    voice: a name of the checkpoint's voices, None for its first. greedy: always the most likely token, in text
    and speech. seed: of text and speech sampling and of Token2Wav's noise; None draws one.
    sampling: of the text, instead of the checkpoint's. constraint: makes what one reply's text must keep to. measure:
    tell how sure the Thinker was of its text. unspoken: of a reply's text so far, and whether that is the whole, how
    many characters at its beginning are not to be spoken, or may prove to be such as more is written.
    whole_speech: make the waveform in one piece at the end, as the reference does, instead of in windows.
    """

    voice: str | None = None
    speech: bool = True
    max_text_tokens: int = 1024
    max_codes: int = 4096
    greedy: bool = False
    seed: int | None = None
    sampling: Sampling | None = None
    constraint: Callable[[], Constraint] | None = None
    measure: bool = False
    unspoken: Callable[[str, bool], int] = lambda text, whole: 0
    whole_speech: bool = False
    windows: Windows = Windows()

    def __post_init__(self) -> None:
        if self.max_text_tokens < 1 or self.max_codes < 1:
            raise ValueError("max_text_tokens and max_codes want numbers from 1")


@dataclass(frozen=True, eq=False)
class RowBlock:
    """Rows [n, D] the Talker has yet to read, at positions [3, n]; the first is row number `start`."""

    start: int
    rows: torch.Tensor
    positions: np.ndarray

    def head(self, end: int) -> RowBlock:
        """The rows before row number `end`."""
        keep = max(0, end - self.start)
        return RowBlock(self.start, self.rows[:keep], self.positions[:, :keep])


@dataclass(frozen=True, eq=False)
class Bookmark:
    """A place in a conversation to come back to: turns, spans and rows before it, what waited to be read, and since
    when somebody waits for an answer."""

    turns: int
    spans: int
    pending: tuple[Span, ...]
    rows: int
    cursor: Cursor
    written: _Written | None
    requested: float | None


@dataclass
class _Reply:
    """One response while it is made. Written by its stages, read by the conversation after they ended.

    held: rows of which it is not known yet whether they are spoken, and where in the text each begins; None when it is.
    """

    generation: int
    started: float
    options: ResponseOptions
    voice: Voice | None
    generators: dict[str, torch.Generator]
    current: Callable[[], bool]
    out: Channel[ScriptedEvent | _StageEnd]
    rows: Channel[ReplyRow | ReplyEnd]
    codes: Channel[Code | CodesEnd]
    script: Script | None = None
    prompt_read: threading.Event = field(default_factory=threading.Event)
    prompt_length: int = 0
    prompt_cursor: Cursor = Cursor()
    prefill_tokens: int = 0
    ids: list[int] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    held: list[tuple[int, ReplyRow]] | None = field(default_factory=list)
    code_count: int = 0
    speech_cut: bool = False
    log_probabilities: list[float] = field(default_factory=list)
    text: str = ""
    status: Literal["completed", "length", "cancelled", "failed"] = "completed"
    error: str | None = None
    marks_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _StageEnd:
    name: str


@dataclass(frozen=True)
class _Written:
    """Where the newest reply stands: its ids, its number among the turns, how many spans, rows and positions lie
    before it, and how many of its ids are in the Thinker's cache."""

    ids: tuple[int, ...]
    turn: int
    spans: int
    rows: int
    cursor: Cursor
    cached: int


class Conversation:
    """Turns of one conversation with one checkpoint. One response at a time; not shared between threads.

    system: the system prompt, None for the checkpoint's own. clock: seconds that never go back.
    """

    def __init__(
        self, checkpoint: Checkpoint, system: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.checkpoint = checkpoint
        self.turns: list[Turn] = []
        self.system = checkpoint.system_prompt if system is None else system
        self._clock = clock
        self._generations = Generations()
        self._answering = False
        self._script: Script | None = None
        self._requested: float | None = None
        self._written: _Written | None = None
        self._spans: list[Span] = list(checkpoint.prompt.turn("system", [self.system]))
        self._reset()

    def _reset(self) -> None:
        """Forget the caches; everything is read again before the next reply."""
        self._thinker = self.checkpoint.thinker.new_memory()
        self._talker = self.checkpoint.talker.new_memory() if self.checkpoint.talker else None
        self._pending: list[Span] = list(self._spans)
        self._blocks: list[RowBlock] = []

    @property
    def generation(self) -> int:
        """Number of the newest response; older events are stale."""
        return self._generations.number

    @property
    def spans(self) -> tuple[Span, ...]:
        """Everything said so far as it is laid out, read or not; positions are `thinker.tmrope.place_all` of it."""
        return tuple(self._spans)

    @property
    def cache_bytes(self) -> int:
        """What the caches of Thinker and Talker hold in memory."""
        return self._thinker.cache.size_bytes + (self._talker.cache.size_bytes if self._talker else 0)

    @property
    def length(self) -> int:
        """Tokens of the conversation so far, read or not."""
        return sum(len(self.checkpoint.thinker.tmrope.ids(span)) for span in self._spans)

    def append(self, turn: Turn) -> None:
        """Add a turn: media are turned into encoder input at once, so a bad one is refused here, and the turn is
        added as a whole or not at all."""
        self._expect_quiet()
        requested = self._clock()
        prompt, thinker = self.checkpoint.prompt, self.checkpoint.thinker
        if turn.ids is not None:
            spans = [*prompt.open_turn(turn.role, []), *prompt.reply(turn.ids)]
        else:
            parts = [part if isinstance(part, str) else thinker.span(part) for part in turn.content]
            spans = prompt.turn(turn.role, parts)
        self._requested = self._requested if self._requested is not None else requested
        self.turns.append(turn)
        self._spans += spans
        self._pending += spans

    def bookmark(self) -> Bookmark:
        """Where the conversation stands now."""
        self._expect_quiet()
        return Bookmark(
            len(self.turns),
            len(self._spans),
            tuple(self._pending),
            self._thinker.length,
            self._thinker.cursor,
            self._written,
            self._requested,
        )

    def rewind(self, bookmark: Bookmark) -> None:
        """Forget everything since `bookmark`, turns and replies too; nothing is computed."""
        self._expect_quiet()
        if self._thinker.length < bookmark.rows:  # a failed reply emptied the caches
            del self.turns[bookmark.turns :]
            self._spans = self._spans[: bookmark.spans]
            self._written = None
            self._reset()
            return
        self.turns = self.turns[: bookmark.turns]
        self._written = bookmark.written
        self._requested = bookmark.requested
        if self._talker is not None:
            self._talker.cache.crop_to(min(self._talker.length, bookmark.rows))
        self._spans = self._spans[: bookmark.spans]
        self._pending = list(bookmark.pending)
        self._thinker.cache.crop_to(bookmark.rows)
        self._thinker.cursor = bookmark.cursor
        self._blocks = [block.head(bookmark.rows) for block in self._blocks if block.start < bookmark.rows]

    def extend(self, spans: list[Span]) -> None:
        """Read more of a turn that is not finished, now, while it is still coming."""
        self._expect_quiet()
        self._spans += spans
        self._pending += spans
        if self._pending:
            self._read([])

    def close_turn(self, turn: Turn, spans: list[Span]) -> None:
        """The turn whose beginning was read by `extend` is complete; `spans` are the rest of it."""
        self._expect_quiet()
        self._requested = self._requested if self._requested is not None else self._clock()
        self.turns.append(turn)
        self._spans += spans
        self._pending += spans

    def truncate(self, text_tokens: int) -> None:
        """Keep only the first `text_tokens` tokens of the newest reply, those that were heard: the caches are
        cropped, nothing is read again, and the model goes on as if it had said no more."""
        self._expect_quiet()
        written = self._written
        if written is None or written.turn != len(self.turns) - 1:
            raise ConversationError("only the newest reply can be cut, and only before the next turn")
        if not 0 <= text_tokens <= len(written.ids):
            raise ConversationError(f"the reply has {len(written.ids)} text tokens: keep a number from 0 to that")
        ids = written.ids[:text_tokens]
        text = self.checkpoint.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        self.turns[-1] = Turn("assistant", (text,), ids=ids)
        end = written.rows + min(text_tokens, written.cached)
        self._thinker.cache.crop_to(end)
        self._blocks = [block.head(end) for block in self._blocks if block.start < end]
        self._settle(replace(written, ids=ids, cached=end - written.rows))

    def fork(self) -> Conversation:
        """An independent conversation that continues from here; caches are copied, not recomputed."""
        self._expect_quiet()
        twin = Conversation(self.checkpoint, self.system, self._clock)
        twin.turns = list(self.turns)
        twin._spans = list(self._spans)
        twin._pending = list(self._pending)
        twin._blocks = list(self._blocks)
        twin._written = self._written
        twin._thinker = self._thinker.fork()
        twin._talker = self._talker.fork() if self._talker else None
        return twin

    def _expect_quiet(self) -> None:
        if self._answering:
            raise ConversationError("a reply is still being made: cancel it and read on to its ResponseDone first")

    def cancel(self) -> None:
        """Stop the response being made, from any thread. What it wrote so far stays in the conversation."""
        self._stop()

    def _stop(self, generation: int | None = None) -> None:
        """Raise the generation (of that response only, if given), and let go of who writes a script."""
        self._generations.interrupt(generation)
        if (script := self._script) is not None:
            script.cancel()

    @overload
    def respond(self, options: ResponseOptions = ...) -> Iterator[Event]: ...

    @overload
    def respond(self, options: ResponseOptions, script: Script) -> Iterator[ScriptedEvent]: ...

    def respond(
        self, options: ResponseOptions = ResponseOptions(), script: Script | None = None
    ) -> Iterator[Event] | Iterator[ScriptedEvent]:
        """Answer. Yields TextDelta and SpeechChunk as they are made and one ResponseDone at the end.

        script: what to say instead of what the Thinker would write; the text of this response is then what was said,
        and what its writer tells comes as Aside. `cancel` counts from now on, and closing the iterator cancels. Raises
        VoiceError before anything is computed, ConversationError while another reply is being made.
        """
        speech = options.speech and self.checkpoint.talker is not None
        voice = self.checkpoint.voice(options.voice) if speech else None
        self._expect_quiet()
        reply = self._begin(options, voice)
        reply.script = self._script = script
        return self._run(reply)

    def _run(self, reply: _Reply) -> Iterator[Any]:
        self._expect_quiet()
        script = reply.script
        if script is not None:
            script.connect(lambda event: reply.out.put(Aside(reply.generation, event)))
        self._answering = True
        stages = {"thinker": self._think}
        if reply.voice is not None:
            stages |= {"talker": self._talk, "token2wav": self._voice_codes}
        threads = [
            threading.Thread(target=self._stage, args=(name, stage, reply), name=name, daemon=True)
            for name, stage in stages.items()
        ]
        for thread in threads:
            thread.start()
        running = len(threads)
        try:
            while running:
                event = reply.out.poll(1.0)
                if isinstance(event, _StageEnd):
                    running -= 1
                elif event is not None and self._generations.wanted(event.generation):
                    yield event
        finally:
            if running:  # the reader went away
                self._stop()
            for thread in threads:
                thread.join()
            done = self._commit(reply)
            self._answering = False  # who writes a script may go on after its last word, until `cancel`
        yield done

    def _begin(self, options: ResponseOptions, voice: Voice | None) -> _Reply:
        generation = self._generations.begin()

        def current() -> bool:
            return self._generations.wanted(generation)

        seed = options.seed if options.seed is not None else secrets.randbits(31)
        generators = {name: torch.Generator().manual_seed(seed) for name in ("noise",)}
        generators |= {
            name: torch.Generator(self.checkpoint.device).manual_seed(seed + 1 + i)
            for i, name in enumerate(("thinker", "talker"))
        }
        started = self._requested if self._requested is not None else self._clock()
        self._requested = None
        return _Reply(
            generation=generation,
            started=started,
            marks_ms={"appended": (self._clock() - started) * 1000},
            options=options,
            voice=voice,
            generators=generators,
            current=current,
            # What the application has not read yet; large enough that a slow reader never stops a stage for long.
            out=Channel(lambda: True, size=0),
            rows=Channel(current, size=0),
            codes=Channel(current),
        )

    def _stage(self, name: str, work: Callable[[_Reply], None], reply: _Reply) -> None:
        """Run one stage to its end; whatever happens, the reader learns that it ended."""
        try:
            work(reply)
        except Stale:
            pass
        except Exception as error:
            if not isinstance(error, TandemError):
                log.exception("%s failed", name)
            if reply.error is None:
                reply.error = str(error) if isinstance(error, TandemError) else _explain(name, error)
            self._stop(reply.generation)
        finally:
            reply.out.put(_StageEnd(name))

    def _read(self, more: list[Span]) -> torch.Tensor:
        """Let the Thinker read what is pending and `more`; the Talker's rows wait until it speaks. The last hidden
        state [D]."""
        thinker, memory = self.checkpoint.thinker, self._thinker
        new = [*self._pending, *more]
        before, cursor = memory.length, memory.cursor
        if self._talker is None:
            hidden = thinker.skim(memory, new)
        else:
            hidden, rows = thinker.read(memory, new)
            positions, _ = thinker.tmrope.place_all(new, cursor)
            self._blocks.append(RowBlock(before, rows, positions))
        self._pending = []
        return hidden[-1]

    # --- stages ---------------------------------------------------------------------------------------

    def _think(self, reply: _Reply) -> None:
        """Read what is new, then write the reply token by token."""
        thinker, memory = self.checkpoint.thinker, self._thinker
        opening = self.checkpoint.prompt.open_turn("assistant", [])
        before = memory.length
        hidden = self._read(opening)
        self._spans += opening
        reply.prompt_length, reply.prompt_cursor = memory.length, memory.cursor
        reply.prefill_tokens = memory.length - before
        reply.marks_ms["read"] = self._since(reply)
        reply.prompt_read.set()

        options = reply.options
        sampling = options.sampling or self.checkpoint.thinker_sampling
        if options.greedy:
            sampling = replace(sampling, do_sample=False)
        constraint = options.constraint() if options.constraint else None
        sampler = Sampler(sampling, reply.generators["thinker"], constraint=constraint, measure=options.measure)
        reply.log_probabilities = sampler.log_probabilities
        if sampling.repetition_penalty != 1.0:
            sampler.seen |= {i for span in self._spans for i in thinker.tmrope.ids(span)}
        stop = self.checkpoint.stop
        text = Detokenizer(self.checkpoint.tokenizer)
        reply.status, start = "length", 0
        try:
            made_of = thinker.decode(memory, hidden, sampler, stop, options.max_text_tokens)
            if reply.script is not None:
                made_of = self._read_out(reply, reply.script, made_of)
            for made in made_of:
                if isinstance(made, Step):
                    reply.steps.append(made)
                    if reply.voice is not None:
                        row = ReplyRow(reply.generation, made.token, made.hidden + made.embedding)
                        if reply.held is None:
                            reply.rows.put(row)
                        else:
                            reply.held.append((start, row))
                            self._let_speak(reply)
                    if not reply.current():
                        raise Stale
                    continue
                reply.ids.append(made)
                start = len(reply.text)
                if made in stop:
                    reply.status = "completed"
                else:
                    self._tell_text(reply, text.push(made))
        except Stale:
            reply.text += text.finish()  # the turn keeps the text of all its ids
            raise
        self._tell_text(reply, text.finish())
        if reply.voice is not None:
            self._let_speak(reply, whole=True)
            reply.rows.put(ReplyEnd(reply.generation))

    @staticmethod
    def _let_speak(reply: _Reply, whole: bool = False) -> None:
        """Give the Talker what waits, once it is known what of it is to be spoken. whole: no more will be written."""
        silent = reply.options.unspoken(reply.text, whole)
        if silent < len(reply.text) or whole:
            for at, row in reply.held or ():
                if at >= silent:
                    reply.rows.put(row)
            reply.held = None

    def _read_out(self, reply: _Reply, script: Script, own: Iterator[Step | int]) -> Iterator[Step | int]:
        """The script's sentences in the shape of `Thinker.decode`; `own` where its writer gave up."""
        thinker, memory = self.checkpoint.thinker, self._thinker
        place = memory.cursor.next_decoded
        left = reply.options.max_text_tokens
        for sentence in script.sentences():
            ids = self.checkpoint.prompt.encode(sentence)[:left]
            if not reply.current():
                raise Stale
            if ids:
                left -= len(ids)
                for token, step in zip(ids, thinker.steps(memory, ids, place)):
                    yield token
                    yield step
                place += len(ids)
            if not left:
                return
        if not reply.current():
            raise Stale
        if script.gave_up:
            # A notice may have been said meanwhile. The answer is written as if it had not.
            memory.cache.crop_to(reply.prompt_length)
            reply.ids, reply.steps, reply.text, reply.held = [], [], "", []
            yield from own
        else:
            yield next(iter(self.checkpoint.stop))

    def _tell_text(self, reply: _Reply, delta: str) -> None:
        reply.text += delta
        if not reply.current():
            raise Stale
        if delta:
            self._mark(reply, "text")
            reply.out.put(TextDelta(reply.generation, delta))

    def _talk(self, reply: _Reply) -> None:
        """Read the conversation's rows, then speak: one code for each reply row, and on to the end."""
        talker, memory = self.checkpoint.talker, self._talker
        assert talker is not None and memory is not None and reply.voice is not None
        while not reply.prompt_read.wait(0.02):
            if not reply.current():
                raise Stale
        for block in self._blocks:
            skip = max(0, memory.length - block.start)
            if skip < len(block.rows):
                talker.read(memory, block.rows[skip:], block.positions[:, skip:])
        self._blocks = []
        base = memory.length
        assert base == reply.prompt_length, "the Talker and the Thinker disagree about the conversation's length"
        sampling = self.checkpoint.talker_sampling
        if reply.options.greedy:
            sampling = replace(sampling, do_sample=False)
        sampler = talker.sampler(Sampler(sampling, reply.generators["talker"]))
        limit = reply.options.max_codes
        try:
            spoken = talker.speak(
                memory, reply.prompt_cursor, reply.voice.bos_token, self._reply_rows(reply), sampler, limit
            )
            for code in spoken:
                reply.code_count += 1
                self._mark(reply, "code")
                reply.codes.put(Code(reply.generation, code))
        finally:
            memory.cache.crop_to(base)
        reply.codes.put(CodesEnd(reply.generation, "length" if reply.code_count == limit else "stop"))

    def _reply_rows(self, reply: _Reply) -> Iterator[torch.Tensor]:
        while isinstance(event := reply.rows.get(), ReplyRow):
            yield event.row

    def _voice_codes(self, reply: _Reply) -> None:
        """Turn codes into sound, window by window."""
        token2wav = self.checkpoint.token2wav
        assert token2wav is not None and reply.voice is not None

        def noise(frames: int) -> torch.Tensor:
            return token2wav.noise(frames, reply.generators["noise"])

        if reply.options.whole_speech:
            codes = [event.code for event in self._reply_codes(reply)]
            if codes:
                self._tell_sound(reply, token2wav.speech(codes, reply.voice, noise(len(codes) * token2wav.repeats)))
            return
        stream = SpeechStream(token2wav, reply.voice, reply.options.windows, noise)
        for event in self._reply_codes(reply):
            samples = stream.push(event.code)
            if samples is not None:
                self._tell_sound(reply, samples)
        self._tell_sound(reply, stream.finish())

    def _reply_codes(self, reply: _Reply) -> Iterator[Code]:
        while isinstance(event := reply.codes.get(), Code):
            yield event
        reply.speech_cut = event.reason == "length"

    def _tell_sound(self, reply: _Reply, samples: np.ndarray) -> None:
        if len(samples) == 0:
            return
        if not reply.current():
            raise Stale
        assert self.checkpoint.token2wav is not None
        marks_ms = {} if "first_audio" in reply.marks_ms else reply.marks_ms
        self._mark(reply, "audio")
        reply.out.put(SpeechChunk(reply.generation, samples, self.checkpoint.token2wav.rate_hz, dict(marks_ms)))

    def _mark(self, reply: _Reply, what: str) -> None:
        """`what` was given: the first time and the last so far are kept."""
        now = self._since(reply)
        reply.marks_ms.setdefault(f"first_{what}", now)
        reply.marks_ms[f"last_{what}"] = now

    def _since(self, reply: _Reply) -> float:
        return (self._clock() - reply.started) * 1000

    # --- after the stages -----------------------------------------------------------------------------

    def _commit(self, reply: _Reply) -> ResponseDone:
        """Make the reply part of the conversation: its rows stay in the Thinker's cache and go to the Talker's
        as prompt rows. Where decoding counted positions otherwise than a prompt would, it is read again."""
        if reply.error is not None:
            reply.status = "failed"
        elif not reply.current():
            reply.status = "cancelled"
        elif reply.speech_cut:
            reply.status = "length"
        if reply.prompt_read.is_set() and reply.error is None:
            self._remember(reply)
        else:
            # Before the prompt was read nothing is known to be whole in the caches.
            if reply.prompt_read.is_set():
                self._spans = self._spans[: -len(self.checkpoint.prompt.open_turn("assistant", []))]
            self._reset()
        usage = Usage(reply.prompt_length, reply.prefill_tokens, len(reply.ids), reply.code_count)
        return ResponseDone(
            generation=reply.generation,
            status=reply.status,
            text=reply.text,
            usage=usage,
            first_text_ms=reply.marks_ms.get("first_text"),
            first_audio_ms=reply.marks_ms.get("first_audio"),
            total_ms=self._since(reply),
            error=reply.error,
            marks_ms=reply.marks_ms,
            sureness=float(np.exp(np.mean(reply.log_probabilities))) if reply.log_probabilities else None,
        )

    def _remember(self, reply: _Reply) -> None:
        thinker, memory = self.checkpoint.thinker, self._thinker
        ids = tuple(i for i in reply.ids if i not in self.checkpoint.stop)
        self.turns.append(Turn("assistant", (reply.text,), ids=ids))
        done = memory.length - reply.prompt_length  # reply tokens that went through the model
        start = reply.prompt_cursor
        if start.next_decoded != start.last + 1:
            memory.cache.crop_to(reply.prompt_length)
            done = 0
        elif done and self._talker is not None:
            positions, _ = thinker.tmrope.place(TextSpan(ids[:done]), start)
            rows = torch.cat([step.hidden + step.embedding for step in reply.steps[:done]])
            self._blocks.append(RowBlock(reply.prompt_length, rows, positions))
        self._settle(_Written(ids, len(self.turns) - 1, len(self._spans), reply.prompt_length, start, done))

    def _settle(self, written: _Written) -> None:
        """Lay the newest reply out behind the spans before it; what is not cached waits to be read."""
        ids, done = written.ids, written.cached
        closing = self.checkpoint.prompt.reply(ids)
        self._spans = [*self._spans[: written.spans], *closing]
        self._thinker.cursor = written.cursor
        if done:
            self._thinker.cursor = self.checkpoint.thinker.tmrope.place(TextSpan(ids[:done]), written.cursor)[1]
        rest: list[Span] = [TextSpan(ids[done:])] if ids[done:] else []
        self._pending = [*rest, closing[-1]]
        self._written = written


def _explain(stage: str, error: BaseException) -> str:
    """One line for a fault that is not the user's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out of memory: start a new conversation, use shorter media, or a smaller model"
    return f"the {stage} failed ({type(error).__name__}): the log has the details; the conversation can go on"

"""One question from the command line: its text and media, and the answer as text on standard output and as a WAV."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, cast

import typer

from app import conversation_file
from app.assistant import Assistant, MediaFile, MediaKind
from app.config import Config
from app.told import Reasoning, Routed, Told, Tool
from app.wav import GrowingWav
from multimodal.errors import PromptError, TandemError
from multimodal.media import Picture, VideoClip
from multimodal.prompt import Turn
from reasoning.boxes import Size
from reasoning.router import THINKER, Route
from reasoning.spoken import unspoken
from streaming.events import ResponseDone, SpeechChunk, TextDelta
from streaming.transcription import Transcribed

MOST_TEXT_BYTES = 1_000_000
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class OutputError(TandemError):
    """The file to speak into cannot be used."""


class AnswerFailed(Exception):
    """The answer broke off through no fault of the question."""


@dataclass(frozen=True)
class Question:
    """What was asked. media: in the order of the command line."""

    text: str
    media: tuple[MediaFile, ...]
    speak: Path | None = None
    conversation: Path | None = None

    @classmethod
    def collect(
        cls,
        text: str | None,
        media: Sequence[tuple[str, str]],
        *,
        speak: Path | None,
        conversation: Path | None,
        config: Config,
    ) -> Question:
        """Read the text from standard input where it was not given, and check all that needs no model."""
        if speak is not None:
            check_wav_path(speak)
            if any(speak.exists() and Path(path).exists() and speak.samefile(path) for _, path in media):
                raise OutputError(f"{speak}: also asked about; give the name of another WAV file to speak into")
            if not config.speech:
                raise OutputError(f"{speak}: speech is switched off; leave out --speak, or --no-speech")
        text = read_text(text)
        if not text.strip() and not media:
            raise PromptError("nothing to answer: give a question, or --image, --audio or --video")
        files = tuple(MediaFile(cast(MediaKind, kind), Path(path)) for kind, path in media)
        return cls(text.strip(), files, speak, conversation)


def read_text(text: str | None) -> str:
    """`text` as given; from standard input where it is "-", or left out while standard input is not a terminal."""
    if text is None and sys.stdin.isatty():
        return ""
    if text is None or text == "-":
        data = sys.stdin.buffer.read(MOST_TEXT_BYTES + 1)
        if len(data) > MOST_TEXT_BYTES:
            raise PromptError(f"the text is longer than {MOST_TEXT_BYTES:,} bytes: shorten it")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise PromptError("the text on standard input is not UTF-8: convert it first") from None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise PromptError("the text is not UTF-8: retype it, or send it through standard input") from None
    return text


def check_wav_path(path: Path) -> None:
    """Refuse a path that the WAV could not be written to, before any work is done."""
    if path.suffix.lower() != ".wav":
        raise OutputError(f"{path}: only WAV is written; give a name that ends in .wav")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: not a file; give the name of a WAV file to write")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent}: no such folder; make it, or speak into another one")


def answer(question: Question, config: Config, *, as_json: bool) -> int:
    """Stream the answer, and return the exit status: 0, or 1 where the answer broke off.

    The conversation file is written after the whole answer; an answer that broke off, or that Ctrl-C ended, leaves
    it as it was, and no WAV.
    """
    with contextlib.ExitStack() as stack:
        kept = None
        if question.conversation is not None:
            kept = stack.enter_context(conversation_file.opened(question.conversation))
        saved = kept.read() if kept else conversation_file.Saved()
        assistant = Assistant(config, speech=question.speak is not None)
        stack.callback(assistant.close)
        turn = assistant.read_turn(question.text, question.media)
        for file, part in zip(question.media, turn.content):
            if isinstance(part, VideoClip) and not part.complete:
                typer.echo(f"note: {file.path.name} is damaged; what can be read of it is used", err=True)
        conversation = assistant.conversation(saved.turns, saved.vocabulary)
        wav = GrowingWav(question.speak) if question.speak is not None else None
        said = Said()
        try:
            with wav or contextlib.nullcontext():
                done = _stream(assistant.answer(conversation, turn), wav, said)
        except AnswerFailed as error:
            typer.echo(f"error: {error}", err=True)
            return 1
        if kept is not None:
            kept.write(conversation.turns, assistant.vocabulary)
    if done.status == "length":
        typer.echo("note: the answer reached a limit: raise --max-tokens, or max_speech_sec", err=True)
    if wav is not None and not wav.samples:
        silent = unspoken(done.text, whole=True) == len(done.text) > 0
        why = "an answer of nothing but data is not read out" if silent else "the model made no sound"
        typer.echo(f"note: {why}, so there is no {wav.path}", err=True)
    if as_json:
        summary = _summary(assistant, done, wav, said) | {"places": _places(assistant, turn, said, done.text)}
        print(json.dumps(summary, ensure_ascii=False), flush=True)
    return 0


@dataclass
class Said:
    """What was told beside the answer itself. heard: the words of a question that was only spoken."""

    heard: str | None = None
    routes: list[Route] = field(default_factory=list)
    reasoning: str = ""
    tools: list[Tool] = field(default_factory=list)


def _stream(events: Generator[Told], wav: GrowingWav | None, said: Said) -> ResponseDone:
    """Text to standard output and speech into the WAV, as they are made; who answers, what it thinks and the programs
    it runs go to standard error. Closing `events` stops the stages."""
    done = None
    with contextlib.closing(events):
        for event in events:
            if isinstance(event, Routed):
                if event.route.backend != THINKER or event.route.heavy:
                    _note(f"{event.route.backend}: {event.route.reason}")
                said.routes.append(event.route)
            elif isinstance(event, Transcribed):
                _note(f"heard: “{event.text}”")
                said.heard = event.text
            elif isinstance(event, Reasoning):
                said.reasoning += event.text
                sys.stderr.write(_printable(event.text, sys.stderr))
                sys.stderr.flush()
            elif isinstance(event, Tool):
                if event.result is not None:
                    said.tools.append(event)
                if not event.in_text:
                    _note(f"{event.name}: {event.code}" if event.result is None else f"→ {event.result}")
            elif isinstance(event, TextDelta):
                sys.stdout.write(_printable(event.text))
                sys.stdout.flush()
            elif isinstance(event, SpeechChunk):
                assert wav is not None, "speech was not asked for"
                try:
                    wav.append(event.samples, event.rate_hz)
                except OSError as error:
                    raise OutputError(f"{wav.path}: cannot be written ({error.strerror}); speak elsewhere") from error
            elif isinstance(event, ResponseDone):
                done = event
    assert done is not None, "every response ends in one terminal event"
    if done.text and not done.text.endswith("\n"):
        print(flush=True)
    if done.status in ("failed", "cancelled"):
        raise AnswerFailed(done.error or "the answer was cancelled")
    return done


def _note(text: str) -> None:
    print(_printable(text, sys.stderr), file=sys.stderr, flush=True)


def _printable(text: str, stream: TextIO | None = None) -> str:
    """A model's words must not steer the terminal; a pipe gets them unchanged."""
    return CONTROL.sub("", text) if (stream or sys.stdout).isatty() else text


def _summary(assistant: Assistant, done: ResponseDone, wav: GrowingWav | None, said: Said) -> dict[str, Any]:
    spoken = None
    if wav is not None and wav.samples:
        spoken = {"path": str(wav.path), "seconds": round(wav.seconds, 3), "sample_rate": wav.rate_hz}
    return {
        "text": done.text,
        "model": assistant.checkpoint.name,
        "route": {"backend": said.routes[-1].backend, "reason": said.routes[-1].reason},
        "heard": said.heard,
        "reasoning": said.reasoning,
        "tools": [
            {"name": one.name, "code": one.code, "result": one.result, "status": one.status} for one in said.tools
        ],
        "audio": spoken,
        "tokens": {
            "prompt": done.usage.prompt_tokens,
            "text": done.usage.text_tokens,
            "codes": done.usage.codes,
        },
        "timings_ms": {
            "load": round(assistant.load_ms, 1),
            "first_text": _rounded(done.first_text_ms),
            "first_audio": _rounded(done.first_audio_ms),
            "total": _rounded(done.total_ms),
        },
    }


def _places(assistant: Assistant, turn: Turn, said: Said, text: str) -> list[dict[str, Any]]:
    """Boxes and points of the answer in pixels of the last picture of the question."""
    pictures = [part for part in turn.content if isinstance(part, Picture)]
    sight = assistant.answering.sight(said.routes[-1].backend, assistant.checkpoint)
    if not pictures or sight is None:
        return []
    height, width = pictures[-1].pixels.shape[:2]
    found = sight.places(text, Size(width, height))
    return [{"kind": type(place).__name__.lower(), **vars(place)} for place in found]


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)

"""What was said in a spoken turn, written down by the model that answers it, beside the answer.

Either of a turn that is over (`transcribe`, `write_down`), or of one that is being spoken (`Transcription`): its sound
is encoded once for both, and read here piece by piece as it comes, so that only the writing is left to do when the
user stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from multimodal.checkpoint import Checkpoint
from multimodal.media import AudioClip
from multimodal.prompt import AudioPiece, Span, TextSpan, Turn
from streaming.events import ResponseDone, TextDelta
from streaming.session import Conversation, ResponseOptions

PROMPT = "Write down what you hear."
TOKENS_PER_SEC = 8  # of fast speech; bounds a model that repeats itself
TOKENS_MORE = 16


@dataclass(frozen=True)
class Transcribed:
    """The words of a spoken turn. sureness: of the model that wrote them down, as in ResponseDone."""

    text: str
    sureness: float = 1.0


class Transcription:
    """One spoken turn. `hear` what is encoded of it, `end` with the last of it, then `write`; who goes on speaking goes
    on with `hear`. Used by one thread at a time."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._conversation = Conversation(checkpoint)
        self._control = checkpoint.thinker.tmrope.control
        self._opening: list[Span] = [
            *checkpoint.prompt.open_turn("user", []),
            TextSpan((self._control.audio_bos,)),
        ]
        self._rest: Sequence[AudioPiece] = ()
        self._duration_sec = 0.0

    def hear(self, pieces: Sequence[AudioPiece]) -> None:
        """More of the turn, read at once."""
        self._conversation.extend([*self._opening, *pieces])
        self._opening = []

    def end(self, rest: Sequence[AudioPiece], duration_sec: float) -> None:
        """The end of the turn, of `duration_sec` in all, unless it goes on."""
        self._rest, self._duration_sec = rest, duration_sec

    def write(self, wanted: Callable[[], bool]) -> Transcribed:
        """The words so far; the beginning of them where they are not `wanted` any more. Raises RuntimeError where the
        model failed."""
        conversation = self._conversation
        prompt = conversation.checkpoint.prompt
        place = conversation.bookmark()
        rest = [*self._opening, *self._rest, TextSpan((self._control.audio_eos,))]
        conversation.close_turn(Turn("user", (PROMPT,)), [*rest, *prompt.continue_turn(PROMPT), prompt.close_turn()])
        try:
            *pieces, done = _written(conversation, self._duration_sec, wanted)
        finally:
            conversation.rewind(place)
        assert isinstance(done, ResponseDone)
        return Transcribed("".join(map(str, pieces)).strip(), done.sureness or 0.0)


def transcribe(checkpoint: Checkpoint, clip: AudioClip, wanted: Callable[[], bool]) -> Iterator[str]:
    """Pieces of the text. Ends early where it is not `wanted` any more. Raises RuntimeError where the model failed."""
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", (clip, PROMPT)))
    for piece in _written(conversation, clip.duration_sec, wanted):
        if isinstance(piece, str):
            yield piece


def write_down(checkpoint: Checkpoint, clip: AudioClip, wanted: Callable[[], bool]) -> Transcribed | None:
    """The words of a sound; None where they are not `wanted` any more. Raises RuntimeError where the model failed."""
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", (clip, PROMPT)))
    *pieces, done = _written(conversation, clip.duration_sec, wanted)
    assert isinstance(done, ResponseDone)
    if done.status == "cancelled":
        return None
    return Transcribed("".join(map(str, pieces)).strip(), done.sureness or 0.0)


def _written(
    conversation: Conversation, duration_sec: float, wanted: Callable[[], bool]
) -> Iterator[str | ResponseDone]:
    """Pieces of the text, then its end."""
    limit = round(duration_sec * TOKENS_PER_SEC) + TOKENS_MORE
    options = ResponseOptions(speech=False, greedy=True, measure=True, max_text_tokens=limit)
    for event in conversation.respond(options):
        if not wanted():
            conversation.cancel()
        if isinstance(event, TextDelta):
            yield event.text
        elif isinstance(event, ResponseDone):
            if event.status == "failed":
                raise RuntimeError(event.error)
            yield event

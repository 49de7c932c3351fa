"""What was said in a spoken turn, written down by the model that answers it, beside the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from multimodal.checkpoint import Checkpoint
from multimodal.media import AudioClip
from multimodal.prompt import Turn
from streaming.events import ResponseDone, TextDelta
from streaming.session import Conversation, ResponseOptions

PROMPT = "Write down what you hear."
TOKENS_PER_SEC = 8  # of fast speech; bounds a model that repeats itself
TOKENS_MORE = 16


def transcribe(checkpoint: Checkpoint, clip: AudioClip, wanted: Callable[[], bool]) -> Iterator[str]:
    """Pieces of the text. Ends early where it is not `wanted` any more. Raises RuntimeError where the model failed."""
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", (clip, PROMPT)))
    limit = round(clip.duration_sec * TOKENS_PER_SEC) + TOKENS_MORE
    for event in conversation.respond(ResponseOptions(speech=False, greedy=True, max_text_tokens=limit)):
        if not wanted():
            conversation.cancel()
        if isinstance(event, TextDelta):
            yield event.text
        elif isinstance(event, ResponseDone) and event.status == "failed":
            raise RuntimeError(event.error)

"""A turn that is read while it is spoken equals the same turn handed over as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multimodal.checkpoint import Checkpoint, load
from multimodal.media import AudioClip
from multimodal.prompt import Turn
from streaming.events import ResponseDone, SpeechChunk
from streaming.listening import Listening
from streaming.session import Conversation, ResponseOptions

OPTIONS = ResponseOptions(greedy=True, seed=2, max_text_tokens=8, max_codes=24, whole_speech=True)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(tiny_checkpoint)


def sound(seconds: float) -> np.ndarray:
    """Loudest at its beginning, so that the floor of the live front end is the file's from the first chunk on."""
    noise = np.random.default_rng(1).standard_normal(int(seconds * 16_000)).astype(np.float32)
    return 0.1 * noise * np.linspace(2.0, 0.3, len(noise), dtype=np.float32)


def respond(conversation: Conversation) -> tuple[ResponseDone, np.ndarray]:
    wave, done = [np.zeros(0, np.float32)], None
    for event in conversation.respond(OPTIONS):
        if isinstance(event, SpeechChunk):
            wave.append(event.samples)
        elif isinstance(event, ResponseDone):
            done = event
    assert done is not None and done.error is None
    return done, np.concatenate(wave)


@pytest.mark.parametrize("text", ["", "What did I say?"])
@pytest.mark.parametrize("seconds", [0.01, 0.7, 4.0, 5.3])
def test_a_spoken_turn_equals_the_same_sound_as_a_file(checkpoint: Checkpoint, seconds: float, text: str) -> None:
    samples = sound(seconds)
    live, filed = Conversation(checkpoint), Conversation(checkpoint)
    for conversation in (live, filed):
        conversation.append(Turn("user", ("Hello",)))
        respond(conversation)
    listening = Listening(live)
    for piece in np.array_split(samples, max(1, len(samples) // 487)):
        listening.hear(piece)
    listening.commit(text)
    filed.append(Turn("user", (AudioClip(samples, 16_000), text) if text else (AudioClip(samples, 16_000),)))
    assert live.length == filed.length
    (done, wave), (expected, expected_wave) = respond(live), respond(filed)
    assert done.text == expected.text
    np.testing.assert_allclose(wave, expected_wave, atol=1e-3)
    clip = live.turns[2].content[0]
    assert isinstance(clip, AudioClip) and np.array_equal(clip.samples, samples)


def test_only_the_last_chunk_is_left_when_the_user_stops(checkpoint: Checkpoint) -> None:
    conversation = Conversation(checkpoint)
    listening = Listening(conversation)
    listening.hear(sound(9.0))
    listening.commit()
    done, _ = respond(conversation)
    assert done.usage.prompt_tokens > 225, "nine seconds are 225 tokens"
    assert done.usage.prefill_tokens < 50, "the last second, and the control tokens around the turn"


def test_sound_that_was_nothing_leaves_no_trace_and_costs_nothing_to_forget(checkpoint: Checkpoint) -> None:
    conversation, other = Conversation(checkpoint), Conversation(checkpoint)
    for each in (conversation, other):
        each.append(Turn("user", ("Hello",)))
        respond(each)
    listening = Listening(conversation)
    listening.hear(sound(4.5))
    rows = checkpoint.thinker.rows_computed
    listening.discard()
    assert checkpoint.thinker.rows_computed == rows
    for each in (conversation, other):
        each.append(Turn("user", ("And now?",)))
    (done, wave), (expected, expected_wave) = respond(conversation), respond(other)
    assert done.text == expected.text and len(conversation.turns) == len(other.turns)
    np.testing.assert_allclose(wave, expected_wave, atol=1e-4)


def test_silence_under_a_chunk_is_not_read_at_all(checkpoint: Checkpoint) -> None:
    conversation = Conversation(checkpoint)
    listening = Listening(conversation)
    rows = checkpoint.thinker.rows_computed
    for _ in range(19):
        listening.hear(np.zeros(1600, np.float32))
    assert checkpoint.thinker.rows_computed == rows and listening.seconds == pytest.approx(1.9)

"""Pictures and sound that are read while they come equal the same video with its sound, handed over as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.checkpoint import Checkpoint, load
from multimodal.film import Shown
from multimodal.media import Picture, VideoClip
from multimodal.prompt import Turn
from streaming.listening import Listening
from streaming.session import Conversation
from tests.test_listening import respond, sound


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(tiny_checkpoint)


def view(seed: int, height: int = 60, width: int = 90) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def live(checkpoint: Checkpoint, shown: list[Shown], seconds: float, late: bool = False) -> Conversation:
    """Heard in pieces of 20 ms, each picture seen at its time; `late`: all but the first at the end of their chunk."""
    conversation = Conversation(checkpoint)
    listening, waiting, heard = Listening(conversation), list(shown), 0.0
    listening.see(waiting.pop(0))
    for piece in np.array_split(sound(seconds), round(seconds * 50)):
        while waiting and waiting[0][0] <= heard + 0.03 and (not late or heard % 2.0 > 1.9):
            listening.see(waiting.pop(0))
        listening.hear(piece)
        heard += len(piece) / 16_000
    for one in waiting:
        listening.see(one)
    listening.commit()
    return conversation


def filed(checkpoint: Checkpoint, clip: VideoClip) -> Conversation:
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", (clip,)))
    return conversation


def ids(conversation: Conversation) -> list[int]:
    tmrope = conversation.checkpoint.thinker.tmrope
    return [token for span in conversation.spans for token in tmrope.ids(span)]


def places(conversation: Conversation) -> np.ndarray:
    return conversation.checkpoint.thinker.tmrope.place_all(list(conversation.spans))[0]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seconds", [1.5, 4.0, 5.3])
def test_a_film_that_is_watched_equals_the_whole_video(checkpoint: Checkpoint, seconds: float, late: bool) -> None:
    times = [at for at in (0.0, 1.2, 2.0, 4.0, 4.6) if at < seconds]
    shown = [(at, view(number)) for number, at in enumerate(times)]
    conversation = live(checkpoint, shown, seconds, late)
    clip = conversation.turns[0].content[0]
    assert isinstance(clip, VideoClip) and clip.times_sec[::2].tolist() == times
    whole = filed(checkpoint, clip)
    assert ids(conversation) == ids(whole)
    np.testing.assert_array_equal(places(conversation), places(whole))
    (done, wave), (expected, expected_wave) = respond(conversation), respond(whole)
    assert done.text == expected.text
    np.testing.assert_allclose(wave, expected_wave, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 9.0), st.lists(st.floats(0.01, 8.9), max_size=6), st.booleans())
def test_whenever_pictures_come_ids_and_positions_are_those_of_the_video(
    checkpoint: Checkpoint, seconds: float, moments: list[float], late: bool
) -> None:
    """Of a camera that runs: each chunk begins with a picture."""
    begins = [2.0 * chunk for chunk in range(1, int(seconds // 2) + 1) if 2.0 * chunk < seconds]
    times = sorted({0.0, 0.5 * seconds if seconds < 2 else 2.0, *begins, *(at for at in moments if at < seconds)})
    shown = [(at, view(number % 3)) for number, at in enumerate(times)]
    conversation = live(checkpoint, shown, seconds, late)
    clip = conversation.turns[0].content[0]
    assert isinstance(clip, VideoClip)
    whole = filed(checkpoint, clip)
    assert ids(conversation) == ids(whole)
    np.testing.assert_array_equal(places(conversation), places(whole))


def test_who_goes_on_and_who_said_nothing_leave_no_trace(checkpoint: Checkpoint) -> None:
    shown = [(0.0, view(0)), (1.0, view(1)), (2.0, view(2)), (4.0, view(3))]
    conversation = Conversation(checkpoint)
    listening, samples = Listening(conversation), sound(5.3)
    listening.see(shown[0])
    listening.hear(samples[:20_000])
    listening.see(shown[1])
    listening.commit()
    respond(conversation)
    listening.reopen()
    listening.hear(samples[20_000:32_000])
    listening.see(shown[2])
    listening.hear(samples[32_000:64_000])
    listening.commit()
    listening.reopen()
    listening.see(shown[3])
    listening.hear(samples[64_000:])
    listening.commit()
    straight = live(checkpoint, shown, 5.3)
    assert ids(conversation) == ids(straight)
    assert respond(conversation)[0].text == respond(straight)[0].text
    length = conversation.length
    nothing = Listening(conversation)
    nothing.see(shown[0])
    nothing.hear(samples[:40_000])
    nothing.see(shown[1])
    nothing.discard()
    assert conversation.length == length


def test_every_picture_of_a_film_has_the_first_ones_size_and_sound_is_encoded_once(checkpoint: Checkpoint) -> None:
    calls = 0
    encode = checkpoint.thinker.audio.encode_chunk

    def counted(chunk):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        return encode(chunk)

    checkpoint.thinker.audio.encode_chunk = counted  # type: ignore[method-assign]
    try:
        shown = [(0.0, view(0)), (2.0, view(1, 90, 60)), (4.0, view(2, 200, 40))]
        conversation = live(checkpoint, shown, 5.0, late=True)
    finally:
        checkpoint.thinker.audio.encode_chunk = encode  # type: ignore[method-assign]
    clip = conversation.turns[0].content[0]
    assert isinstance(clip, VideoClip) and len(clip.frames) == 6
    assert calls == 3

"""The inspector shows the positions that the model really got, and pictures of the media they belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.web import inspection
from multimodal.checkpoint import Checkpoint, load
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Turn
from streaming.listening import Listening
from streaming.session import Conversation, ResponseOptions

RATE = 16_000


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(str(tiny_checkpoint))


def clip(seconds: float = 4.0) -> VideoClip:
    count = 2 * round(seconds)
    frames = np.random.default_rng(0).integers(0, 255, (count, 56, 84, 3), np.uint8)
    sound = AudioClip(np.linspace(0, 0.5, round(seconds * RATE), dtype=np.float32), RATE)
    return VideoClip(frames, np.arange(count) / 2, 2.0, seconds, sound)


def test_blocks_cover_the_ids_that_the_turn_got(checkpoint: Checkpoint) -> None:
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", ("Hello",)))
    for _ in conversation.respond(ResponseOptions(max_text_tokens=4, speech=False, seed=0)):
        pass
    begun = len(conversation.spans)
    picture = Picture(np.zeros((56, 112, 3), np.uint8))
    sound = AudioClip(np.zeros(RATE, np.float32), RATE)
    conversation.append(Turn("user", (picture, clip(), sound, "What is this?")))
    found = inspection.of_turn(conversation, begun)
    tmrope = checkpoint.thinker.tmrope
    opening = checkpoint.prompt.open_turn("assistant", [])
    positions, cursor = tmrope.place_all([*conversation.spans, *opening])
    ids = np.array([i for span in conversation.spans for i in tmrope.ids(span)])
    assert [block["kind"] for block in found["blocks"]] == ["text", "image", "video", "audio", "text", "text"]
    assert [block["medium"] for block in found["blocks"] if "medium" in block] == [0, 1, 2]
    (video,) = (block for block in found["blocks"] if block["kind"] == "video")
    times = positions[0, : len(ids)]
    assert video["frames"] == sorted(set(times[ids == tmrope.control.video].tolist()))
    heard = times[ids == tmrope.control.audio]
    covered = [
        at for block in found["blocks"] if "sound" in block for at in range(block["sound"][0], block["sound"][1] + 1)
    ]
    assert covered == heard.tolist()
    assert found["reply"] == cursor.next_decoded
    before = sum(len(tmrope.ids(span)) for span in conversation.spans[:begun])
    assert sum(block["tokens"] for block in found["blocks"]) == len(ids) - before


def test_a_turn_that_was_read_while_spoken_is_one_block_of_sound(checkpoint: Checkpoint) -> None:
    conversation = Conversation(checkpoint)
    begun = len(conversation.spans)
    listening = Listening(conversation)
    listening.hear(np.zeros(5 * RATE, np.float32))
    listening.commit("and this?")
    (sound,) = (block for block in inspection.of_turn(conversation, begun)["blocks"] if block["kind"] == "audio")
    assert sound["tokens"] == 5 * 25
    assert sound["sound"] == [sound["from"], sound["from"] + 5 * 25 - 1]
    before = inspection.of_turn(conversation, begun)
    assert inspection.of_exchange(conversation) == {}, "not answered yet"
    for _ in conversation.respond(ResponseOptions(max_text_tokens=4, speech=False, seed=0)):
        pass
    assert inspection.of_exchange(conversation)["layout"] == before


def test_media_are_drawn_small_and_true() -> None:
    drawn = inspection.drawing(clip(200.0), 25)
    assert len(drawn["thumbnails"]) == inspection.MOST_THUMBNAILS
    assert [drawn["thumbnails"][end]["index"] for end in (0, -1)] == [0, 199]
    assert len(drawn["peaks"]) == 200 * 25 and drawn["peaks"][-1] == pytest.approx(0.5, abs=0.01)
    assert sum(len(one["src"]) for one in drawn["thumbnails"]) < 400_000
    assert inspection.drawing(AudioClip(np.zeros(0, np.float32), RATE), 25)["peaks"] == []

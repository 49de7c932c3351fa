"""A conversation on disk: read back exactly, replaced whole, refused with a remedy where it is damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.conversation_file import ConversationFile, Saved, opened
from multimodal.errors import ConversationError
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Turn

VOCABULARY = "v" * 64


def turns() -> list[Turn]:
    """One of everything."""
    random = np.random.default_rng(0)
    sound = AudioClip(random.uniform(-1, 1, 400).astype(np.float32), 16_000, start_sec=0.25)
    frames = random.integers(0, 256, (2, 28, 56, 3), dtype=np.uint8)
    silent = VideoClip(frames, np.array([0.0, 0.5]), 2.0, 1.0)
    spoken = VideoClip(frames, np.array([0.0, 0.5]), 2.0, 1.0, sound, complete=False)
    picture = Picture(random.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    return [
        Turn("system", ("Be brief.",)),
        Turn("user", (picture, sound, silent, "What?\n„\x00“", spoken, picture)),
        Turn("assistant", ("A naïve answer",), ids=(3, 0, 7)),
    ]


def saved(path: Path) -> ConversationFile:
    with opened(path) as file:
        file.write(turns(), VOCABULARY)
    return file


def test_what_was_written_is_read_back_exactly(tmp_path: Path) -> None:
    read = saved(tmp_path / "talk.json").read()
    assert read.vocabulary == VOCABULARY
    written = turns()
    assert [(turn.role, turn.ids) for turn in read.turns] == [(turn.role, turn.ids) for turn in written]
    for old, new in zip(written, read.turns):
        assert [type(part) for part in old.content] == [type(part) for part in new.content]
    picture, sound, silent, text, spoken, again = read.turns[1].content
    first, clip, _, words, both, _ = written[1].content
    assert text == words
    assert isinstance(picture, Picture) and isinstance(first, Picture) and isinstance(again, Picture)
    assert np.array_equal(picture.pixels, first.pixels) and np.array_equal(again.pixels, first.pixels)
    assert isinstance(sound, AudioClip) and isinstance(clip, AudioClip)
    assert np.array_equal(sound.samples, clip.samples) and sound.samples.dtype == np.float32
    assert (sound.rate_hz, sound.start_sec) == (16_000, 0.25)
    assert isinstance(silent, VideoClip) and silent.audio is None and silent.complete
    assert isinstance(spoken, VideoClip) and isinstance(both, VideoClip) and spoken.audio is not None
    assert np.array_equal(spoken.frames, both.frames) and np.array_equal(spoken.times_sec, both.times_sec)
    assert (spoken.fps, spoken.duration_sec, spoken.complete) == (2.0, 1.0, False)
    assert np.array_equal(spoken.audio.samples, clip.samples)


def test_the_same_medium_is_stored_once(tmp_path: Path) -> None:
    file = saved(tmp_path / "talk.json")
    assert len(list(file.media.glob("*.npz"))) == 4  # picture, sound, silent clip, clip with sound
    before = {path: path.stat().st_mtime_ns for path in file.media.iterdir()}
    file.write(turns(), VOCABULARY)
    assert {path: path.stat().st_mtime_ns for path in file.media.iterdir()} == before


def test_a_new_name_is_an_empty_conversation_and_leaves_nothing_unless_written(tmp_path: Path) -> None:
    with opened(tmp_path / "new.json") as file:
        assert file.read() == Saved()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a JSON document"),
        (b"\xff\xfe", "not a JSON document"),
        (b"[" * 100_000, "not a JSON document"),
        (b"[]", "not a conversation"),
        (b'{"format": "tandem-conversation", "version": 2}', "version 2"),
        (b'{"format": "tandem-conversation", "version": 1, "vocabulary": "v"}', "without turns"),
        (b'{"format": "tandem-conversation", "version": 1, "vocabulary": "v", "turns": [{"role": "root"}]}', "role"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name_and_left_alone(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "talk.json"
    path.write_bytes(content)
    with pytest.raises(ConversationError, match=said) as caught, opened(path) as file:
        file.read()
    assert "talk.json" in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("part", [{"image": "../../etc/passwd"}, {"image": "0" * 64}, {"smell": "x"}, {"text": 3}, {}])
def test_a_part_that_is_no_stored_medium_is_refused(tmp_path: Path, part: dict[str, object]) -> None:
    path = tmp_path / "talk.json"
    turn = {"role": "user", "content": [part]}
    path.write_text(json.dumps({"format": "tandem-conversation", "version": 1, "vocabulary": "v", "turns": [turn]}))
    with pytest.raises(ConversationError), opened(path) as file:
        file.read()


@pytest.mark.parametrize("harm", ["cut", "flip", "swap", "remove"])
def test_a_changed_medium_is_noticed(tmp_path: Path, harm: str) -> None:
    file = saved(tmp_path / "talk.json")
    victim, other = sorted(file.media.glob("*.npz"))[:2]
    data = bytearray(victim.read_bytes())
    if harm == "cut":
        victim.write_bytes(data[: len(data) // 2])
    elif harm == "flip":
        data[len(data) // 2] ^= 0xFF
        victim.write_bytes(data)
    elif harm == "swap":
        victim.write_bytes(other.read_bytes())
    else:
        victim.unlink()
    with pytest.raises(ConversationError, match=r"talk\.json"):
        file.read()


def test_a_write_that_fails_leaves_the_old_conversation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(tmp_path / "talk.json")
    before = file.path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConversationError, match="No space left"):
        file.write([*turns(), Turn("user", ("more",))], VOCABULARY)
    assert file.path.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk.json", "talk.json.media"]


def test_a_second_process_is_refused_while_the_first_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    code = (
        "import sys\nfrom pathlib import Path\nfrom app.conversation_file import opened\n"
        "with opened(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(ConversationError, match="another process"), opened(path):
            pass
    finally:
        holder.communicate("", timeout=30)
    with opened(path) as file:
        assert file.read() == Saved()


def test_places_that_cannot_hold_a_conversation_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConversationError, match="a folder"), opened(tmp_path):
        pass
    with pytest.raises(ConversationError, match="no such folder"), opened(tmp_path / "missing" / "talk.json"):
        pass

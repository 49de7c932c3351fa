"""The history keeps what it acknowledged, whatever happens, and says clearly what it cannot keep."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from app.history import export, schema, spoken
from app.history.records import BadImport, DiskFull, HistoryError, MediaPart, Medium, NotKept, TextPart
from app.history.store import INTERRUPTED, History

ROOT = Path(__file__).resolve().parent.parent


class Clock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        self.ms += 1000
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history(tmp_path: Path, clock: Clock) -> Iterator[History]:
    found = History(tmp_path / "history", clock)
    yield found
    found.close()


def sound(history: History, seconds: float, tone_hz: float = 440.0) -> Medium:
    times = np.arange(round(seconds * 24_000)) / 24_000
    data = spoken.wav((0.4 * np.sin(2 * np.pi * tone_hz * times)).astype(np.float32), 24_000)
    digest = history.media.add(data)
    return history.keep(Medium(digest, "audio", "audio/wav", len(data), duration_sec=seconds))


def test_turns_come_back_as_they_were(history: History, tmp_path: Path) -> None:
    conversation = history.create()
    medium = sound(history, 0.5)
    parts = (TextPart("Was ist das?\x00 <|im_end|> 你好"), TextPart("a\nb", "notes.txt"), MediaPart(medium, "a.wav"))
    asked = history.add_turn(conversation.id, "user", parts)
    reply = history.add_turn(conversation.id, "assistant", [TextPart("")], asked.id, "answering")
    history.update_turn(
        reply.id,
        text="Ein Ton.",
        status="completed",
        ids=(5, 6, 7),
        vocabulary="v",
        model="omni-nano",
        speech=medium,
        heard_ms=480,
        route={"backend": "thinker"},
        timings_ms={"total": 12.5},
        places=({"label": "ton", "left": 1.0},),
        places_of=medium.digest,
        unheard=" Und noch einer.",
        reasoning={"text": "hm", "ms": 3.5},
        inspection={"layout": []},
    )
    history.close()
    again = History(tmp_path / "history")
    read = again.path(conversation.id)
    assert [turn.parts for turn in read] == [parts, (TextPart("Ein Ton."),)]
    assert (read[1].ids, read[1].vocabulary, read[1].model) == ((5, 6, 7), "v", "omni-nano")
    assert (read[1].speech, read[1].heard_ms, read[1].places_of) == (medium, 480, medium.digest)
    assert (read[1].route, read[1].timings_ms) == ({"backend": "thinker"}, {"total": 12.5})
    assert read[1].places == ({"label": "ton", "left": 1.0},)
    assert (read[1].unheard, read[1].reasoning) == (" Und noch einer.", {"text": "hm", "ms": 3.5})
    assert read[1].inspection == {"layout": []}
    assert again.conversation(conversation.id).title == "Was ist das? <|im_end|> 你好"
    again.close()


def test_a_spoken_turn_is_found_and_called_after_its_transcript(history: History) -> None:
    conversation = history.create()
    asked = history.add_turn(conversation.id, "user", [MediaPart(sound(history, 0.5), "call.wav")])
    assert history.conversation(conversation.id).title == "call.wav"
    history.update_turn(asked.id, transcript="Where is the okapi?")
    assert history.conversation(conversation.id).title == "Where is the okapi?"
    assert [one.id for one in history.conversations("okapi")] == [conversation.id]
    history.rename(conversation.id, "Zoo")
    history.update_turn(asked.id, transcript="Where is the okapi now?")
    assert history.conversation(conversation.id).title == "Zoo"
    assert spoken.cues(spoken.utterances(history.path(conversation.id)))[0].text == "You: Where is the okapi now?"


def test_a_history_of_the_first_version_is_read(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "old.sqlite3", isolation_level=None)
    schema.migrate(db, schema.STEPS[:1])
    db.execute("INSERT INTO conversations (id, title, created_ms, updated_ms) VALUES ('c', 'old', 0, 0)")
    columns = "id, number, conversation, role, status, created_ms"
    db.execute(f"INSERT INTO turns ({columns}) VALUES ('t', 1, 'c', 'user', 'completed', 0)")
    schema.migrate(db)
    row = db.execute("SELECT transcript, unheard, reasoning, inspection FROM turns").fetchone()
    assert row == (None, None, "{}", "{}")
    db.close()


def test_a_path_can_be_read_while_turns_are_added(history: History) -> None:
    conversation = history.create().id
    done = threading.Event()

    def add() -> None:
        parent = None
        for number in range(150):
            parent = history.add_turn(conversation, "user", [TextPart(str(number))], parent).id
        done.set()

    writer = threading.Thread(target=add)
    writer.start()
    while not done.is_set():
        path = history.path(conversation)
        assert [turn.text for turn in path] == [str(number) for number in range(len(path))]
    writer.join()


def test_an_edit_branches_and_both_branches_stay(history: History) -> None:
    conversation = history.create()
    first = history.add_turn(conversation.id, "user", [TextPart("one")])
    answer = history.add_turn(conversation.id, "assistant", [TextPart("eins")], first.id)
    edited = history.add_turn(conversation.id, "user", [TextPart("two")], None)
    assert [turn.text for turn in history.path(conversation.id)] == ["two"]
    history.select(first.id)
    assert [turn.id for turn in history.path(conversation.id)] == [first.id, answer.id]
    history.select(edited.id)
    assert history.conversation(conversation.id).head == edited.id


def test_a_turn_of_another_conversation_is_no_parent(history: History) -> None:
    one, two = history.create(), history.create()
    turn = history.add_turn(one.id, "user", [TextPart("x")])
    with pytest.raises(NotKept):
        history.add_turn(two.id, "user", [TextPart("y")], turn.id)
    assert history.path(two.id) == []


def test_search_reads_titles_turns_and_file_names_literally(history: History) -> None:
    one, two = history.create("Fish 100%"), history.create("Birds")
    history.add_turn(one.id, "user", [TextPart("A red herring"), TextPart("x", "salt_list.txt")])
    history.add_turn(two.id, "user", [TextPart("A red robin")])
    queries = ("red", "red herring", "100%", "0%0", "salt_l", "x_")
    found = {query: [one.title for one in history.conversations(query)] for query in queries}
    assert found["red"] == ["Birds", "Fish 100%"]
    assert found["red herring"] == found["100%"] == found["salt_l"] == ["Fish 100%"]
    assert found["0%0"] == found["x_"] == []
    history.add_turn(two.id, "user", [TextPart("seen " * 60 + "a Red kite " + "again " * 60)])
    excerpts = history.excerpts("red")
    assert excerpts[one.id] == "A red herring" and excerpts[two.id] == "A red robin"
    (kite,) = history.excerpts("kite").values()
    assert "a Red kite again" in kite and kite[0] == kite[-1] == "…" and len(kite) <= 82
    assert history.excerpts("") == history.excerpts("fish") == {}


def test_a_conversation_knows_whether_anything_in_it_was_spoken(history: History) -> None:
    typed, asked_aloud, answered_aloud = history.create("1"), history.create("2"), history.create("3")
    history.add_turn(typed.id, "user", [TextPart("x")])
    history.add_turn(asked_aloud.id, "user", [MediaPart(sound(history, 0.1), "a.wav")])
    question = history.add_turn(answered_aloud.id, "user", [TextPart("x")])
    history.add_turn(answered_aloud.id, "assistant", [TextPart("y")], question.id, speech=sound(history, 0.2))
    spoken = {one.id for one in history.conversations() if one.spoken}
    assert spoken == {asked_aloud.id, answered_aloud.id}
    assert history.conversation(asked_aloud.id).spoken and not history.conversation(typed.id).spoken


def test_deleting_can_be_undone_until_it_is_purged(history: History) -> None:
    conversation = history.create("gone")
    medium = sound(history, 0.1)
    history.add_turn(conversation.id, "user", [MediaPart(medium, "a.wav")])
    history.delete(conversation.id)
    with pytest.raises(NotKept):
        history.path(conversation.id)
    assert history.conversations() == []
    history.purge(3600)
    assert history.restore(conversation.id).title == "gone"
    assert history.path(conversation.id)[0].media[0].medium == medium
    history.delete(conversation.id)
    history.purge(0)
    with pytest.raises(NotKept):
        history.restore(conversation.id)
    with pytest.raises(NotKept):
        history.media.path(medium.digest)


def test_media_that_are_shown_survive_a_purge_and_equal_ones_are_kept_once(history: History) -> None:
    conversation = history.create()
    medium, same = sound(history, 0.1), sound(history, 0.1)
    lonely = sound(history, 0.2)
    assert medium.digest == same.digest
    history.add_turn(conversation.id, "user", [MediaPart(medium, "a.wav")])
    history.purge(0)
    assert history.media.path(medium.digest).is_file()
    with pytest.raises(NotKept):
        history.medium(lonely.digest)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 64, "", "A" * 64, "\x00" * 64])
def test_only_digests_name_media(history: History, name: str) -> None:
    with pytest.raises(NotKept):
        history.media.path(name)


def test_a_second_process_is_refused(history: History, tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="another Tandem"):
        History(tmp_path / "history")


def test_a_newer_history_is_refused_and_left_alone(tmp_path: Path) -> None:
    History(tmp_path).close()
    with sqlite3.connect(tmp_path / "tandem.sqlite3") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryError, match="update Tandem"):
        History(tmp_path)


def test_a_migration_step_happens_whole_or_not_at_all() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db)
    bad = (*schema.STEPS, ("CREATE TABLE half (x)", "CREATE TABLE half (x)"))
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(db, bad)
    assert db.execute("PRAGMA user_version").fetchone() == (len(schema.STEPS),)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
    schema.migrate(db, (*schema.STEPS, ("CREATE TABLE half (x)",)))
    assert db.execute("PRAGMA user_version").fetchone() == (len(schema.STEPS) + 1,)


def test_answers_that_a_crash_cut_off_are_failed_ones(history: History, tmp_path: Path) -> None:
    conversation = history.create()
    asked = history.add_turn(conversation.id, "user", [TextPart("?")])
    history.add_turn(conversation.id, "assistant", [TextPart("The begi")], asked.id, "answering")
    history.close()
    again = History(tmp_path / "history")
    reply = again.path(conversation.id)[1]
    assert (reply.status, reply.error, reply.text) == ("failed", INTERRUPTED, "The begi")
    again.close()


WRITER = """
import sys
from pathlib import Path
from app.history.records import MediaPart, Medium, TextPart
from app.history.store import History
history = History(Path(sys.argv[1]))
conversation = history.create("kept")
print(conversation.id, flush=True)
parent = None
for number in range(100_000):
    data = f"medium {number} ".encode() * 4000
    digest = history.media.add(data)
    medium = history.keep(Medium(digest, "image", "image/png", len(data)))
    turn = history.add_turn(conversation.id, "user", [TextPart(f"turn {number}"), MediaPart(medium, "x")], parent)
    parent = turn.id
    print(turn.id, flush=True)
"""


def test_acknowledged_turns_survive_kill_9_at_any_moment(tmp_path: Path) -> None:
    moments = random.Random(5)
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE)
        assert child.stdout is not None
        conversation = child.stdout.readline().decode().strip()
        time.sleep(moments.uniform(0.02, 0.4))
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = child.stdout.read().decode().split()  # the pipe holds what was printed before the kill
        child.wait()
        child.stdout.close()
        history = History(folder)
        kept = history.path(conversation)
        assert [turn.id for turn in kept[: len(acknowledged)]] == acknowledged
        assert len(kept) <= len(acknowledged) + 1
        for number, turn in enumerate(kept):
            assert turn.text == f"turn {number}"
            data = history.media.path(turn.media[0].medium.digest).read_bytes()
            assert data == f"medium {number} ".encode() * 4000
        assert list((folder / "media" / "incoming").iterdir()) == []
        history.close()


def test_a_full_disk_is_said_and_leaves_no_half_turn(history: History) -> None:
    conversation = history.create("full")
    kept = history.add_turn(conversation.id, "user", [TextPart("short")])
    (pages,) = history._db.execute("PRAGMA page_count").fetchone()
    history._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DiskFull, match="disk is full"):
        history.add_turn(conversation.id, "user", [TextPart("long " * 20_000)], kept.id)
    assert history.path(conversation.id) == [kept]
    history._db.execute("PRAGMA max_page_count = 100000")
    history.add_turn(conversation.id, "user", [TextPart("long " * 20_000)], kept.id)
    assert len(history.path(conversation.id)) == 2


def test_a_medium_that_does_not_fit_leaves_nothing(history: History) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, old[1]))
    try:
        with pytest.raises(DiskFull, match="disk is full"):
            history.media.add(b"x" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path for path in history.media.folder.rglob("*") if path.is_file()] == []


def spoken_conversation(history: History) -> str:
    conversation = history.create("Talk")
    question, reply = sound(history, 1.0, 300.0), sound(history, 2.0, 500.0)
    asked = history.add_turn(conversation.id, "user", [MediaPart(question, "ask.wav"), TextPart("Listen")])
    words = "It is a tone. It has <b>two</b> parts!"
    history.add_turn(
        conversation.id, "assistant", [TextPart(words)], asked.id, speech=reply, model="omni-nano", ids=(1, 2)
    )
    history.add_turn(conversation.id, "user", [TextPart("Other branch")])
    history.select(asked.id)
    return conversation.id


def test_json_brings_back_every_branch_and_medium(history: History, tmp_path: Path) -> None:
    conversation = spoken_conversation(history)
    data = b"".join(export.to_json(history, history.conversation(conversation)))
    other = History(tmp_path / "other")
    imported = export.from_json(other, data)
    before, after = history.path(conversation), other.path(imported.id)
    assert [(t.role, t.status, t.parts, t.ids, t.speech, t.model) for t in before] == [
        (t.role, t.status, t.parts, t.ids, t.speech, t.model) for t in after
    ]
    assert len(other.turns(imported.id)) == 3
    for turn in after:
        for part in turn.media:
            assert (
                other.media.path(part.medium.digest).read_bytes() == history.media.path(part.medium.digest).read_bytes()
            )
    assert b"".join(export.to_json(other, imported)) == data
    other.close()


def test_damaged_imports_are_refused_and_add_nothing(history: History) -> None:
    conversation = spoken_conversation(history)
    good = json.loads(b"".join(export.to_json(history, history.conversation(conversation))))
    before = [one.id for one in history.conversations()]

    def changed(**fields: object) -> bytes:
        return json.dumps({**good, **fields}).encode()

    turns = good["turns"]
    medium = next(iter(good["media"]))
    bad = [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"format": "tandem-conversation"}',
        changed(version=2),
        changed(extra=1),
        changed(head=7),
        changed(turns=[{**turns[0], "parent": 0}]),
        changed(turns=[{**turns[0], "parts": [{"text": "a", "medium": medium}]}]),
        changed(media={}),
        changed(media={medium: {**good["media"][medium], "data": "AAAA"}}),
        changed(media={**good["media"], medium: {**good["media"][medium], "mime": "text/html"}}),
        changed(turns=[{**turns[0], "parts": [{"text": "\ud800"}]}]),
    ]
    for data in bad:
        with pytest.raises(BadImport):
            export.from_json(history, data)
    assert [one.id for one in history.conversations()] == before


def test_markdown_reads_as_the_conversation(history: History) -> None:
    conversation = spoken_conversation(history)
    text = export.markdown(history.conversation(conversation), history.path(conversation))
    assert text.startswith("# Talk\n\n## You\n\n*[sound: ask.wav]*\n\nListen\n\n## omni-nano\n\nIt is a tone.")
    assert "Other branch" not in text


def test_captions_lie_where_the_recording_speaks(history: History) -> None:
    conversation = spoken_conversation(history)
    found = spoken.utterances(history.path(conversation))
    cues = spoken.cues(found)
    assert [(cue.start_sec, cue.text) for cue in cues[:2]] == [
        (0.0, "You: [ask.wav]"),
        (1.4, "omni-nano: It is a tone."),
    ]
    assert cues[-1].end_sec == pytest.approx(3.4)
    assert all(one.end_sec <= two.start_sec + 1e-9 for one, two in zip(cues, cues[1:]))
    assert "00:00:01,400 --> " in spoken.srt(cues) and "&lt;b&gt;" in spoken.srt(cues)
    assert spoken.vtt(cues).startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n")

    def read(medium: Medium, rate_hz: int) -> np.ndarray:
        samples, rate = soundfile.read(history.media.path(medium.digest), dtype="float32")
        assert rate == rate_hz
        return samples

    recording = history.folder / "all.wav"
    recording.write_bytes(spoken.recording(found, read))
    samples, rate_hz = soundfile.read(recording, dtype="float32")
    assert rate_hz == 24_000 and len(samples) == round(3.4 * 24_000)
    for utterance in found:
        window = samples[round(utterance.start_sec * rate_hz) : round(utterance.end_sec * rate_hz)]
        assert np.abs(window).max() > 0.39
        assert int(np.argmax(np.abs(np.fft.rfft(window))) / len(window) * rate_hz) in (300, 500)
    assert np.abs(samples[round(1.02 * rate_hz) : round(1.38 * rate_hz)]).max() == 0.0

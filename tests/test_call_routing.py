"""A spoken turn is routed like a typed one: by its words, which come beside the Thinker's answer."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.realtime.items import Item
from app.realtime.response import Response
from app.realtime.routing import Routing
from app.told import Routed, Said
from multimodal.checkpoint import Checkpoint, load
from multimodal.media import AudioClip, Picture
from multimodal.prompt import Turn
from reasoning.backend import AnswerDelta, Done, Options, ReasoningDelta
from reasoning.errors import BackendUnavailable
from reasoning.router import Available, Request, route
from streaming.call import Call, CallSettings
from streaming.call_events import CallEvent, Interrupted, ReplyEvent, ReplyStarted, TurnStarted
from streaming.clock import ThreadLine
from streaming.dialogue import LiveDialogue
from streaming.events import Aside, ResponseDone, ScriptedEvent, SpeechChunk, TextDelta
from streaming.listening import Listening
from streaming.session import Conversation, ResponseOptions
from streaming.transcription import Transcribed, Transcription, transcribe
from streaming.turn import RATE_HZ, TurnDetector, TurnSettings
from tests.browser import RunningServer
from tests.realtime_client import call, manual, question
from tests.scripted_server import Reply, chunk, scripted
from tests.scripted_server import answer as reply_of
from tests.test_answering import HEAVY, Scripted, answering, says
from tests.test_listening import sound
from tests.test_turn import LoudIsSpeech

OPTIONS = ResponseOptions(greedy=True, seed=1, max_text_tokens=48, max_codes=40)
LIGHT = "What do you see?"


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(tiny_checkpoint)


class Dictated(Transcription):
    """Writes down what the test says, when the test says so."""

    def __init__(
        self, checkpoint: Checkpoint, text: str, now: threading.Event | None = None, sureness: float = 0.95
    ) -> None:
        super().__init__(checkpoint)
        self.text, self.now, self.sureness = text, now, sureness

    def write(self, wanted: Any) -> Transcribed:
        while self.now is not None and wanted() and not self.now.wait(0.005):
            pass
        return Transcribed(self.text, self.sureness)


def routing(
    checkpoint: Checkpoint, backend: Any, text: str, now: threading.Event | None = None, **more: Any
) -> Routing:
    return Routing(answering(backend, **more), checkpoint, lambda: "auto", lambda model: Dictated(model, text, now))


def spoken(
    checkpoint: Checkpoint, routing: Routing | None = None, pictures: int = 0
) -> tuple[Conversation, Transcription | None]:
    """A conversation whose last turn was spoken. pictures: of a camera that ran beside it; two make a film."""
    conversation = Conversation(checkpoint)
    listening = Listening(conversation, routing.transcription() if routing is not None else None)
    for number in range(pictures):
        listening.see((float(number), Picture(np.full((56, 56, 3), 80 * number, np.uint8))))
    listening.hear(sound(2.7))
    listening.commit()
    return conversation, listening.words


def answer(checkpoint: Checkpoint, routing: Routing, pictures: int = 0) -> tuple[Conversation, list[ScriptedEvent]]:
    conversation, words = spoken(checkpoint, routing, pictures)
    told: list[ScriptedEvent] = []
    routing.answer(conversation, OPTIONS, words).run(told.append)
    assert [isinstance(event, ResponseDone) for event in told].index(True) == len(told) - 1, "one end, and at the end"
    return conversation, told


def asides(events: list[ScriptedEvent], kind: type) -> list[Any]:
    return [event.event for event in events if isinstance(event, Aside) and isinstance(event.event, kind)]


def text(events: list[ScriptedEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def wave(events: list[ScriptedEvent]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *(event.samples for event in events if isinstance(event, SpeechChunk))])


def test_a_heavy_question_is_solved_by_the_backend_and_spoken_by_the_talker(checkpoint: Checkpoint) -> None:
    backend = Scripted(says("9.8 is ", "larger. ", "It has $x^2$ more."))
    conversation, told = answer(checkpoint, routing(checkpoint, backend, HEAVY))
    assert asides(told, Transcribed) == [Transcribed(HEAVY, 0.95)]
    assert [one.route.backend for one in asides(told, Routed)] == ["scripted"]
    assert backend.asked[0][-1].text == HEAVY, "the backend reads what was said"
    assert text(told) == "9.8 is larger. It has x squared more.", "nothing of the Thinker's own answer"
    assert len(wave(told)) > 0
    assert [turn.role for turn in conversation.turns] == ["user", "assistant"]
    assert isinstance(conversation.turns[0].content[0], AudioClip)
    assert conversation.turns[1].content == ("9.8 is larger. It has $x^2$ more.",)
    assert [(said.text, said.shown) for said in asides(told, Said)] == [
        ("9.8 is larger.", 14),
        ("It has x squared more.", 33),
    ]


@pytest.mark.parametrize("pictures", [1, 2])
def test_beside_a_running_camera_a_problem_goes_to_the_backend_and_the_picture_does_not(
    checkpoint: Checkpoint, pictures: int
) -> None:
    backend = Scripted(says("9.8 is larger."))
    conversation, told = answer(checkpoint, routing(checkpoint, backend, HEAVY), pictures)
    assert [one.route.backend for one in asides(told, Routed)] == ["scripted"]
    assert text(told) == "9.8 is larger."
    assert backend.asked[0][-1].content == (HEAVY,), "the words alone"
    assert len(conversation.turns[0].content) == (2 if pictures == 1 else 1), "the Thinker remembers what it saw"


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("words", ["Which number on the left is larger than 9.11 and 9.8?", "Solve the equation."])
def test_beside_a_running_camera_a_problem_that_is_seen_stays_with_the_thinker(
    checkpoint: Checkpoint, words: str, pictures: int
) -> None:
    plain = Scripted(says("Blind."))
    answer(checkpoint, routing(checkpoint, plain, words))
    assert plain.asked, "without a camera it is a problem for the backend"
    backend = Scripted()
    _, told = answer(checkpoint, routing(checkpoint, backend, words), pictures)
    assert [one.route.backend for one in asides(told, Routed)] == ["thinker"] and not backend.asked


def test_what_the_thinker_began_leaves_no_trace(checkpoint: Checkpoint) -> None:
    """The conversation goes on as one in which the backend was asked at once."""
    first, _ = answer(checkpoint, routing(checkpoint, Scripted(says("It is nine.")), HEAVY))
    other, _ = spoken(checkpoint)
    plain, asked = answering(Scripted(says("It is nine."))), [Turn("user", (HEAVY,))]
    list(plain.read_out(other, OPTIONS, plain.route(asked[0], [], "auto"), asked))
    after = []
    for conversation in (first, other):
        assert conversation.turns[-1].content == ("It is nine.",)
        conversation.append(Turn("user", ("And now?",)))
        events = list(conversation.respond(OPTIONS))
        after.append((text([*events]), conversation.length, wave([*events])))
    assert after[0][:2] == after[1][:2]
    np.testing.assert_allclose(after[0][2], after[1][2], atol=1e-4)


def test_the_thinkers_own_answer_is_the_same_with_and_without_routing(checkpoint: Checkpoint) -> None:
    alone, _ = spoken(checkpoint)
    expected = list(alone.respond(OPTIONS))
    backend = Scripted()
    conversation, told = answer(checkpoint, routing(checkpoint, backend, LIGHT))
    assert text(told) == text([*expected]) and not backend.asked
    np.testing.assert_array_equal(wave(told), wave([*expected]))
    assert conversation.turns[-1].ids == alone.turns[-1].ids


def test_the_thinkers_answer_waits_for_the_words_and_no_longer(checkpoint: Checkpoint) -> None:
    now = threading.Event()
    one = routing(checkpoint, Scripted(), LIGHT, now)
    conversation, words = spoken(checkpoint, one)
    told: list[tuple[float, ScriptedEvent]] = []
    reply = one.answer(conversation, OPTIONS, words)
    thread = threading.Thread(target=reply.run, args=(lambda event: told.append((time.monotonic(), event)),))
    thread.start()
    until = time.monotonic() + 20
    while len(conversation.turns) < 2 and time.monotonic() < until:  # the Thinker is through
        time.sleep(0.01)
    assert not told, "nothing is let out before the words are known"
    released = time.monotonic()
    now.set()
    thread.join(20)
    assert isinstance(told[-1][1], ResponseDone)
    assert told[-1][0] - released < 0.5, "all of it was ready"


def test_the_words_of_a_turn_that_is_spoken_equal_those_of_its_file(checkpoint: Checkpoint) -> None:
    for seconds in (0.7, 4.0, 5.3):
        samples = sound(seconds)
        conversation = Conversation(checkpoint)
        words = Transcription(checkpoint)
        listening = Listening(conversation, words)
        for piece in np.array_split(samples, 9):
            listening.hear(piece)
        listening.commit()
        expected = "".join(transcribe(checkpoint, AudioClip(samples, RATE_HZ), lambda: True))
        written = words.write(lambda: True)
        assert written.text == expected.strip() and 0 < written.sureness < 1
        assert words.write(lambda: True) == written, "asking again changes nothing"
    assert len(words.write(lambda: False).text) < len(expected)


@pytest.mark.parametrize("when", ["before the words", "while it thinks", "while it speaks", "after all it may say"])
def test_one_interruption_stops_words_backend_and_voice(checkpoint: Checkpoint, when: str) -> None:
    now, thinking, stopped = threading.Event(), threading.Event(), threading.Event()

    def endless(options: Options) -> Iterator[Any]:
        options.cancellation.on_cancel(stopped.set)
        yield ReasoningDelta("Hm. ")
        thinking.set()
        if when == "while it speaks":
            yield AnswerDelta("The first sentence is whole. And ")
        if when == "after all it may say":
            yield AnswerDelta(f"It says {'more and ' * 30}. ")
        while not options.cancellation.cancelled:
            time.sleep(0.005)
        yield Done("cancelled", truncated=True)

    one = routing(checkpoint, Scripted(endless), HEAVY, now)
    conversation, words = spoken(checkpoint, one)
    told: list[ScriptedEvent] = []
    reply = one.answer(conversation, OPTIONS, words)
    thread = threading.Thread(target=reply.run, args=(told.append,))
    thread.start()
    if when != "before the words":
        now.set()
        assert thinking.wait(20)
    until = time.monotonic() + 20
    while when == "while it speaks" and not len(wave(list(told))) and time.monotonic() < until:
        time.sleep(0.005)
    while when == "after all it may say" and len(conversation.turns) < 2 and time.monotonic() < until:
        time.sleep(0.005)
    reply.cancel()
    thread.join(5)
    assert not thread.is_alive()
    status = "length" if when == "after all it may say" else "cancelled"
    assert [event.status for event in told if isinstance(event, ResponseDone)] == [status]
    assert stopped.is_set() == (when != "before the words")
    conversation.append(Turn("user", ("Hello",)))  # it is quiet again
    assert list(conversation.respond(OPTIONS))[-1].status in ("completed", "length")  # type: ignore[union-attr]


def test_of_an_interrupted_answer_the_words_that_were_heard_are_shown() -> None:
    item = Item({"id": "item"}, "turn", 1)
    reply = Response(lambda kind, **fields: None, item, OPTIONS, True, lambda: None)
    text = "The area is $x^2$. It is **larger** than 9. That is all."
    reply.take(Routed(route(Request(HEAVY, choice="mine", available=(Available("mine", frozenset()),)))))
    for event in (TextDelta(0, text), Said("The area is x squared.", 18), Said("It is larger than 9.", 43)):
        reply.take(event)
    kept = {
        "": "",
        "The area": "The area",
        "The area is x squared.": "The area is $x^2$.",
        "The area is x squared. It is larg": "The area is $x^2$. It is",
        "The area is x squared. It is larger": "The area is $x^2$. It is **larger**",
        "The area is x squared. It is larger than 9.": "The area is $x^2$. It is **larger** than 9.",
    }
    assert {said: reply.shown(said) for said in kept} == kept
    assert reply.shown("Wait. The area is", notice="Wait.") == "The area is"


def test_a_backend_that_fails_leaves_the_answer_to_the_thinker(checkpoint: Checkpoint) -> None:
    def down(options: Options) -> Iterator[Any]:
        raise BackendUnavailable("the server is not reachable.")
        yield

    _, told = answer(checkpoint, routing(checkpoint, Scripted(down), HEAVY))
    alone, _ = spoken(checkpoint)
    assert text(told) == text([*alone.respond(OPTIONS)])
    assert [one.route.backend for one in asides(told, Routed)] == ["scripted", "thinker"]


def test_words_that_cannot_be_written_down_leave_the_answer_to_the_thinker(checkpoint: Checkpoint) -> None:
    class Broken(Transcription):
        def write(self, wanted: Any) -> Transcribed:
            raise RuntimeError("out of memory")

    backend = Scripted()
    one = Routing(answering(backend), checkpoint, lambda: "auto", Broken)
    _, told = answer(checkpoint, one)
    alone, _ = spoken(checkpoint)
    assert text(told) == text([*alone.respond(OPTIONS)]) and not backend.asked


def test_words_that_were_not_clear_decide_for_nobody_else(checkpoint: Checkpoint) -> None:
    backend = Scripted()
    one = Routing(answering(backend), checkpoint, lambda: "auto", lambda model: Dictated(model, HEAVY, None, 0.7))
    _, told = answer(checkpoint, one)
    (routed,) = asides(told, Routed)
    assert routed.route.backend == "thinker" and "not clear enough to ask scripted" in routed.route.reason
    chosen = Routing(
        answering(Scripted(says("9.8."))),
        checkpoint,
        lambda: "scripted",
        lambda model: Dictated(model, HEAVY, None, 0.7),
    )
    _, told = answer(checkpoint, chosen)
    assert text(told) == "9.8.", "the user's choice stands"


def test_without_a_backend_nothing_is_written_down(checkpoint: Checkpoint) -> None:
    one = routing(checkpoint, Scripted(), HEAVY)
    one.answering.backends.entries.clear()
    assert one.transcription() is None
    thinker = Routing(answering(Scripted()), checkpoint, lambda: "thinker")
    assert thinker.transcription() is None


def test_in_a_call_a_follow_up_goes_on_with_the_backend_and_a_barge_in_stops_it(checkpoint: Checkpoint) -> None:
    """Spoken, answered by the backend, followed up by voice, interrupted: on real threads, with the real Thinker."""
    stopped, speaking = threading.Event(), threading.Event()

    def endless(options: Options) -> Iterator[Any]:
        options.cancellation.on_cancel(stopped.set)
        yield AnswerDelta("The second answer is long. ")
        while not options.cancellation.cancelled:
            time.sleep(0.005)
        yield Done("cancelled", truncated=True)

    backend = Scripted(says("9.8."), endless)
    said = iter([HEAVY, "And 9.9 or 9.12?", "And 7?"])
    one = Routing(answering(backend), checkpoint, lambda: "auto", lambda model: Dictated(model, next(said)))
    line, dones = ThreadLine(), [threading.Event(), threading.Event()]
    events: list[CallEvent] = []

    def emit(event: CallEvent) -> None:
        events.append(event)
        if isinstance(event, ReplyEvent) and isinstance(event.event, ResponseDone):
            dones[min(event.reply, 2) - 1].set()
        if isinstance(event, ReplyEvent) and event.reply == 2 and isinstance(event.event, SpeechChunk):
            speaking.set()

    conversation = Conversation(checkpoint)
    detector = TurnDetector(LoudIsSpeech(), TurnSettings(patience_ms=100))
    settings = CallSettings(warm_up_ms=0, grace_ms=0)
    call = Call(LiveDialogue(conversation, line, one), detector, line, emit, OPTIONS, settings, 24_000)
    speech = np.full(RATE_HZ // 2, 0.5, np.float32)
    quiet = np.zeros(RATE_HZ // 4, np.float32)
    line.post(lambda: call.hear(np.concatenate([speech, quiet])))
    assert dones[0].wait(30)
    line.post(lambda: call.played(1, 10**9))
    line.post(lambda: call.hear(np.concatenate([speech, quiet])))
    assert speaking.wait(30)
    line.post(lambda: call.hear(speech))
    assert dones[1].wait(10) and stopped.wait(1)
    until = time.monotonic() + 10
    while not any(isinstance(event, Interrupted) for event in events) and time.monotonic() < until:
        time.sleep(0.01)
    line.post(call.close)
    line.close()
    assert [m.text for m in backend.asked[1] if m.role == "user"] == [HEAVY, "And 9.9 or 9.12?"]
    assert [type(e) for e in events if isinstance(e, ReplyStarted | Interrupted | TurnStarted)][:5] == [
        TurnStarted,
        ReplyStarted,
        TurnStarted,
        ReplyStarted,
        TurnStarted,
    ]
    (cut,) = [event for event in events if isinstance(event, Interrupted)]
    assert "The second answer is long.".startswith(cut.text.strip())


def test_places_that_a_backend_gives_in_a_call_are_kept_and_not_spelled(tmp_path: Path, tiny_checkpoint: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (224, 112), "white").save(picture, "JPEG")
    url = "data:image/jpeg;base64," + base64.b64encode(picture.getvalue()).decode()
    content = [{"type": "input_image", "image_url": url}, {"type": "input_text", "text": "Where is the cup?"}]
    found = '[{"bbox_2d": [28, 0, 56, 84], "label": "cup"}]'
    with scripted(reply_of(found)) as backend:
        flags = ("--max-tokens", "48", "--backends", f"qwen2.5-vl-7b-instruct@{backend.url}")
        with contextlib.closing(RunningServer(tmp_path / "data", tiny_checkpoint, *flags)) as server:
            with call(server) as client:
                manual(client)
                item = {"type": "message", "role": "user", "content": content}
                client.send("conversation.item.create", item=item)
                client.send("response.create")
                done = client.until("response.done")["response"]
                # Before the client leaves, which cuts the answer back to what was heard.
                turns = httpx.get(f"{server.url}/api/conversations/{done['conversation_id']}").json()["turns"]
    assert done["output"][0]["content"][0]["transcript"] == "I have marked it in the picture."
    assert turns[1]["text"] == found
    (box,) = turns[1]["places"]
    assert (box["left"], box["top"], box["right"], box["bottom"], box["label"]) == (28, 0, 56, 84, "cup")
    assert turns[0]["parts"][0]["digest"] in turns[1]["places_of"]


def test_over_the_socket_a_backends_answer_is_spoken_shown_and_kept(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """The user's choice stands for the words here: a random model writes down noise."""
    long = Reply(
        [chunk(content="The sum is **12**, and it is a long sum. "), chunk(content="It goes on. ")], end="hang"
    )
    longer = Reply([chunk(content="It **goes** on and on and on and on and on and on and on. ")], end="hang")
    with scripted(reply_of("First, $x = 7$. ", "Then **12**."), long, longer) as backend:
        flags = ("--seed", "0", "--max-tokens", "64", "--backends", f"mine@{backend.url}", "--backend", "mine")
        with contextlib.closing(RunningServer(tmp_path / "data", tiny_checkpoint, *flags)) as server:
            with call(server) as client:
                manual(client, audio={"input": {"turn_detection": None, "transcription": {"model": "any"}}})
                client.hear(question(0.1))
                client.send("input_audio_buffer.commit")
                client.send("response.create")
                done = client.until("response.done")["response"]
                kinds = client.kinds()
                assert kinds.count("conversation.item.input_audio_transcription.completed") == 1
                assert next(e for e in client.events if e["type"] == "tandem.response.routed")["backend"] == "mine"
                assert done["output"][0]["content"][0]["transcript"] == "First, x equals 7. Then 12."
                client.hear(question(0.1))
                client.send("input_audio_buffer.commit")
                client.send("response.create")
                item = client.until("response.output_audio.delta")["item_id"]
                client.send("response.cancel")
                client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=0)
                assert client.until("response.done")["response"]["status"] == "cancelled"
                client.until("conversation.item.truncated")
                assert backend.stopped.wait(5), "one interruption stops the backend, too"
                client.hear(question(0.1))
                client.send("input_audio_buffer.commit")
                client.send("response.create")
                event = client.until("response.output_audio.delta")
                item, sent_ms = event["item_id"], len(base64.b64decode(event["delta"])) / 48
                client.send(
                    "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=round(0.9 * sent_ms)
                )
                client.until("conversation.item.truncated")
                client.send("conversation.item.retrieve", item_id=item)
                cut = client.until("conversation.item.retrieved")["item"]["content"][0]["transcript"]
            turns = httpx.get(f"{server.url}/api/conversations/{done['conversation_id']}").json()["turns"]
    heard = next(e for e in client.events if e["type"].endswith("transcription.completed"))["transcript"]
    assert [message["content"] for message in backend.requests[1][2]["messages"]][-2] == "First, $x = 7$. Then **12**."
    assert turns[0]["transcript"] == heard and turns[1]["text"] == "First, $x = 7$. Then **12**."
    assert turns[1]["route"]["backend"] == turns[1]["model"] == "mine"
    assert (turns[3]["text"], turns[3]["status"]) == ("", "cancelled")
    assert turns[3]["unheard"].startswith("The sum is **12**, and")
    shown = turns[5]["text"]
    assert shown + turns[5]["unheard"] == "It **goes** on and on and on and on and on and on and on. "
    assert cut.startswith(shown.replace("**", "")) and len(cut) - len(shown.replace("**", "")) < len(" goes")

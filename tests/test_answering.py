"""Who answers: the router's choice, a backend's text shown as it comes and said by the Thinker and the Talker, tools,
fallback, and one stop for both."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from app.answering import Answering
from app.backends import Backends, configured
from app.cli import app
from app.config import Config
from app.told import Answered, ExpertUse, Reasoning, Routed, Tool
from app.web.told import MOST_TOKENS
from app.web.told import Told as Gathered
from multimodal.checkpoint import Checkpoint, load
from multimodal.media import AudioClip
from multimodal.prompt import Turn
from reasoning import tool_loop
from reasoning.backend import AnswerDelta, Done, Options, ReasoningDelta, Usage
from reasoning.errors import BackendUnavailable, ToolUnavailable
from reasoning.messages import Message, ToolCall
from reasoning.openai_backend import OpenAiBackend, Remote
from reasoning.profiles import load_profiles
from reasoning.tools.python_tool import PythonTool, ToolResult
from streaming.events import ResponseDone, SpeechChunk, TextDelta
from streaming.script import Script
from streaming.session import Conversation, ResponseOptions
from streaming.transcription import Transcribed
from tests.family_checkpoints import write_checkpoint
from tests.scripted_server import Reply, answer, chunk, scripted

HEAVY = "Which number is larger, 9.11 or 9.8?"
OPTIONS = ResponseOptions(greedy=True, seed=1, max_text_tokens=48, max_codes=60)


class Scripted:
    """A backend that does what the test says, and remembers what it was asked."""

    def __init__(self, *rounds: Callable[[Options], Iterator[Any]], name: str = "scripted") -> None:
        self.rounds, self.name = list(rounds), name
        self.sees, self.continues, self.sight = False, False, None
        self.asked: list[list[Message]] = []
        self.options: list[Options] = []

    def stream(self, messages: Sequence[Message], options: Options) -> Iterator[Any]:
        self.asked.append(list(messages))
        self.options.append(options)
        yield from self.rounds.pop(0)(options)

    def close(self) -> None: ...


class FakePython(PythonTool):
    def check(self) -> str:
        return "landlock"

    def run(self, code: str, cancellation: Any = None) -> ToolResult:
        return ToolResult("ok", stdout=f"{max(9.11, 9.8)}\n")


class NoPython(PythonTool):
    def check(self) -> str:
        raise ToolUnavailable("Python code cannot be isolated here")


def says(*texts: str, thinks: str = "Compare them.") -> Callable[[Options], Iterator[Any]]:
    def stream(options: Options) -> Iterator[Any]:
        if thinks:
            yield ReasoningDelta(thinks)
        for text in texts:
            yield AnswerDelta(text)
        yield Usage(10, 5)
        yield Done("stop")

    return stream


def calls(code: str) -> Callable[[Options], Iterator[Any]]:
    def stream(options: Options) -> Iterator[Any]:
        yield ReasoningDelta("I will compute it.")
        yield ToolCall("x", "python", f'{{"code": "{code}"}}')
        yield Usage(10, 5)
        yield Done("tool_calls")

    return stream


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(tiny_checkpoint)


def answering(backend: Any, tool: PythonTool | None = None, notice: str = "") -> Answering:
    backends = Backends([])
    backends.add(backend, load_profiles().family("moe-nano"))
    return Answering(backends, tool, notice)


def asked(checkpoint: Checkpoint, text: str = HEAVY) -> Conversation:
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", (text,)))
    return conversation


def of(kind: type, events: Sequence[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_a_heavy_question_goes_to_the_backend_is_shown_and_spoken(checkpoint: Checkpoint) -> None:
    conversation = asked(checkpoint)
    backend = Scripted(says("9.8 is ", "larger. ", "It has $x^2$ more."))
    events = list(answering(backend).respond(conversation, OPTIONS))
    assert isinstance(events[0], Routed) and events[0].route.backend == "scripted"
    assert "".join(event.text for event in of(TextDelta, events)) == "9.8 is larger. It has $x^2$ more."
    assert [event.text for event in of(Reasoning, events)] == ["Compare them."]
    assert sum(len(event.samples) for event in of(SpeechChunk, events)) > 0
    done = events[-1]
    assert isinstance(done, ResponseDone) and done.status in ("completed", "length")
    assert done.text == "9.8 is larger. It has $x^2$ more."
    last = conversation.turns[-1]
    assert last.content == (done.text,)
    spoken = checkpoint.tokenizer.decode(last.ids)
    assert spoken == "9.8 is larger. It has x squared more."
    assert of(Answered, events)[0].spent == Usage(10, 5)


@pytest.mark.parametrize(
    ("sureness", "choice", "backend"),
    [(0.9, "auto", "scripted"), (0.5, "auto", "thinker"), (0.5, "scripted", "scripted"), (0.9, "thinker", "thinker")],
)
def test_a_question_that_was_only_spoken_is_routed_by_its_words(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, sureness: float, choice: str, backend: str
) -> None:
    words = Transcribed(HEAVY, sureness)
    monkeypatch.setattr("app.answering.write_down", lambda *_: words)
    clip = AudioClip(np.zeros(16_000, np.float32), 16_000)
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", (clip,)))
    scripted = Scripted(says("9.8."))
    events = list(answering(scripted).respond(conversation, OPTIONS, choice))
    assert of(Transcribed, events) == ([words] if choice != "thinker" else [])
    assert [event.route.backend for event in of(Routed, events)] == [backend]
    assert [message.text for asked in scripted.asked for message in asked] == [HEAVY] * (backend == "scripted")
    assert conversation.turns[0].content == (clip,), "the Thinker remembers what it heard"


def test_a_sound_with_words_beside_it_stays_with_the_thinker(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.answering.write_down", None)
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", (AudioClip(np.zeros(16_000, np.float32), 16_000), HEAVY)))
    events = list(answering(Scripted()).respond(conversation, OPTIONS))
    assert of(Routed, events)[0].route.backend == "thinker"


def test_a_light_question_stays_with_the_thinker(checkpoint: Checkpoint) -> None:
    backend = Scripted()
    events = list(answering(backend).respond(asked(checkpoint, "Hello there"), OPTIONS))
    assert events[0].route.backend == "thinker" and not backend.asked  # type: ignore[union-attr]
    assert "".join(event.text for event in of(TextDelta, events)) == events[-1].text  # type: ignore[union-attr]


def test_what_is_read_out_costs_and_leaves_what_the_thinker_s_own_words_would(checkpoint: Checkpoint) -> None:
    """Streaming equals offline: after the script the conversation goes on as one that holds the same turns."""
    conversation = asked(checkpoint)
    script = Script()
    for sentence in ("One sentence.", "And another one."):
        script.say(sentence)
    script.end()
    events = list(conversation.respond(OPTIONS, script))
    text = "".join(event.text for event in of(TextDelta, events))
    assert text == "One sentence. And another one."
    fresh = Conversation(checkpoint)
    for turn in conversation.turns:
        fresh.append(turn)
    waves = []
    for one in (conversation, fresh):
        one.append(Turn("user", ("Go on",)))
        after: list[Any] = list(one.respond(OPTIONS))
        waves.append((after[-1].text, np.concatenate([e.samples for e in of(SpeechChunk, after)] or [np.zeros(1)])))
    assert waves[0][0] == waves[1][0]
    np.testing.assert_allclose(waves[0][1], waves[1][1], atol=2e-4)


def test_the_first_sentence_is_spoken_while_the_backend_still_writes(checkpoint: Checkpoint) -> None:
    go_on = threading.Event()

    def slow(options: Options) -> Iterator[Any]:
        yield AnswerDelta("The first sentence is whole. And ")
        assert go_on.wait(20), "no sound came while the backend waited"
        yield AnswerDelta("the second one.")
        yield Done("stop")

    heard = False
    for event in answering(Scripted(slow)).respond(asked(checkpoint), OPTIONS):
        if isinstance(event, SpeechChunk):
            heard = True
            go_on.set()
    assert heard


@pytest.mark.parametrize("tool", [None, NoPython()])
def test_a_backend_that_fails_before_its_first_word_is_replaced_and_the_user_is_told(
    checkpoint: Checkpoint, tool: PythonTool | None
) -> None:
    def down(options: Options) -> Iterator[Any]:
        raise BackendUnavailable("the server is not reachable.")
        yield

    conversation = asked(checkpoint)
    events = list(answering(Scripted(down), tool).respond(conversation, OPTIONS))
    routes = [event.route for event in of(Routed, events)]
    assert [one.backend for one in routes] == ["scripted", "thinker"]
    assert "does not answer (the server is not reachable)" in routes[1].reason
    own = "".join(event.text for event in of(TextDelta, events))
    alone = asked(checkpoint)
    assert own == list(alone.respond(OPTIONS))[-1].text == events[-1].text  # type: ignore[union-attr]
    assert conversation.turns[-1].ids == alone.turns[-1].ids


@pytest.mark.parametrize(
    ("done", "why"),
    [
        (Done("error", truncated=True, error="the connection was lost."), "the connection was lost"),
        (Done("length", truncated=True), "its thoughts reached the limit of tokens"),
        (Done("loop", truncated=True), "its thoughts went round in circles"),
        (Done("stop"), "it ended without an answer"),
    ],
)
def test_a_backend_that_thinks_and_never_answers_is_replaced_and_its_thoughts_are_kept(
    checkpoint: Checkpoint, done: Done, why: str
) -> None:
    def thinks(options: Options) -> Iterator[Any]:
        yield ReasoningDelta("Hm.")
        yield done

    events = list(answering(Scripted(thinks)).respond(asked(checkpoint), OPTIONS))
    routes = [event.route for event in of(Routed, events)]
    assert [one.backend for one in routes] == ["scripted", "thinker"]
    assert f"does not answer ({why})" in routes[1].reason
    assert events[-1].text == list(asked(checkpoint).respond(OPTIONS))[-1].text  # type: ignore[union-attr]
    gathered = Gathered()
    for event in events:
        gathered.take(event)
    assert gathered.fields()["reasoning"]["text"] == "Hm." and "model" not in gathered.fields()


def test_a_backend_that_breaks_off_keeps_what_it_said_and_says_so(checkpoint: Checkpoint) -> None:
    def cut(options: Options) -> Iterator[Any]:
        yield AnswerDelta("It is ")
        yield Done("error", truncated=True, error="the connection was lost: ask again")

    done = list(answering(Scripted(cut)).respond(asked(checkpoint), OPTIONS))[-1]
    assert isinstance(done, ResponseDone)
    assert (done.status, done.text, done.error) == ("failed", "It is ", "the connection was lost: ask again")


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_one_stop_stops_the_backend_and_the_voice(checkpoint: Checkpoint, how: str) -> None:
    stopped = threading.Event()

    def endless(options: Options) -> Iterator[Any]:
        options.cancellation.on_cancel(stopped.set)
        yield ReasoningDelta("Hm. ")
        while not options.cancellation.cancelled:
            time.sleep(0.01)
        yield Done("cancelled", truncated=True)

    conversation = asked(checkpoint)
    events = answering(Scripted(endless)).respond(conversation, OPTIONS)
    for event in events:
        if isinstance(event, Reasoning):
            if how == "close":
                events.close()  # type: ignore[attr-defined]
                break
            conversation.cancel()
    assert stopped.wait(5)
    conversation.append(Turn("user", ("Hello",)))  # it is quiet again
    assert list(conversation.respond(OPTIONS))[-1].status in ("completed", "length")  # type: ignore[union-attr]


def test_one_stop_also_stops_a_program_that_runs(checkpoint: Checkpoint) -> None:
    backend = Scripted(calls("while True: pass"), says("never asked"))
    conversation = asked(checkpoint)
    started = 0.0
    for event in answering(backend, PythonTool()).respond(conversation, OPTIONS):
        if isinstance(event, Tool) and event.result is None:
            started = time.monotonic()
            conversation.cancel()
    assert 0 < time.monotonic() - started < 5, "the tool's own limit is 10 s"
    assert len(backend.asked) == 1 and not [t for t in threading.enumerate() if t.name == "backend"]


def test_a_notice_is_spoken_while_it_thinks_and_not_shown(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def thinks(options: Options) -> Iterator[Any]:
        time.sleep(0.4)
        yield AnswerDelta("Done.")
        yield Done("stop")

    monkeypatch.setattr(Script.__init__, "__defaults__", ("", 0.05))
    conversation = asked(checkpoint)
    events = list(answering(Scripted(thinks), notice="Let me think.").respond(conversation, OPTIONS))
    assert events[-1].text == "Done."  # type: ignore[union-attr]
    assert checkpoint.tokenizer.decode(conversation.turns[-1].ids) == "Let me think. Done."


def test_a_notice_before_a_failure_leaves_the_thinker_s_answer_as_it_would_be(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_late(options: Options) -> Iterator[Any]:
        time.sleep(0.4)
        yield Done("error", truncated=True, error="the server is gone")

    monkeypatch.setattr(Script.__init__, "__defaults__", ("", 0.05))
    conversation, alone = asked(checkpoint), asked(checkpoint)
    events = list(answering(Scripted(fails_late), notice="Let me think.").respond(conversation, OPTIONS))
    *own, done = alone.respond(OPTIONS)
    assert events[-1].text == done.text  # type: ignore[union-attr]
    assert conversation.turns[-1].ids == alone.turns[-1].ids
    assert "".join(event.text for event in of(TextDelta, events)) == done.text  # type: ignore[union-attr]
    said, answered = (sum(len(event.samples) for event in of(SpeechChunk, one)) for one in (events, own))
    assert said > 0 and answered > 0
    for one in (conversation, alone):
        one.append(Turn("user", ("Go on",)))
    texts = [list(one.respond(OPTIONS))[-1].text for one in (conversation, alone)]  # type: ignore[union-attr]
    assert texts[0] == texts[1]


def test_tools_are_run_shown_and_read_by_the_model(checkpoint: Checkpoint) -> None:
    backend = Scripted(calls("print(max(9.11, 9.8))"), says("9.8 is larger.", thinks=""))
    events = list(answering(backend, FakePython()).respond(asked(checkpoint), OPTIONS))
    shown = of(Tool, events)
    assert [(one.code, one.result) for one in shown] == [
        ("print(max(9.11, 9.8))", None),
        ("print(max(9.11, 9.8))", "9.8"),
    ]
    assert events[-1].text == "9.8 is larger."  # type: ignore[union-attr]
    second = backend.asked[1]
    assert [message.role for message in second] == ["user", "assistant", "tool"]
    assert (second[1].reasoning, second[2].text) == ("I will compute it.", "9.8")
    assert [spec.name for spec in backend.options[0].tools] == ["python"]
    gathered = Gathered()
    for event in events:
        gathered.take(event)
    fields = gathered.fields()
    assert fields["route"]["backend"] == fields["model"] == "scripted"
    assert "```python\nprint(max(9.11, 9.8))\n```" in fields["reasoning"]["text"]
    assert "```output\n9.8\n```" in fields["reasoning"]["text"]


def test_programs_in_the_text_of_an_answer_are_run_and_shown_once(checkpoint: Checkpoint) -> None:
    backend = Scripted(says("Compute.\n```python\nprint(9.8)\n```\n", thinks=""), says("It is 9.8.", thinks=""))
    backends = Backends([])
    backends.add(backend, load_profiles().family("qwen2.5-math"))
    events = list(Answering(backends, FakePython()).respond(asked(checkpoint), OPTIONS))
    text = "Compute.\n```python\nprint(9.8)\n```\n```output\n9.8\n```\nIt is 9.8."
    assert events[-1].text == text  # type: ignore[union-attr]
    assert [(one.result, one.in_text) for one in of(Tool, events)] == [("9.8", True)]
    gathered = Gathered()
    for event in events:
        gathered.take(event)
    assert "reasoning" not in gathered.fields()


def test_two_calls_at_once_are_both_answered(checkpoint: Checkpoint) -> None:
    def twice(options: Options) -> Iterator[Any]:
        for code in ("print(1)", "print(2)"):
            yield ToolCall("same", "python", f'{{"code": "{code}"}}')
        yield Done("tool_calls")

    backend = Scripted(twice, says("Both.", thinks=""))
    events = list(answering(backend, FakePython()).respond(asked(checkpoint), OPTIONS))
    assert [(one.code, bool(one.result), one.in_text) for one in of(Tool, events)] == [
        (code, done, False) for done in (False, True) for code in ("print(1)", "print(2)")
    ]
    *_, called, first, second = backend.asked[1]
    assert (
        [call.id for call in called.tool_calls] == [first.tool_call_id, second.tool_call_id] == ["call_1_1", "call_1_2"]
    )


def asks_badly(name: str, arguments: str) -> Callable[[Options], Iterator[Any]]:
    def stream(options: Options) -> Iterator[Any]:
        yield ToolCall("x", name, arguments)
        yield Done("tool_calls")

    return stream


@pytest.mark.parametrize(("name", "arguments"), [("", ""), ("", '{"code": "1"}'), ("python", "{oops"), ("python", "3")])
def test_a_call_that_cannot_be_read_is_told_and_may_be_made_once_more(
    checkpoint: Checkpoint, name: str, arguments: str
) -> None:
    bad = asks_badly(name, arguments)
    backend = Scripted(bad, calls("print(1)"), says("9.8.", thinks=""))
    events = list(answering(backend, FakePython()).respond(asked(checkpoint), OPTIONS))
    assert events[-1].text == "9.8." and len(of(Routed, events)) == 1  # type: ignore[union-attr]
    *_, called, told = backend.asked[1]
    assert [(one.name, one.arguments) for one in called.tool_calls] == [("python", "{}")], "as any server takes it"
    assert '{"code": "…"}' in told.text
    backend = Scripted(bad, bad, says("never asked"))
    events = list(answering(backend, FakePython()).respond(asked(checkpoint), OPTIONS))
    assert len(backend.asked) == 2
    assert "in a form that cannot be read" in of(Routed, events)[-1].route.reason
    assert events[-1].text == list(asked(checkpoint).respond(OPTIONS))[-1].text  # type: ignore[union-attr]


def test_a_model_that_asks_for_its_tool_even_where_none_is_offered_is_replaced(checkpoint: Checkpoint) -> None:
    backend = Scripted(*[calls("print(1)")] * 20)
    events = list(answering(backend, FakePython()).respond(asked(checkpoint), OPTIONS))
    assert len(backend.asked) == tool_loop.MOST_ROUNDS + 1
    assert "asked for its tool without end" in of(Routed, events)[-1].route.reason


@pytest.mark.parametrize(
    ("printed", "read"),
    [
        ("3.6666666666666665", "3.66667"),
        ("x = -33.333333333333336.", "x = -33.3333."),
        ("[0.30000000000000004, 1234567.1234567891]", "[0.3, 1234567.1235]"),
        ("0.0012345678901234567 1.4285714285714286e-05", "0.00123457 1.42857e-05"),
        ("3.14159265358979323846 2.5 v1.2.3333333333333333", "3.14159265358979323846 2.5 v1.2.3333333333333333"),
        ("1000000000000000000 3.6667", "1000000000000000000 3.6667"),
    ],
)
def test_a_family_that_copies_few_digits_reads_inexact_numbers_cut(printed: str, read: str) -> None:
    result = ToolResult("ok", stdout=printed)
    assert tool_loop.output(result, digits=6) == read
    assert tool_loop.output(result) == printed


def test_tool_rounds_end_and_unknown_tools_are_answered() -> None:
    def unknown(options: Options) -> Iterator[Any]:
        if not options.tools:
            yield AnswerDelta("I give up.")
            yield Done("stop")
            return
        yield ToolCall("x", "browser", "{}")
        yield Done("tool_calls")

    backend = Scripted(*[unknown] * 20)
    events = list(tool_loop.answer(backend, FakePython(), [Message("user", ("Hi",))]))
    assert len(of(tool_loop.ToolDone, events)) == tool_loop.MOST_ROUNDS
    assert "there is no tool 'browser'" in backend.asked[-1][-1].text
    assert events[-1] == Done("stop")


def test_without_isolation_the_model_is_asked_without_the_tool(checkpoint: Checkpoint) -> None:
    backend = Scripted(says("9.8."))
    list(answering(backend, NoPython()).respond(asked(checkpoint), OPTIONS))
    assert backend.options[0].tools == ()


def test_a_short_follow_up_stays_with_the_backend_which_reads_what_was_shown(checkpoint: Checkpoint) -> None:
    backend = Scripted(says("9.8 is larger.\n\n```python\nprint(9.8)\n```\n", thinks=""), says("9.9 is larger."))
    one, conversation = answering(backend), asked(checkpoint)
    list(one.respond(conversation, OPTIONS))
    conversation.append(Turn("user", ("And 9.9 or 9.12?",)))
    events = list(one.respond(conversation, OPTIONS))
    assert events[0].route.backend == "scripted"  # type: ignore[union-attr]
    assert [message.role for message in backend.asked[1]] == ["user", "assistant", "user"]
    assert "print(9.8)" in backend.asked[1][1].text


def test_a_follow_up_from_a_file_tells_the_server_what_was_asked_and_shown(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    thinks = Reply([chunk(reasoning_content="Compare."), chunk(content="**9.8** is larger."), chunk(finish="stop")])
    asked = (HEAVY, "And if it were twice that?", "Hello there", "And if it were half of that?")
    with scripted(thinks, answer("Then 19.6."), answer("Never asked.")) as server:
        flags = ["--backends", f"qwen3-30b-a3b@{server.url}", "--model", str(tiny_checkpoint), "--max-tokens", "6"]
        told = []
        for text in asked:
            ran = CliRunner().invoke(
                app, ["ask", text, *flags, "--json", "--conversation", str(tmp_path / "talk.json")]
            )
            assert ran.exit_code == 0, ran.output
            told.append(json.loads(ran.stdout.splitlines()[-1]))
        bodies = [body for _, _, body in server.requests]
    backends = [one["route"]["backend"] for one in told]
    assert backends == ["qwen3-30b-a3b", "qwen3-30b-a3b", "thinker", "thinker"], "a greeting ends the problem"
    assert [(one["role"], one["content"]) for one in bodies[1]["messages"]] == [
        ("user", HEAVY),
        ("assistant", "**9.8** is larger."),
        ("user", asked[1]),
    ]
    assert told[1]["text"] == "Then 19.6." and len(bodies) == 2


def test_a_random_mixture_of_experts_answers_and_tells_where_its_tokens_went(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "moe-nano", "Qwen3MoeForCausalLM")
    found = configured(Config(backends=str(folder)))
    assert [(one.name, one.profile.name, one.problem) for one in found] == [("moe-nano", "moe-nano", None)]
    one = Answering(Backends(found), None, experts=True)
    options = ResponseOptions(greedy=True, seed=1, max_text_tokens=16, max_codes=40, speech=False)
    events = list(one.respond(asked(checkpoint), options))
    assert events[0].route.backend == "moe-nano"  # type: ignore[union-attr]
    use = of(ExpertUse, events)
    assert use and all(len(token.layers) == 2 and len(set(token.layers[0])) == 2 for token in use)
    gathered = Gathered()
    for event in events:
        gathered.take(event)
    experts = gathered.fields()["route"]["experts"]
    assert len(experts["tokens"]) == min(MOST_TOKENS, len(use))
    for layer, counts in enumerate(experts["counts"]):
        assert len(counts) == 6 and sum(counts) == 2 * len(use)
        assert counts[use[0].layers[layer][0]] > 0


def test_what_is_configured_and_cannot_be_used_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    without = Backends(configured(Config(backends="qwen-max@dashscope")))
    decided = Answering(without).route(Turn("user", (HEAVY,)), [], "auto")
    assert decided.backend == "thinker" and "qwen-max cannot be asked" in decided.reason
    assert "set DASHSCOPE_API_KEY" in decided.reason
    monkeypatch.setenv("DASHSCOPE_API_KEY", "x")
    (tmp_path / "broken").mkdir()
    text = (
        f"{tmp_path / 'broken'}, qwen-max@dashscope, mine@http://127.0.0.1:9/v1, other@nowhere, Qwen/Qwen2.5-Coder-7B"
    )
    found = {one.name: one for one in configured(Config(backends=text))}
    assert "no config.json" in (found["broken"].problem or "")
    assert "no server 'nowhere'" in (found["other"].problem or "")
    assert found["qwen-max"].problem is None and found["Qwen2.5-Coder-7B"].profile.fill_in_middle
    backends = Backends(list(found.values()))
    assert [one.name for one in backends.available() if not one.ready] == ["broken", "other"]
    with pytest.raises(BackendUnavailable, match="nowhere"):
        backends.get("other")
    assert configured(Config(backends="")) == []


def test_a_server_at_a_base_url_gets_the_key_that_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(Reply([chunk(content="9.8"), chunk(finish="stop")])) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "secret")
        backends = Backends(configured(Config(backends=f"mine@{server.url}")))
        list(backends.get("mine").stream([Message("user", ("?",))], Options()))
        backends.close()
    assert server.requests[0][1]["authorization"] == "Bearer secret"


REFUSALS = {
    "429": Reply([b"{}"], 429, "application/json"),
    "500": Reply([b"<html>oops</html>"], 500, "text/html"),
    "timeout": Reply(wait_sec=3),
    "HTML": Reply([b"<html><title>Welcome</title></html>"], kind="text/html"),
    "wrong JSON": Reply([b"data: {not json}\n\n"]),
}


def remote(server: Any) -> OpenAiBackend:
    where = Remote("moe-nano", server.url, tries=2, backoff_sec=0.0, first_event_sec=0.2, next_event_sec=1.0)
    return OpenAiBackend(where, load_profiles().family("qwen2.5"))


@pytest.mark.parametrize("fault", REFUSALS)
def test_whatever_a_server_does_first_the_thinker_answers(fault: str, checkpoint: Checkpoint) -> None:
    with scripted(*[REFUSALS[fault]] * 2) as server:
        backend = remote(server)
        events = list(answering(backend).respond(asked(checkpoint), OPTIONS))
        backend.close()
    routes = [event.route for event in of(Routed, events)]
    assert [one.backend for one in routes] == ["moe-nano", "thinker"] and "does not answer" in routes[1].reason
    assert events[-1].status in ("completed", "length") and not events[-1].error  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "tail", [b"", b'data: {"choices": [{"ind', b"data: {not json}\n\n"], ids=["cut", "half", "JSON"]
)
def test_a_stream_that_breaks_off_ends_in_one_failure_with_its_text(tail: bytes, checkpoint: Checkpoint) -> None:
    with scripted(Reply([chunk(content="nine point"), *([tail] if tail else [])])) as server:
        backend = remote(server)
        events = list(answering(backend).respond(asked(checkpoint), OPTIONS))
        backend.close()
    assert [isinstance(event, ResponseDone) for event in events].count(True) == 1
    done = events[-1]
    assert isinstance(done, ResponseDone) and (done.status, done.text) == ("failed", "nine point") and done.error

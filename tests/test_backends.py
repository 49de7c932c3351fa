"""The OpenAI-compatible backend against a scripted server, with every fault it must survive, and the parsers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from multimodal.errors import PromptError
from multimodal.media import Picture
from reasoning.backend import (
    AnswerDelta,
    AnswerWasReasoning,
    Cancellation,
    Done,
    Event,
    Options,
    ReasoningDelta,
    Usage,
)
from reasoning.errors import BackendError, BackendGarbled, BackendRefused, BackendUnavailable
from reasoning.messages import Message, ToolCall, ToolSpec
from reasoning.openai_backend import OpenAiBackend, Remote
from reasoning.profiles import load_profiles
from tests.scripted_server import END, USAGE, Reply, ScriptedServer, answer, chunk, event, scripted

QUESTION = [Message("user", ("Which is larger, 9.11 or 9.8?",))]
ADD = ToolSpec("add", "Adds two numbers.", {"type": "object", "properties": {"a": {"type": "number"}}})


@contextmanager
def backend(
    *script: Reply, model: str = "qwen-max", **patience: float | int
) -> Iterator[tuple[OpenAiBackend, ScriptedServer]]:
    """A backend whose waits before retries are noted in `backend.waits` instead of slept."""
    with scripted(*script) as server:
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        remote = Remote(model, server.url, api_key="secret-key", **patience)  # type: ignore[arg-type]
        one = OpenAiBackend(remote, load_profiles().of_remote(model), sleep)
        one.waits = waits  # type: ignore[attr-defined]
        try:
            yield one, server
        finally:
            one.close()


def text_of(events: list[Event]) -> str:
    return "".join(one.text for one in events if isinstance(one, AnswerDelta))


def thought_of(events: list[Event]) -> str:
    return "".join(one.text for one in events if isinstance(one, ReasoningDelta))


def test_an_answer_streams_with_reasoning_usage_and_one_end() -> None:
    reply = Reply(
        [chunk(reasoning_content="Let me "), chunk(reasoning_content="see."), chunk(content="9"), chunk(content=".8"),
         chunk(finish="stop"), USAGE, END]
    )  # fmt: skip
    with backend(reply, model="qwq-plus") as (one, server):
        events = list(one.stream(QUESTION, Options(seed=3)))
    assert thought_of(events) == "Let me see." and text_of(events) == "9.8"
    assert events[-2:] == [Usage(7, 3, 1), Done("stop")]
    assert sum(isinstance(item, Done) for item in events) == 1
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions" and headers["authorization"] == "Bearer secret-key"
    assert body["model"] == "qwq-plus" and body["stream"] and body["stream_options"] == {"include_usage": True}
    assert (body["temperature"], body["top_p"], body["seed"]) == (0.6, 0.95, 3)


def test_a_slow_stream_is_passed_on_as_it_comes() -> None:
    with backend(Reply([chunk(content=word) for word in "abcd"] + [chunk(finish="stop"), END], pause_sec=0.15)) as (
        one,
        _,
    ):
        times = []
        for item in one.stream(QUESTION, Options()):
            if isinstance(item, AnswerDelta):
                times.append(time.monotonic())
    assert len(times) == 4 and times[-1] - times[0] > 0.3


def test_too_many_requests_are_retried_after_the_time_the_server_asks_for() -> None:
    busy = Reply([b'{"error": {"message": "slow down"}}'], 429, "application/json", {"retry-after": "2"})
    with backend(busy, busy, answer("9.8")) as (one, server):
        events = list(one.stream(QUESTION, Options()))
        assert one.waits == [2.0, 2.0]  # type: ignore[attr-defined]
    assert text_of(events) == "9.8" and len(server.requests) == 3


def test_three_tries_and_no_more() -> None:
    busy = Reply([b"{}"], 429, "application/json")
    with backend(busy, busy, busy, answer("never")) as (one, server):
        with pytest.raises(BackendUnavailable, match="too many requests"):
            list(one.stream(QUESTION, Options()))
        assert one.waits == [0.5, 1.0]  # type: ignore[attr-defined]
    assert len(server.requests) == 3


def test_a_server_that_wants_minutes_of_patience_is_not_waited_for() -> None:
    with backend(Reply([b"{}"], 429, "application/json", {"retry-after": "600"}), answer("late")) as (one, server):
        with pytest.raises(BackendUnavailable):
            list(one.stream(QUESTION, Options()))
    assert len(server.requests) == 1


def test_a_server_error_is_retried_and_then_told_without_its_page() -> None:
    page = Reply([b"<html><body>Traceback: /srv/app.py</body></html>"], 500, "text/html")
    with backend(page, answer("9.8")) as (one, _):
        assert text_of(list(one.stream(QUESTION, Options()))) == "9.8"
    with backend(page, page, page) as (one, _), pytest.raises(BackendUnavailable) as caught:
        list(one.stream(QUESTION, Options()))
    assert "status 500" in str(caught.value) and "/srv" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("status", "says"), [(401, "environment variable"), (404, "model name"), (400, "refused")])
def test_a_refusal_is_final_and_says_what_to_check(status: int, says: str) -> None:
    reply = Reply([b'{"error": {"message": "no"}}'], status, "application/json")
    with backend(reply, answer("never")) as (one, server), pytest.raises(BackendRefused, match=says) as caught:
        list(one.stream(QUESTION, Options()))
    assert len(server.requests) == 1 and "secret-key" not in str(caught.value)


def test_a_server_that_says_nothing_times_out_and_is_tried_again() -> None:
    with backend(Reply(wait_sec=5), answer("9.8"), first_event_sec=0.3) as (one, server):
        assert text_of(list(one.stream(QUESTION, Options()))) == "9.8"
    assert len(server.requests) == 2
    with (
        backend(*[Reply(wait_sec=5)] * 3, first_event_sec=0.2) as (one, _),
        pytest.raises(BackendUnavailable, match="in time"),
    ):
        list(one.stream(QUESTION, Options()))


def test_silence_within_an_answer_ends_it_as_truncated() -> None:
    with backend(Reply([chunk(content="nine")], end="hang"), answer("x"), next_event_sec=0.3) as (one, server):
        events = list(one.stream(QUESTION, Options()))
    assert text_of(events) == "nine" and len(server.requests) == 1
    assert isinstance(events[-1], Done) and events[-1].truncated and "in time" in (events[-1].error or "")


@pytest.mark.parametrize(
    "reply",
    [
        Reply([chunk(content="nine point")], end="reset"),
        Reply([chunk(content="nine point"), b'data: {"choices": [{"ind'], end="reset"),
        Reply([chunk(content="nine point"), b'data: {"choices": [{"ind']),
        Reply([chunk(content="nine point")]),
        Reply([chunk(content="nine point"), b"data: {not json}\n\n", END]),
        Reply([chunk(content="nine point"), b'data: {"error": {"message": "out of memory", "code": 500}}\n\n']),
    ],
    ids=["reset", "half a line, reset", "half a line, closed", "no finish reason", "wrong JSON", "error in the stream"],
)
def test_a_stream_that_breaks_is_marked_truncated_and_never_asked_for_again(reply: Reply) -> None:
    with backend(reply, answer("again")) as (one, server):
        events = list(one.stream(QUESTION, Options()))
    assert text_of(events) == "nine point" and len(server.requests) == 1
    end = events[-1]
    assert isinstance(end, Done) and end.truncated and end.finish_reason == "error" and end.error
    assert sum(isinstance(item, Done) for item in events) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply([b"<html><title>Welcome</title></html>"], kind="text/html"),
        Reply([b"data: {not json}\n\n"]),
        Reply([b'data: "text"\n\n']),
        Reply([b'{"choices": []}'], kind="application/json"),
    ],
    ids=["HTML", "wrong JSON first", "JSON of another kind", "no stream"],
)
def test_what_is_not_the_protocol_is_an_error_before_the_first_event(reply: Reply) -> None:
    with backend(reply, reply, reply) as (one, _), pytest.raises(BackendError) as caught:
        list(one.stream(QUESTION, Options()))
    assert isinstance(caught.value, BackendGarbled) and "base URL" in str(caught.value)


def test_nobody_listening_is_an_error_that_another_backend_can_take_over_from() -> None:
    with scripted() as server:
        url = server.url
    one = OpenAiBackend(Remote("qwen-max", url, tries=2, backoff_sec=0.01), load_profiles().family("qwen2.5-max"))
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        list(one.stream(QUESTION, Options()))
    one.close()


@pytest.mark.parametrize(
    "reply", [Reply(wait_sec=30), Reply([chunk(content="nine")], end="hang")], ids=["before", "within"]
)
def test_cancelling_stops_at_once_and_closes_the_connection(reply: Reply) -> None:
    cancellation = Cancellation()
    with backend(reply) as (one, server):
        threading.Timer(0.3, cancellation.cancel).start()
        started = time.monotonic()
        events = list(one.stream(QUESTION, Options(cancellation=cancellation)))
        assert time.monotonic() - started < 1.3
        assert events[-1] == Done("cancelled", truncated=True)
        if reply.end == "hang":
            assert server.stopped.wait(1), "the server goes on writing"


def test_closing_the_iterator_closes_the_connection() -> None:
    with backend(Reply([chunk(content="nine")], end="hang")) as (one, server):
        stream = one.stream(QUESTION, Options())
        assert next(stream) == AnswerDelta("nine")
        stream.close()  # type: ignore[attr-defined]
        assert server.stopped.wait(1)


def test_a_reader_that_stands_still_holds_the_stream_back() -> None:
    words = [chunk(content="x" * 2000) for _ in range(3000)]
    with backend(Reply([*words, chunk(finish="stop"), END])) as (one, server):
        stream = one.stream(QUESTION, Options())
        next(stream)
        time.sleep(0.8)
        waiting = one._loop is not None and not server.stopped.is_set()
        count = sum(isinstance(item, AnswerDelta) for item in stream)
    assert waiting and count == 2999


def test_tool_calls_are_put_together_from_their_pieces() -> None:
    def piece(**call: object) -> bytes:
        return chunk(tool_calls=[{"index": 0, **call}])

    reply = Reply(
        [piece(id="c1", type="function", function={"name": "add", "arguments": ""}),
         piece(function={"arguments": '{"a"'}), piece(function={"arguments": ": 1}"}), chunk(finish="tool_calls"), END]
    )  # fmt: skip
    with backend(reply) as (one, server):
        events = list(one.stream(QUESTION, Options(tools=(ADD,))))
    assert events == [ToolCall("c1", "add", '{"a": 1}'), Done("tool_calls")]
    assert server.requests[0][2]["tools"][0]["function"]["name"] == "add"


def test_calls_that_a_server_leaves_in_the_text_are_found_where_tools_were_offered() -> None:
    text = 'Let me add. <tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    reply = Reply([*(chunk(content=text[at : at + 5]) for at in range(0, len(text), 5)), chunk(finish="stop"), END])
    with backend(reply, reply) as (one, _):
        offered = list(one.stream(QUESTION, Options(tools=(ADD,))))
        plain = list(one.stream(QUESTION, Options()))
    assert text_of(offered) == "Let me add. "
    assert [event for event in offered if isinstance(event, ToolCall)] == [ToolCall("call_1", "add", '{"a": 1}')]
    assert text_of(plain) == text


def test_content_filter_and_length_are_truncated_answers() -> None:
    for finish in ("length", "content_filter"):
        with backend(answer("nine", finish=finish)) as (one, _):
            assert list(one.stream(QUESTION, Options()))[-1] == Done(finish, truncated=True)  # type: ignore[arg-type]


def test_reasoning_in_the_content_is_told_apart_also_with_only_the_closing_mark() -> None:
    for texts in (("<thi", "nk>hm</th", "ink>\n\n9.8"), ("hm", "</think>", "9.8")):
        with backend(answer(*texts), model="qwq-32b") as (one, _):
            events = list(one.stream(QUESTION, Options()))
        assert (thought_of(events), text_of(events)) == ("hm", "9.8"), texts


def test_a_model_that_only_repeats_itself_is_stopped() -> None:
    loop = Reply([chunk(content="Wait, let me check that again. ") for _ in range(400)] + [chunk(finish="stop"), END])
    with backend(loop, model="qvq-max") as (one, _):
        events = list(one.stream(QUESTION, Options()))
    assert events[-1] == Done("loop", truncated=True) and len(text_of(events)) < 3000


def test_pictures_go_out_as_jpeg_and_only_to_models_that_see() -> None:
    question = [Message("user", (Picture(np.zeros((20, 30, 3), np.uint8)), "What is it?"))]
    with backend(answer("black"), model="qvq-max") as (one, server):
        assert text_of(list(one.stream(question, Options()))) == "black"
    picture, words = server.requests[0][2]["messages"][-1]["content"]
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/") and words["text"] == "What is it?"
    with backend() as (one, _), pytest.raises(PromptError, match="does not take pictures"):
        one.stream(question, Options())


def test_reasoning_of_earlier_turns_is_never_sent_back() -> None:
    history = [*QUESTION, Message("assistant", ("9.8",), reasoning="long thoughts"), Message("user", ("Sure?",))]
    with backend(answer("Yes."), model="qwq-plus") as (one, server):
        list(one.stream(history, Options()))
    assert "long thoughts" not in str(server.requests[0][2]["messages"])


def test_two_requests_at_once_do_not_mix() -> None:
    replies = [
        Reply([chunk(content=f"{n} ") for _ in range(20)] + [chunk(finish="stop"), END], pause_sec=0.01) for n in (1, 2)
    ]
    seen: list[str] = []
    with backend(*replies) as (one, _):
        threads = [
            threading.Thread(target=lambda: seen.append(text_of(list(one.stream(QUESTION, Options()))))) for _ in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == ["1 " * 20, "2 " * 20]


def test_a_key_that_is_missing_is_asked_for_by_its_variable() -> None:
    table = load_profiles()
    with pytest.raises(BackendRefused, match="DASHSCOPE_API_KEY"):
        Remote.of_preset(table.server("dashscope"), "qwen-max", environ={})
    remote = Remote.of_preset(table.server("dashscope"), "qwen-max", environ={"DASHSCOPE_API_KEY": "k"})
    assert remote.api_key == "k" and "k" not in repr(remote).replace("tokens", "").split("api_key")[0][-1:]
    assert "api_key" not in repr(remote)
    assert Remote.of_preset(table.server("vllm"), "Qwen/QwQ-32B", environ={}).api_key == ""


def test_a_broken_event_does_not_hide_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with backend(Reply([event({"choices": []}), chunk(content="ok"), chunk(finish="stop"), END])) as (one, _):
        events = list(one.stream(QUESTION, Options()))
    assert events == [AnswerDelta("ok"), Done("stop")]


def test_what_was_moved_is_told_to_the_reader() -> None:
    with backend(answer("hm", "</think>", "9.8"), model="qwen3-30b-a3b") as (one, _):
        events = list(one.stream(QUESTION, Options()))
    assert events[:3] == [AnswerDelta("hm"), AnswerWasReasoning(), AnswerDelta("9.8")]

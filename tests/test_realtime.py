"""The realtime protocol over a real socket: a stock client's conversation, every event's shape, bad input, loss."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser import ROOT, RunningServer
from tests.realtime_client import PIECE, Client, call, manual, question


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server") / "data"
    flags = ("--seed", "0", "--max-tokens", "24", "--record", str(folder.parent / "calls"))
    with contextlib.closing(RunningServer(folder, tiny_checkpoint, *flags)) as running:
        yield running


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning")  # by openai, with websockets 17
def test_a_stock_client_holds_a_conversation_of_three_spoken_turns(server: RunningServer) -> None:
    from openai import OpenAI

    address = server.url.replace("http", "ws") + "/v1"
    client = OpenAI(api_key="none is needed", base_url=server.url + "/v1", websocket_base_url=address)
    pcm = question()
    detection = {"type": "server_vad", "silence_duration_ms": 300}
    with client.realtime.connect(model="omni-nano") as connection:
        created = connection.recv()
        assert created.type == "session.created"
        audio: Any = {"input": {"turn_detection": detection, "transcription": {"model": "omni-nano"}}}
        connection.session.update(session={"type": "realtime", "audio": audio})
        for _ in range(3):
            for start in range(0, len(pcm), PIECE):
                piece = base64.b64encode(pcm[start : start + PIECE].tobytes()).decode()
                connection.input_audio_buffer.append(audio=piece)
            kinds: list[str] = []
            speech, text, spoken, written = b"", "", None, None
            while "response.done" not in kinds or written is None:
                event: Any = connection.recv()
                kinds.append(event.type)
                assert event.type != "error", event
                if event.type == "response.output_audio.delta":
                    speech += base64.b64decode(event.delta)
                elif event.type == "response.output_audio_transcript.delta":
                    text += event.delta
                elif event.type == "conversation.item.input_audio_transcription.completed":
                    written = event.transcript
                elif event.type == "response.output_item.added":
                    spoken = event.item.id
                elif event.type == "response.done":
                    assert event.response.status in ("completed", "incomplete")
                    assert event.response.output[0].content[0].transcript == text
            order = [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
                "conversation.item.added",
                "response.created",
                "response.output_item.added",
                "response.content_part.added",
                "response.output_audio.delta",
                "response.output_audio.done",
                "response.output_audio_transcript.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.done",
            ]
            assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
            assert len(speech) > 4800 and text
            assert kinds.count("response.created") == 1, "one reply a turn"
            played: Any = {"type": "tandem.playback.update", "item_id": spoken, "played_ms": 1e7}
            connection.send(played)


def test_turns_of_a_call_are_turns_of_the_conversation(server: RunningServer) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        conversation = http.post("/api/conversations", json={}).json()["id"]
        with call(server, f"&conversation={conversation}") as client:
            manual(client)
            client.hear(question(0.1))
            client.send("input_audio_buffer.commit")
            client.until("input_audio_buffer.committed")
            body = {"text": "Hello", "parent": None}
            assert http.post(f"/api/conversations/{conversation}/turns", json=body).status_code == 409
            client.send("response.create", response={"output_modalities": ["text"]})
            done = client.until("response.done")["response"]
            said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And now?"}]}
            client.send("conversation.item.create", item=said)
            client.send("response.create", response={"output_modalities": ["text"]})
            again = client.until("response.done")["response"]
        turns = http.get(f"/api/conversations/{conversation}").json()["turns"]
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2
        assert turns[0]["parts"][0]["kind"] == "audio" and turns[2]["text"] == "And now?"
        assert [turns[1]["text"], turns[3]["text"]] == [
            done["output"][0]["content"][0]["text"],
            again["output"][0]["content"][0]["text"],
        ]
        until = time.monotonic() + 10
        more = {"text": "More?", "parent": turns[-1]["id"]}
        while http.post(f"/api/conversations/{conversation}/turns", json=more).status_code != 201:
            assert time.monotonic() < until, "typing goes on after the call"
            time.sleep(0.1)


def test_a_cut_reply_is_remembered_as_far_as_it_was_heard(server: RunningServer) -> None:
    with call(server) as client:
        manual(client)
        client.hear(question(0.1))
        client.send("input_audio_buffer.commit")
        client.send("response.create")
        delta = client.until("response.output_audio.delta")
        client.until("response.done")
        name = delta["item_id"]
        client.send("conversation.item.truncate", item_id=name, content_index=0, audio_end_ms=300)
        cut = client.until("conversation.item.truncated")
        assert cut["audio_end_ms"] == 300
        client.send("conversation.item.retrieve", item_id=name)
        heard = client.until("conversation.item.retrieved")["item"]["content"][0]["transcript"]
        whole = next(e for e in client.events if e["type"] == "response.output_audio_transcript.done")["transcript"]
        assert whole.startswith(heard) and len(heard) < len(whole)
        conversation = next(e for e in client.events if e["type"] == "response.done")["response"]["conversation_id"]
        turn = httpx.get(f"{server.url}/api/conversations/{conversation}").json()["turns"][-1]
        assert (turn["text"], turn["unheard"], turn["heard_ms"]) == (heard, whole[len(heard) :], 300)


def test_a_recorded_call_is_run_again_and_what_differs_is_told(server: RunningServer, tmp_path: Path) -> None:
    folder = next((Path(server.log).parent / "calls").parent.glob("calls"))
    before = set(folder.iterdir())
    with call(server) as client:
        manual(client)
        client.hear(question(0.1))
        client.send("input_audio_buffer.commit")
        client.send("response.create")
        name = client.until("response.output_audio.delta")["item_id"]
        client.until("response.done")
        client.send("conversation.item.truncate", item_id=name, content_index=0, audio_end_ms=300)
        client.until("conversation.item.truncated")
    (bundle,) = set(folder.iterdir()) - before
    command = [sys.executable, "-m", "app", "replay"]
    same = subprocess.run([*command, str(bundle)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert same.returncode == 0, same.stdout + same.stderr
    assert "nothing differs" in same.stdout
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    events = (other / "events.jsonl").read_text()
    (other / "events.jsonl").write_text(events.replace('"audio_end_ms": 300', '"audio_end_ms": 700'))
    about = json.loads((other / "about.json").read_text())
    about["settings"]["max_tokens"] = 5
    (other / "about.json").write_text(json.dumps(about))
    differs = subprocess.run([*command, str(other)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert differs.returncode == 1 and "-response.output_audio_transcript.done" in differs.stdout, differs.stderr
    wrong = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2 and "--record" in wrong.stderr


BAD: list[tuple[str, str]] = [
    ("{", "invalid_json"),
    ("[" * 100_000, "invalid_json"),
    ('{"type": "session.delete"}', "unknown_event"),
    ('{"no": "type"}', "invalid_event"),
    ('{"type": "input_audio_buffer.append", "audio": "%%%"}', "invalid_audio"),
    ('{"type": "input_audio_buffer.append", "audio": "AAAA"}', "invalid_audio"),
    ('{"type": "input_audio_buffer.append"}', "invalid_event"),
    ('{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty"),
    ('{"type": "input_video_buffer.append", "image": "AAAA", "timestamp_ms": 1}', "invalid_image"),
    ('{"type": "input_video_buffer.append", "image": "AAAA", "timestamp_ms": NaN}', "invalid_value"),
    ('{"type": "response.cancel"}', "response_cancel_not_active"),
    ('{"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 1}', "item_not_found"),
    ('{"type": "conversation.item.delete", "item_id": "x"}', "item_not_found"),
    ('{"type": "session.update", "session": {"type": "realtime", "max_output_tokens": 0}}', "invalid_value"),
    ('{"type": "session.update", "session": {"type": "realtime", "tools": [{"type": "function"}]}}', "unsupported"),
    (
        '{"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": '
        '[{"type": "input_image", "image_url": "http://127.0.0.1/x.png"}]}}',
        "invalid_image",
    ),
]


def test_what_is_wrong_with_an_event_is_told_and_ends_nothing(server: RunningServer) -> None:
    with call(server) as client:
        client.until("session.created")
        for text, code in BAD:
            client.socket.send(text)
            error = client.until("error")["error"]
            assert (error["type"], error["code"]) == ("invalid_request_error", code), text[:80]
            assert "/" not in error["message"].replace("and/or", ""), "no path is told"
        client.socket.send(b"\0\1")
        assert client.until("error")["error"]["code"] == "invalid_event"
        client.send("session.update", session={"type": "realtime"}, event_id="mine")
        client.until("session.updated")
        client.send("nonsense", event_id="mine")
        assert client.until("error")["error"]["event_id"] == "mine"


def test_another_pages_socket_is_refused(server: RunningServer) -> None:
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus), call(server, Origin="http://elsewhere.example"):
        pass
    with call(server, "&conversation=0123456789abcdef01234567") as client:
        assert client.next()["error"]["code"] == "conversation_not_found"
    with call(server, Origin=server.url) as client:
        client.until("session.created")


def test_a_full_house_refuses_politely_and_a_lost_client_comes_back(server: RunningServer) -> None:
    from websockets.exceptions import ConnectionClosed

    with contextlib.ExitStack() as stack:
        clients, names = [], []
        until = time.monotonic() + 20
        while len(clients) < 4:  # calls of earlier tests may still be ending
            client = stack.enter_context(call(server))
            first = client.next()
            if first["type"] == "session.created":
                clients.append(client)
                names.append(first["session"]["id"])
            else:
                assert time.monotonic() < until, first
                time.sleep(0.2)
        with call(server) as client:
            assert client.next()["error"]["code"] == "too_many_calls"
            with pytest.raises(ConnectionClosed) as closed:
                client.socket.recv(timeout=5)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013
        clients[0].send("session.update", session={"type": "realtime", "instructions": "Be brief."})
        clients[0].until("session.updated")
        clients[0].socket.socket.close()  # without a goodbye
        until = time.monotonic() + 10
        while True:
            with call(server, f"&session={names[0]}") as client:
                first = client.next()
                if first["type"] == "session.created":
                    assert first["session"]["id"] == names[0]
                    assert first["session"]["instructions"] == "Be brief."
                    break
            assert time.monotonic() < until
            time.sleep(0.2)


def test_a_deleted_item_is_gone_from_the_call_the_history_and_the_models_memory(server: RunningServer) -> None:
    def typed(text: str) -> dict[str, Any]:
        return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}

    def ask(client: Client, text: str) -> tuple[str, str, dict[str, Any]]:
        client.send("conversation.item.create", item=typed(text))
        asked = client.until("conversation.item.added")["item"]["id"]
        client.send("response.create")
        done = client.until("response.done")["response"]
        return asked, done["output"][0]["id"], done

    with call(server) as client:
        manual(client, output_modalities=["text"])
        first, reply, _ = ask(client, "My secret number is seven.")
        client.send("conversation.item.delete", item_id=reply)
        assert client.until("conversation.item.deleted")["item_id"] == reply
        client.send("conversation.item.delete", item_id=first)
        assert client.until("conversation.item.deleted")["item_id"] == first
        for name in (first, reply):
            client.send("conversation.item.retrieve", item_id=name)
            assert client.until("error")["error"]["code"] == "item_not_found"
        _, _, after = ask(client, "And now?")
        turns = httpx.get(f"{server.url}/api/conversations/{after['conversation_id']}").json()["turns"]
        assert [turn["text"] for turn in turns] == ["And now?", after["output"][0]["content"][0]["text"]]
    with call(server) as client:
        manual(client, output_modalities=["text"])
        _, _, alone = ask(client, "And now?")
        assert alone["usage"]["input_tokens"] == after["usage"]["input_tokens"], "nothing of it is left in the prompt"
        assert alone["output"][0]["content"] == after["output"][0]["content"]
    with call(server) as client:
        manual(client)
        client.send("conversation.item.create", item=typed("Tell me a story."))
        client.send("response.create")
        item = client.until("response.output_item.added")["item"]["id"]
        client.send("conversation.item.delete", item_id=item)
        assert "cancel it first" in client.until("error")["error"]["message"]
        client.until("response.done")

"""Random walks over the realtime protocol: whatever a client does, in whatever order, each response ends once, whatever
is added is done, nothing stale sounds, and the history is what was heard."""

from __future__ import annotations

import base64
import contextlib
import io
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.browser import RunningServer
from tests.realtime_client import RATE_HZ, Client, call, question

SETTLED_SEC = 0.7
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture)
Action = tuple[str, int]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("walk") / "data"
    with contextlib.closing(RunningServer(folder, tiny_checkpoint, "--max-tokens", "10")) as running:
        yield running


def picture(shade: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (shade, 90, 255 - shade)).save(file, "JPEG")
    return base64.b64encode(file.getvalue()).decode()


class Walk:
    """One call. sent: samples of the microphone so far."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.sound = question(0.0)
        self.sent = 0
        client.until("session.created")

    def do(self, action: str, amount: int) -> None:
        client, ms = self.client, amount * 25
        replies = [e["item"]["id"] for e in client.events if e["type"] == "response.output_item.added"]
        if action in ("speak", "silence"):
            count = ms * RATE_HZ // 1000
            start = self.sent % max(1, len(self.sound) - count)
            client.hear(self.sound[start : start + count] if action == "speak" else np.zeros(count, "<i2"))
            self.sent += count
        elif action in ("commit", "clear"):
            client.send(f"input_audio_buffer.{action}")
        elif action == "respond":
            client.send("response.create", response={"output_modalities": ["audio" if amount % 3 else "text"]})
        elif action == "cancel":
            client.send("response.cancel")
        elif action == "manual":
            detection = None if amount % 2 else {"type": "server_vad", "silence_duration_ms": 200}
            client.send(
                "session.update",
                session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}},
            )
        elif action == "type":
            content = [{"type": "input_text", "text": f"Word {amount}"}]
            client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        elif action == "look":
            at_ms = self.sent * 1000 // RATE_HZ
            client.send("input_video_buffer.append", image=picture(amount * 4), timestamp_ms=at_ms)
        elif action == "truncate" and replies:
            client.send("conversation.item.truncate", item_id=replies[-1], content_index=0, audio_end_ms=ms)
        elif action == "played" and replies:
            client.send("tandem.playback.update", item_id=replies[-1], played_ms=ms)
        elif action == "delete":
            added = [e["item"]["id"] for e in client.events if e["type"] == "conversation.item.added"]
            client.send("conversation.item.delete", item_id=added[amount % len(added)] if added else "none")
        elif action == "wait":
            self.read(ms / 1000)

    def read(self, seconds: float) -> int:
        """Events of that long."""
        until, count = time.monotonic() + seconds, 0
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                self.client.next(left)
                count += 1
        return count

    def settle(self) -> None:
        """Until everything that was begun has ended."""
        until = time.monotonic() + 30
        while self.read(SETTLED_SEC) or self.open_responses():
            assert time.monotonic() < until, f"it does not end: {self.client.kinds()[-12:]}"

    def open_responses(self) -> set[str]:
        kinds = ("response.created", "response.done")
        created, done = ({e["response"]["id"] for e in self.client.events if e["type"] == kind} for kind in kinds)
        return created - done


def ids(events: Sequence[dict[str, Any]], kind: str, inside: str) -> list[str]:
    return [event[inside]["id"] for event in events if event["type"] == kind]


def check(events: Sequence[dict[str, Any]]) -> None:
    errors = [event["error"] for event in events if event["type"] == "error"]
    assert all(one["type"] == "invalid_request_error" and one["code"] != "server_error" for one in errors), errors
    created, done = ids(events, "response.created", "response"), ids(events, "response.done", "response")
    assert created == done, "each response ends, once, before the next begins"
    added = Counter(ids(events, "conversation.item.added", "item"))
    assert added == Counter(ids(events, "conversation.item.done", "item")) and set(added.values()) <= {1}
    for part in ("output_item", "content_part"):
        counts = [sum(event["type"] == f"response.{part}.{end}" for event in events) for end in ("added", "done")]
        assert counts[0] == counts[1] == len(created), part
    ended: set[str] = set()
    stale: set[str] = set()
    begun: list[str] = []
    for event in events:
        kind = event["type"]
        if kind == "response.output_item.added":
            begun.append(event["item"]["id"])
        elif kind == "input_audio_buffer.speech_started":
            stale |= set(begun)
        elif kind == "conversation.item.truncated":
            stale.add(event["item_id"])
        elif kind == "response.done":
            ended.add(event["response"]["id"])
        elif kind.startswith("response.") and "response_id" in event:
            assert event["response_id"] not in ended, f"{kind} after its response.done"
            assert kind != "response.output_audio.delta" or event["item_id"] not in stale, "sound of a stale reply"


def check_history(walk: Walk, server: RunningServer) -> None:
    """What the history and the protocol hold of each reply is what was heard of it."""
    events = walk.client.events
    found = [event["response"]["conversation_id"] for event in events if event["type"] == "response.done"]
    if not found or found[-1] is None:
        return
    turns = httpx.get(f"{server.url}/api/conversations/{found[-1]}").json()["turns"]
    gone = {event["item_id"] for event in events if event["type"] == "conversation.item.deleted"}
    replies = [name for name in ids(events, "response.output_item.added", "item") if name not in gone]
    kept = [turn for turn in turns if turn["role"] == "assistant"]
    assert len(kept) == len(replies)
    for name, turn in zip(replies, kept):
        whole = next(
            event.get("transcript", event.get("text"))
            for event in events
            if event["type"] in ("response.output_audio_transcript.done", "response.output_text.done")
            and event["item_id"] == name
        )
        cuts = [e for e in events if e["type"] == "conversation.item.truncated" and e["item_id"] == name]
        walk.client.send("conversation.item.retrieve", item_id=name)
        item = walk.client.until("conversation.item.retrieved")["item"]
        heard = next((part.get("transcript") or part.get("text") or "" for part in item["content"]), "")
        assert turn["text"] + (turn.get("unheard") or "") == whole
        if cuts:
            assert turn["heard_ms"] == cuts[-1]["audio_end_ms"]
            assert turn["text"] == heard or heard.startswith(turn["text"]), "a cut inside a character"
        else:
            assert turn["text"] == heard == whole


AMOUNTS = {"speak": (10, 60), "silence": (4, 40), "wait": (4, 40)}
ACTIONS = st.lists(
    st.sampled_from(
        ["speak", "silence", "wait", "commit", "clear", "respond", "cancel", "manual", "type", "look", "truncate"]
        + ["speak", "silence", "wait", "respond", "played", "delete"]
    ).flatmap(lambda name: st.tuples(st.just(name), st.integers(*AMOUNTS.get(name, (0, 60))))),
    min_size=3,
    max_size=12,
)


@settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=SLOW)
@example([("speak", 60), ("silence", 40), ("wait", 30), ("speak", 40), ("silence", 40), ("wait", 40)])
@example([("manual", 1), ("speak", 40), ("commit", 0), ("respond", 1), ("wait", 16), ("cancel", 0), ("truncate", 8)])
@example([("manual", 1), ("type", 1), ("respond", 1), ("respond", 1), ("delete", 0), ("wait", 40), ("delete", 0)])
@given(ACTIONS)
def test_whatever_a_client_does_the_protocol_holds(server: RunningServer, actions: list[Action]) -> None:
    with call(server) as client:
        walk = Walk(client)
        for action, amount in actions:
            walk.do(action, amount)
        client.send("input_audio_buffer.clear")
        walk.settle()
        check(client.events)
        check_history(walk, server)

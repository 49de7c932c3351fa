"""`replay`: what the client sent in a recorded call goes through the engine again, and what the server tells now is
compared with what it told then. An event of the client goes in at its time, and not before the server has told as much
as it had when the client sent it: a client reacts to what it was told.

Names (ids), times and sound samples differ from run to run; compared are the order of events, texts, states and
seconds of speech.
"""

from __future__ import annotations

import asyncio
import base64
import difflib
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.config import Config, ConfigError
from app.realtime.recording import read

IDLE_SEC = 3.0
FOLLOW_SEC = 20.0
MOST_WAIT_SEC = 120.0
# Many, of no fixed number, or late or early by chance.
NOT_COMPARED = (
    "rate_limits.updated",
    "tandem.turn.timing",
    "tandem.response.routed",
    "conversation.item.input_audio_transcription.delta",
)


def print_replay(bundle: Path, config: Config, given_model: bool) -> bool:
    """Run the bundle and print what differs; whether nothing does. Raises ConfigError for what is no bundle."""
    about, lines = read(bundle)
    model = config.model if given_model else about["model_path"]
    config = replace(config, model=model, **about["settings"])
    now = asyncio.run(_again(config, lines))
    before = summary([line["event"] for line in lines if line["from"] == "server"])
    after = summary(now)
    difference = list(difflib.unified_diff(before, after, "recorded", "replayed", lineterm="", n=2))
    for line in difference:
        print(line)
    if not difference:
        print(f"nothing differs in {len(before)} events")
    return not difference


def summary(events: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each event that is compared; the pieces of a text or of speech are one."""
    found: list[str] = []
    sound: dict[str, int] = {}
    for event in events:
        kind = event["type"]
        if kind in NOT_COMPARED or kind.endswith(("transcript.delta", "text.delta")):
            continue
        if kind == "response.output_audio.delta":
            item = event["item_id"]
            sound[item] = sound.get(item, 0) + len(base64.b64decode(event["delta"])) // 2
            continue
        facts: dict[str, Any] = {}
        if kind == "response.output_audio.done":
            facts["seconds"] = round(sound.get(event["item_id"], 0) / 24_000, 1)
        elif kind == "response.done":
            facts["status"] = event["response"]["status"]
        elif kind == "error":
            facts["code"] = event["error"]["code"]
        for name in ("transcript", "text"):
            if name in event:
                facts[name] = event[name]
        found.append(f"{kind} {json.dumps(facts, ensure_ascii=False)}" if facts else kind)
    return found


class Names:
    """Items and responses of the recording and of the replay, matched by their order."""

    def __init__(self, events: Sequence[dict[str, Any]]) -> None:
        self._before: list[str] = []
        self._now: list[str] = []
        for event in events:
            self._note(event, self._before)

    def seen(self, event: dict[str, Any]) -> None:
        self._note(event, self._now)

    @staticmethod
    def _note(event: dict[str, Any], names: list[str]) -> None:
        for name in (event.get("item_id"), event.get("item", {}).get("id"), event.get("response", {}).get("id")):
            if name is not None and name not in names:
                names.append(name)

    def translate(self, event: dict[str, Any]) -> dict[str, Any]:
        """A client's event about the recording's names, about the replay's."""
        changed = dict(event)
        for field in ("item_id", "response_id", "previous_item_id"):
            if event.get(field) in self._before:
                place = self._before.index(event[field])
                changed[field] = self._now[place] if place < len(self._now) else event[field]
        return changed


async def _again(config: Config, lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    from app.history.store import History
    from app.realtime.keeping import Keeping
    from app.realtime.session import Session
    from app.server import services_for
    from app.web.live import Tabs

    names = Names([line["event"] for line in lines if line["from"] == "server"])
    told: list[dict[str, Any]] = []
    last = time.monotonic()

    def tell(event: dict[str, Any]) -> None:
        nonlocal last
        last = time.monotonic()
        told.append(event)
        names.seen(event)

    with tempfile.TemporaryDirectory(prefix="tandem-replay-") as folder:
        history = History(Path(folder) / "history")
        services = services_for(config, history, Tabs())
        services.engine.start()
        assistant = await services.engine.assistant()
        author = {"model": assistant.checkpoint.name, "vocabulary": assistant.vocabulary}
        keeping = Keeping(history, services.tabs, asyncio.get_running_loop(), None, **author)
        live = services.replies.memory.recall([], assistant)
        session = Session(assistant, services.replies, keeping, live, tell, services.decode_picture)
        session.greet()
        started = time.monotonic()
        zero = next((line["t"] for line in lines if line["event"].get("type") == "session.created"), 0.0)
        owed, patience_sec = 0, FOLLOW_SEC
        for line in lines:
            if line["from"] == "server":
                owed += _steps([line["event"]])
                continue
            await asyncio.sleep(max(0.0, started + line["t"] - zero - time.monotonic()))
            waited = time.monotonic()
            while _steps(told) < owed and time.monotonic() - waited < patience_sec:
                await asyncio.sleep(0.01)
            if _steps(told) < owed:  # it went another way: from here on, only the times count
                patience_sec = 0.0
            started += time.monotonic() - waited
            await session.receive(json.dumps(names.translate(line["event"])))
        until = time.monotonic() + MOST_WAIT_SEC
        while time.monotonic() < until and (_unfinished(told) or time.monotonic() - last < IDLE_SEC):
            await asyncio.sleep(0.1)
        seen = list(told)
        await session.close()
        await services.engine.close()
        await asyncio.to_thread(services.decoder.close)
        history.close()
    return seen


def _steps(events: Sequence[dict[str, Any]]) -> int:
    """How far a call has come; the words of the user are written down beside it."""
    return sum(event["type"] not in NOT_COMPARED and "_transcription" not in event["type"] for event in _whole(events))


def _whole(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the pieces of texts and of speech, whose number is chance."""
    return [event for event in events if not event["type"].endswith(".delta")]


def _unfinished(events: Sequence[dict[str, Any]]) -> bool:
    kinds = [event["type"] for event in events]
    return kinds.count("response.created") > kinds.count("response.done")


def check(bundle: Path) -> None:
    """Raises ConfigError early, before a model is loaded."""
    if not bundle.is_dir():
        raise ConfigError(f"{bundle} is not a folder: give one that --record has made")

"""What was said in a call is in the history: sounds, words, and of each reply only what was heard as its text."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.history.records import NotKept
from app.history.store import History
from app.web.call_turns import CallTurns
from app.web.live import Tab, Tabs
from streaming.events import ResponseDone, Usage

RATE_HZ = 16_000
SAID = "The circle is red. The square is blue."


def done(text: str, status: Any = "completed") -> ResponseDone:
    return ResponseDone(1, status, text, Usage(20, 5, 9, 30), 100.0, 200.0, 900.0)


def test_a_call_is_kept_as_it_was_heard(tmp_path: Path) -> None:
    async def hold() -> None:
        history, tabs = History(tmp_path / "history"), Tabs()
        conversation = history.create().id
        tab = Tab(watches=conversation)
        tabs._tabs[tab.id] = tab
        call = CallTurns(history, tabs, asyncio.get_running_loop(), conversation)
        sound = np.linspace(-1, 1, RATE_HZ, dtype=np.float32)
        asked = call.heard(sound, RATE_HZ, [(0.0, np.full((40, 60, 3), 200, np.uint8))])
        call.transcribed(asked, "What do you see?")
        reply = call.answering()
        call.wrote(SAID)
        call.said(np.zeros(24_000, np.float32), 24_000)
        call.done(done(SAID), ids=[1, 2, 3, 4], model="omni-nano")
        call.interrupted(reply, "The circle is red.", 480.4, [1, 2])
        typed = call.typed("And now?")
        last = call.answering()
        call.wrote("It ")
        call.close()
        call.close()
        path = history.path(conversation)
        assert [turn.id for turn in path] == [asked, reply, typed, last] == [turn.id for turn in call.before()]
        assert [part.medium.kind for part in path[0].media] == ["image", "audio"]
        assert path[0].media[1].medium.duration_sec == 1.0 and path[0].transcript == "What do you see?"
        assert (path[1].text, path[1].unheard) == ("The circle is red.", " The square is blue.")
        assert (path[1].ids, path[1].heard_ms, path[1].status) == ((1, 2), 480, "completed")
        assert path[1].speech is not None and path[1].speech.duration_sec == 1.0
        assert (path[3].text, path[3].status) == ("It ", "cancelled")
        assert history.conversation(conversation).title == "What do you see?"
        await asyncio.sleep(0)
        assert tab.unread.qsize() >= 5, "the open page follows"
        history.close()

    asyncio.run(hold())


def test_a_reply_is_cut_twice_without_losing_a_word(tmp_path: Path) -> None:
    async def hold() -> None:
        history = History(tmp_path / "history")
        call = CallTurns(history, Tabs(), asyncio.get_running_loop(), history.create().id)
        reply = call.answering()
        call.done(done("Grüße 你好!"))
        call.interrupted(reply, "Grüße 你", 900)
        call.interrupted(reply, "Grü\ufffd", 300)
        turn = history.turn(reply)
        assert (turn.text, turn.unheard) == ("Grü", "ße 你好!")
        call.interrupted(reply, "Grüße 你好!", 1200)
        assert (history.turn(reply).text, history.turn(reply).unheard) == ("Grüße 你好!", None)
        history.close()

    asyncio.run(hold())


def test_a_call_needs_a_conversation_that_is_there(tmp_path: Path) -> None:
    async def hold() -> None:
        history = History(tmp_path / "history")
        with pytest.raises(NotKept):
            CallTurns(history, Tabs(), asyncio.get_running_loop(), "0" * 24)
        history.close()

    asyncio.run(hold())

"""What was heard: samples acknowledged by the player, and the text they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.playback import Pace, Playback

RATE = 24_000


def test_all_is_heard_once_the_last_sample_was_played() -> None:
    playback = Playback(RATE, Pace())
    playback.send(RATE)
    playback.send(2 * RATE)
    playback.acknowledge(RATE)
    assert playback.waiting_sec == 2.0
    playback.finish(tokens=12)
    assert playback.heard_tokens(12) == 4
    playback.acknowledge(3 * RATE)
    assert playback.heard_tokens(12) == 12 and playback.waiting_sec == 0.0


def test_an_unfinished_reply_is_measured_by_the_pace_of_earlier_ones() -> None:
    pace = Pace()
    first = Playback(RATE, pace)
    first.send(5 * RATE)
    first.finish(tokens=10)
    Playback(RATE, pace).finish(tokens=40)  # boxes, which are not spoken
    assert pace.sec_per_token == 0.5
    second = Playback(RATE, pace)
    second.send(RATE)
    second.flush(played=RATE)
    assert second.heard_tokens(20) == 2, "one second at half a second a token"
    assert second.waiting_sec == 0.0


def test_claims_of_the_player_are_bounded_by_what_was_sent_and_never_go_back() -> None:
    playback = Playback(RATE, Pace())
    playback.send(100)
    playback.acknowledge(10**9)
    assert playback.played == 100
    playback.acknowledge(5)
    assert playback.played == 100


@given(
    st.lists(st.integers(0, 50_000), max_size=8),
    st.lists(st.integers(0, 400_000), max_size=8),
    st.integers(0, 60),
    st.booleans(),
)
def test_heard_text_grows_with_what_was_played_and_never_exceeds_the_reply(
    sent: list[int], played: list[int], tokens: int, complete: bool
) -> None:
    playback = Playback(RATE, Pace())
    for samples in sent:
        playback.send(samples)
    if complete:
        playback.finish(tokens)
    heard = [playback.heard_tokens(tokens)]
    for samples in played:
        playback.acknowledge(samples)
        heard.append(playback.heard_tokens(tokens))
    assert heard == sorted(heard) and 0 <= heard[0] and heard[-1] <= tokens

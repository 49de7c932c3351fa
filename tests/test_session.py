"""A conversation's life: streaming order, cancellation and failure at every stage, forks, and many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multimodal.checkpoint import Checkpoint, load
from multimodal.errors import ConversationError, MediaError, PromptError, TandemError, VoiceError
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Turn
from multimodal.sampler import Sampler, Sampling
from multimodal.talker import Talker
from multimodal.token2wav import OdeSettings, Windows
from streaming.events import Event, ResponseDone, SpeechChunk, TextDelta
from streaming.session import Conversation, ResponseOptions

WAIT_SEC = 60  # only ever reached by a failing test
GREEDY = ResponseOptions(greedy=True, seed=7, max_text_tokens=10, max_codes=20)


@pytest.fixture(scope="module")
def loaded(tiny_checkpoint: Path) -> Checkpoint:
    """Neither model stops by itself, and the flow is solved quickly."""
    checkpoint = load(tiny_checkpoint)
    assert checkpoint.talker is not None and checkpoint.token2wav is not None
    checkpoint.talker.suppress = (*checkpoint.talker.suppress, *checkpoint.talker.stop)
    checkpoint.token2wav.ode = OdeSettings("euler", 2, 0.5)
    return replace(checkpoint, stop=frozenset())


@pytest.fixture
def checkpoint(loaded: Checkpoint) -> Checkpoint:
    loaded.thinker.rows_computed = 0
    return loaded


def picture(seed: int = 1) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (60, 90, 3), dtype=np.uint8))


def sound(seed: int = 2) -> AudioClip:
    return AudioClip((0.1 * np.random.default_rng(seed).standard_normal(9000)).astype(np.float32), 16_000)


def user(*content: Any) -> Turn:
    return Turn("user", content)


def ask(checkpoint: Checkpoint, *content: Any) -> Conversation:
    conversation = Conversation(checkpoint)
    conversation.append(user(*(content or ("Hello",))))
    return conversation


def replayed(conversation: Conversation) -> Conversation:
    """A fresh conversation with the same turns, nothing cached."""
    twin = Conversation(conversation.checkpoint, conversation.system)
    for turn in conversation.turns:
        twin.append(turn)
    return twin


def wave_of(events: list[Event]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *[e.samples for e in events if isinstance(e, SpeechChunk)]])


def finished(events: list[Event]) -> ResponseDone:
    """The closing event, which must be the only one and the last."""
    done = [event for event in events if isinstance(event, ResponseDone)]
    assert len(done) == 1 and events[-1] is done[0]
    assert len({event.generation for event in events}) == 1
    return done[0]


def respond(conversation: Conversation, options: ResponseOptions = GREEDY) -> tuple[ResponseDone, np.ndarray]:
    events = list(conversation.respond(options))
    done = finished(events)
    assert done.error is None
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == done.text
    return done, wave_of(events)


def assert_goes_on_as_if_fresh(conversation: Conversation) -> None:
    """The next turn of a conversation equals that of one that reads the same turns anew."""
    fresh = replayed(conversation)
    for each in (conversation, fresh):
        each.append(user("And now?"))
    (ours, our_wave), (theirs, their_wave) = respond(conversation), respond(fresh)
    assert ours.text == theirs.text and ours.usage.prompt_tokens == theirs.usage.prompt_tokens
    assert conversation.turns[-1].ids == fresh.turns[-1].ids
    np.testing.assert_allclose(our_wave, their_wave, atol=1e-4)


def stage_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & {"thinker", "talker", "token2wav"}


# --- streaming --------------------------------------------------------------------------------------


def test_first_sound_comes_before_the_last_text_when_the_thinker_is_slow(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = threading.Event()
    step, steps = checkpoint.thinker.step, []

    def gated(*args: Any) -> Any:
        steps.append(1)
        if len(steps) == 20:  # the Thinker stands still here until its reply is heard
            assert heard.wait(WAIT_SEC), "no sound although the Talker had twenty rows"
        return step(*args)

    monkeypatch.setattr(checkpoint.thinker, "step", gated)
    events: list[Event] = []
    for event in ask(checkpoint).respond(replace(GREEDY, max_text_tokens=30, max_codes=50)):
        events.append(event)
        if isinstance(event, SpeechChunk):
            heard.set()
    kinds = [type(event) for event in events]
    last_text = len(kinds) - 1 - kinds[::-1].index(TextDelta)
    assert kinds.index(SpeechChunk) < last_text and kinds[0] is TextDelta
    done = finished(events)
    assert done.usage.text_tokens == 30 and done.usage.codes == 50 and done.error is None


def test_text_arrives_while_it_is_written(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    read = threading.Event()
    step = checkpoint.thinker.step
    monkeypatch.setattr(checkpoint.thinker, "step", lambda *args: (read.wait(WAIT_SEC), step(*args))[1])
    monkeypatch.setattr(checkpoint.thinker, "next_token", lambda hidden, sampler: 65)
    events = ask(checkpoint).respond(replace(GREEDY, speech=False))
    first = next(events)
    assert isinstance(first, TextDelta) and not read.is_set()
    read.set()
    assert finished([first, *events]).text == first.text * 10


def test_speech_has_as_many_samples_as_its_codes_say(checkpoint: Checkpoint) -> None:
    for codes in (1, 12, 25):
        done, wave = respond(ask(checkpoint), replace(GREEDY, max_codes=codes))
        assert done.usage.codes == codes and len(wave) == codes * 4 * 240
        assert done.status == "length"


def test_speech_in_windows_says_the_same_as_speech_in_one_piece(checkpoint: Checkpoint) -> None:
    waves = []
    for options in (GREEDY, replace(GREEDY, whole_speech=True), replace(GREEDY, windows=Windows(2, 8, 3))):
        done, wave = respond(ask(checkpoint), options)
        waves.append(wave)
        assert done.usage.codes == 20
    apart = np.sqrt(((waves[0] - waves[1]) ** 2).mean() / (waves[1] ** 2).mean())
    assert 0 < apart < 1e-2, "windows approximate"
    np.testing.assert_allclose(waves[2], waves[1], atol=1e-3)


def test_the_same_seed_gives_the_same_reply_and_another_another(checkpoint: Checkpoint) -> None:
    sampling = replace(checkpoint.thinker_sampling, do_sample=True, temperature=1.3)
    sampled = replace(checkpoint, thinker_sampling=sampling)
    options = replace(GREEDY, greedy=False)
    replies = [respond(ask(sampled), replace(options, seed=seed)) for seed in (1, 1, 2)]
    assert replies[0][0].text == replies[1][0].text != replies[2][0].text
    assert np.array_equal(replies[0][1], replies[1][1])
    state = torch.random.get_rng_state()
    respond(ask(sampled), replace(options, seed=None))
    assert torch.equal(state, torch.random.get_rng_state()), "the application's own random numbers are left alone"


def test_a_stop_token_completes_and_is_no_part_of_the_text(checkpoint: Checkpoint) -> None:
    written, _ = respond(ask(checkpoint))
    conversation = ask(checkpoint)
    respond(conversation)
    ids = conversation.turns[-1].ids
    assert ids is not None and written.status == "length"
    stop = ids[4]
    stopping = ask(replace(checkpoint, stop=frozenset({stop})))
    done, _ = respond(stopping, replace(GREEDY, speech=False))
    assert done.status == "completed"
    assert stopping.turns[-1].ids == ids[: ids.index(stop)]
    assert_goes_on_as_if_fresh(stopping)


def test_an_empty_reply_is_silent(checkpoint: Checkpoint) -> None:
    vocabulary = checkpoint.thinker.model.config.text_config.vocab_size
    conversation = ask(replace(checkpoint, stop=frozenset(range(vocabulary))))
    done, wave = respond(conversation)
    assert (done.status, done.text, done.usage.codes, len(wave)) == ("completed", "", 0, 0)
    assert done.first_text_ms is None and done.first_audio_ms is None
    conversation.append(user("Again?"))
    respond(conversation)


def test_what_is_not_to_be_spoken_costs_no_speech_and_is_remembered(checkpoint: Checkpoint) -> None:
    conversation = ask(checkpoint)
    done, wave = respond(conversation, replace(GREEDY, unspoken=lambda text, whole: len(text)))
    assert (done.usage.codes, len(wave), done.first_audio_ms) == (0, 0, None)
    assert done.text == respond(ask(checkpoint))[0].text != ""
    assert_goes_on_as_if_fresh(conversation)


def test_what_might_have_become_unspoken_is_spoken_at_the_end(checkpoint: Checkpoint) -> None:
    waits = replace(GREEDY, unspoken=lambda text, whole: 0 if whole else len(text))
    (waited, late), (done, wave) = respond(ask(checkpoint), waits), respond(ask(checkpoint))
    assert waited.text == done.text
    np.testing.assert_allclose(late, wave, atol=1e-4)


@pytest.mark.parametrize("silent", [0, 1])
def test_words_after_what_is_not_to_be_spoken_are_spoken(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, silent: int
) -> None:
    """The Talker gets the rows of just the tokens whose text begins behind it, none of them twice."""
    speak, given = Talker.speak, []

    def spy(self: Talker, memory: Any, cursor: Any, voice: int, rows: Iterator[torch.Tensor], *rest: Any) -> Any:
        given.append(list(rows))
        return speak(self, memory, cursor, voice, iter(given[-1]), *rest)

    monkeypatch.setattr(Talker, "speak", spy)
    plain, cut = ask(checkpoint), ask(checkpoint)
    respond(plain)
    respond(cut, replace(GREEDY, unspoken=lambda text, whole: min(len(text), silent)))
    ids = plain.turns[-1].ids or ()
    starts = [len(checkpoint.tokenizer.decode(ids[:at])) for at in range(len(given[0]))]
    kept = [row for row, start in zip(given[0], starts) if start >= silent]
    assert 0 < len(given[1]) == len(kept) and (len(kept) < len(given[0]) or silent == 0)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(given[1], kept))


def test_times_count_from_the_request(checkpoint: Checkpoint) -> None:
    now = [100.0]
    conversation = Conversation(checkpoint, clock=lambda: now[0])
    conversation.append(user("Hello"))
    now[0] += 2.5
    conversation.append(user(picture()))
    done, _ = respond(conversation)
    assert done.first_text_ms == done.first_audio_ms == done.total_ms == 2500
    assert set(done.marks_ms) == {
        "appended",
        "read",
        *(f"{end}_{what}" for end in ("first", "last") for what in ("text", "code", "audio")),
    }
    now[0] += 60
    conversation.append(user("More"))
    assert respond(conversation)[0].total_ms == 0, "an idle minute between turns is no latency"


def test_a_turn_costs_its_own_tokens_however_long_the_conversation(checkpoint: Checkpoint) -> None:
    conversation, costs = Conversation(checkpoint), []
    for _ in range(4):
        conversation.append(user("Hello"))
        before = checkpoint.thinker.rows_computed
        done, _ = respond(conversation, replace(GREEDY, speech=False))
        costs.append(checkpoint.thinker.rows_computed - before)
        assert costs[-1] == done.usage.prefill_tokens + done.usage.text_tokens - 1
    assert len(set(costs[1:])) == 1


def test_text_only_turns_are_read_by_the_talker_when_it_speaks_again(checkpoint: Checkpoint) -> None:
    conversation = ask(checkpoint, picture(), "What?")
    silent, wave = respond(conversation, replace(GREEDY, speech=False))
    assert silent.usage.codes == 0 and len(wave) == 0
    assert_goes_on_as_if_fresh(conversation)


def test_a_checkpoint_loaded_without_speech_writes_only(tiny_checkpoint: Path) -> None:
    conversation = ask(load(tiny_checkpoint, speech=False))
    done, wave = respond(conversation)
    assert done.text and len(wave) == 0 and done.first_audio_ms is None


# --- cancellation and failure at every stage --------------------------------------------------------


def hook(monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint, stage: str, act: Callable[[], None]) -> None:
    """Call `act` once, in the stage's own thread, in the middle of its work."""
    talker, token2wav = checkpoint.talker, checkpoint.token2wav
    place: dict[str, tuple[Any, str, int]] = {
        "before reading": (checkpoint.thinker, "read", 1),
        "writing": (checkpoint.thinker, "step", 5),
        "first token": (checkpoint.thinker, "next_token", 1),
        "the talker's reading": (talker, "read", 1),
        "speaking": (talker, "read", 9),
        "sounding": (token2wav, "_integrate", 1),
        "sounding later": (token2wav, "_integrate", 2),
        "vocoding": (token2wav, "vocode", 1),
    }
    owner, name, count = place[stage]
    inner, calls = getattr(owner, name), []

    def hooked(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == count:
            act()
        return inner(*args)

    monkeypatch.setattr(owner, name, hooked)


STAGES = [
    "before reading",
    "first token",
    "writing",
    "the talker's reading",
    "speaking",
    "sounding",
    "sounding later",
    "vocoding",
]


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_from_another_thread(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    conversation = ask(checkpoint, picture(), "Hello")
    with monkeypatch.context() as patch:
        hook(patch, checkpoint, stage, conversation.cancel)
        done = finished(list(conversation.respond(GREEDY)))
    assert done.status == "cancelled" and done.error is None and not stage_threads()
    reply = conversation.turns[-1]
    assert reply.role == "assistant" and reply.content == (done.text,)
    assert done.text == checkpoint.tokenizer.decode(reply.ids, skip_special_tokens=True)
    assert_goes_on_as_if_fresh(conversation)


class Refusal(TandemError):
    """Stands for a mistake of the user that only a stage could find."""


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        *[(stage, RuntimeError("tensor 0x7f")) for stage in STAGES],
        ("before reading", Refusal("use a shorter clip")),
        ("speaking", MemoryError()),
    ],
    ids=str,
)
def test_a_fault_in_a_stage_fails_the_reply_and_not_the_conversation(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, stage: str, fault: Exception
) -> None:
    def fail() -> None:
        raise fault

    conversation = ask(checkpoint, sound(), "Hello")
    turns = list(conversation.turns)
    with monkeypatch.context() as patch:
        hook(patch, checkpoint, stage, fail)
        done = finished(list(conversation.respond(GREEDY)))
    assert done.status == "failed" and not stage_threads()
    assert done.error is not None and "\n" not in done.error
    if isinstance(fault, Refusal):
        assert done.error == "use a shorter clip"
    else:
        assert "0x7f" not in done.error, "internals go to the log"
        assert ("out of memory" in done.error) == isinstance(fault, MemoryError)
    assert conversation.turns == turns, "what was asked stays, the failed reply does not"
    assert_goes_on_as_if_fresh(conversation)


@pytest.mark.parametrize("seen", [1, 4, "speech"])
def test_closing_the_iterator_cancels(checkpoint: Checkpoint, seen: int | str) -> None:
    conversation = ask(checkpoint)
    events = conversation.respond(replace(GREEDY, max_text_tokens=40, max_codes=200))
    for index, event in enumerate(events, 1):
        if index == seen or (seen == "speech" and isinstance(event, SpeechChunk)):
            break
    events.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert next(events, None) is None and not stage_threads()
    assert conversation.turns[-1].role == "assistant"
    assert_goes_on_as_if_fresh(conversation)


def test_closing_before_the_first_event_computes_nothing(checkpoint: Checkpoint) -> None:
    conversation = ask(checkpoint)
    conversation.respond(GREEDY).close()  # pyright: ignore[reportAttributeAccessIssue]
    assert checkpoint.thinker.rows_computed == 0 and len(conversation.turns) == 1
    respond(conversation)


def test_nothing_of_a_cancelled_reply_is_seen_after_the_cancellation(checkpoint: Checkpoint) -> None:
    """Even what was already on its way: the stages have run to their end before the reader looks again."""
    conversation = ask(checkpoint)
    events = conversation.respond(GREEDY)
    first = next(events)
    for thread in threading.enumerate():
        if thread.name in ("thinker", "talker", "token2wav"):
            thread.join(WAIT_SEC)
    assert not stage_threads()
    conversation.cancel()
    rest = list(events)
    assert isinstance(first, TextDelta) and [type(event) for event in rest] == [ResponseDone]
    assert finished(rest).status == "cancelled"
    later = list(conversation.respond(GREEDY))
    assert {event.generation for event in later} == {conversation.generation} != {first.generation}


def test_cancelling_while_nothing_is_said_does_nothing(checkpoint: Checkpoint) -> None:
    conversation = ask(checkpoint)
    conversation.cancel()
    assert respond(conversation)[0].status == "length"
    conversation.cancel()
    assert_goes_on_as_if_fresh(conversation)


def test_a_conversation_makes_one_reply_at_a_time(checkpoint: Checkpoint) -> None:
    conversation = ask(checkpoint)
    events = conversation.respond(GREEDY)
    first = next(events)
    for intrusion in (
        lambda: next(conversation.respond(GREEDY)),
        lambda: conversation.append(user("Wait")),
        conversation.fork,
    ):
        with pytest.raises(ConversationError, match="cancel it"):
            intrusion()
    assert finished([first, *events]).status == "length"
    assert_goes_on_as_if_fresh(conversation)


def test_codes_that_have_no_sound_are_never_drawn(checkpoint: Checkpoint) -> None:
    assert checkpoint.talker is not None
    talker = Talker(checkpoint.talker.model, checkpoint.thinker.embed_tokens, last_code=40)
    assert talker.stop == {41, 43} and talker.bos == 42
    assert set(talker.suppress) == {42, 44, 45, 46, 47}
    sampler = talker.sampler(Sampler(Sampling()))
    assert sampler.suppress == talker.suppress and sampler.seen == {41, 42, 44}


# --- refusals that change nothing -------------------------------------------------------------------


def test_an_unknown_voice_is_refused_before_anything_is_computed(checkpoint: Checkpoint) -> None:
    conversation = ask(checkpoint)
    with pytest.raises(VoiceError, match="Ada, Ben"):
        conversation.respond(replace(GREEDY, voice="Zoe"))
    assert checkpoint.thinker.rows_computed == 0 and not stage_threads()
    assert len(respond(conversation, replace(GREEDY, voice="ben"))[1])


@pytest.mark.parametrize(
    ("bad", "error"), [(Picture(np.zeros((2, 500, 3), np.uint8)), MediaError), ("a \ud800", PromptError)], ids=str
)
def test_a_turn_with_a_bad_part_is_not_added(checkpoint: Checkpoint, bad: Any, error: type[Exception]) -> None:
    conversation = ask(checkpoint)
    length = conversation.length
    with pytest.raises(error):
        conversation.append(user("Look", picture(), bad))
    assert len(conversation.turns) == 1 and conversation.length == length
    (ours, wave), (theirs, their_wave) = respond(conversation), respond(ask(checkpoint))
    assert ours.text == theirs.text and np.array_equal(wave, their_wave)


@pytest.mark.parametrize("wrong", [{"max_text_tokens": 0}, {"max_codes": 0}])
def test_options_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        ResponseOptions(**wrong)  # pyright: ignore[reportArgumentType]


# --- forks and company ------------------------------------------------------------------------------


def test_a_fork_goes_its_own_way_and_costs_no_new_reading(checkpoint: Checkpoint) -> None:
    conversation = ask(checkpoint, picture(), "What?")
    respond(conversation)
    twin = conversation.fork()
    before = checkpoint.thinker.rows_computed
    twin.append(user("Left?"))
    done, _ = respond(twin)
    assert checkpoint.thinker.rows_computed - before == done.usage.prefill_tokens + 9 < twin.length / 2
    assert len(conversation.turns) == 2 and len(twin.turns) == 4
    assert_goes_on_as_if_fresh(conversation)
    assert_goes_on_as_if_fresh(twin)


def test_a_fork_before_any_reply(checkpoint: Checkpoint) -> None:
    conversation = ask(checkpoint)
    twin = conversation.fork()
    assert respond(twin)[0].text == respond(conversation)[0].text


def test_two_conversations_at_once_say_what_each_says_alone(checkpoint: Checkpoint) -> None:
    questions = [(picture(3), "What is this?"), (sound(4), "And that?")]

    def converse(question: tuple[Any, ...]) -> Iterator[tuple[str, np.ndarray]]:
        conversation = ask(checkpoint, *question)
        for _ in range(2):
            done, wave = respond(conversation)
            yield done.text, wave
            conversation.append(user("Go on."))

    alone = [list(converse(question)) for question in questions]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda question: list(converse(question)), questions))
    for one, other in zip(alone, together):
        assert [text for text, _ in one] == [text for text, _ in other]
        for (_, wave), (_, other_wave) in zip(one, other):
            np.testing.assert_allclose(wave, other_wave, atol=1e-6)
    assert alone[0][0][0] != alone[1][0][0], "they say different things"


@pytest.mark.parametrize("kept", [0, 1, 5])
@pytest.mark.parametrize("medium", ["text", "sound that ends inside its video's last chunk"])
def test_a_cut_reply_is_remembered_as_far_as_it_was_heard(checkpoint: Checkpoint, kept: int, medium: str) -> None:
    conversation = Conversation(checkpoint)
    if medium == "text":
        first = Turn("user", ("Hello",))
    else:
        pixels = np.random.default_rng(3).integers(0, 256, (12, 56, 112, 3), dtype=np.uint8)
        track = AudioClip(np.linspace(-0.2, 0.2, 49_600, dtype=np.float32), 16_000)
        first = Turn("user", (VideoClip(pixels, np.arange(12) / 2, 2.0, 6.0, track), "?"))
    conversation.append(first)
    respond(conversation, GREEDY)
    ids = conversation.turns[-1].ids
    assert ids is not None and len(ids) > kept
    rows = checkpoint.thinker.rows_computed
    conversation.truncate(kept)
    assert checkpoint.thinker.rows_computed == rows, "cutting computes nothing"
    assert conversation.turns[-1].ids == ids[:kept]

    fresh = Conversation(checkpoint)
    for turn in (first, conversation.turns[-1]):
        fresh.append(turn)
    for each in (conversation, fresh):
        each.append(Turn("user", ("Go on.",)))
    (done, wave), (expected, expected_wave) = respond(conversation, GREEDY), respond(fresh, GREEDY)
    assert done.text == expected.text and done.usage.prompt_tokens == expected.usage.prompt_tokens
    np.testing.assert_allclose(wave, expected_wave, atol=1e-4)
    with pytest.raises(ConversationError):
        conversation.truncate(10**6)


def test_only_the_newest_reply_can_be_cut(checkpoint: Checkpoint) -> None:
    conversation = ask(checkpoint)
    with pytest.raises(ConversationError, match="newest reply"):
        conversation.truncate(0)
    respond(conversation, GREEDY)
    conversation.append(Turn("user", ("More",)))
    with pytest.raises(ConversationError, match="before the next turn"):
        conversation.truncate(0)


def test_without_a_talker_the_text_is_the_same_and_less_is_kept(tiny_checkpoint: Path) -> None:
    told = []
    for speech in (True, False):
        checkpoint = replace(load(tiny_checkpoint, speech=speech), stop=frozenset())
        conversation = ask(checkpoint, picture(), sound(), "What is this?")
        for question in (None, "And then?"):
            if question is not None:
                conversation.append(user(question))
            done = list(conversation.respond(replace(GREEDY, speech=False)))[-1]
            assert isinstance(done, ResponseDone)
            told.append((speech, conversation.turns[-1].ids, done.usage, len(conversation._blocks) > 0))
    assert [one[1:3] for one in told[:2]] == [one[1:3] for one in told[2:]]
    assert [one[3] for one in told] == [True, True, False, False]

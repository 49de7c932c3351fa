"""The Thinker read in pieces, cropped, forked and teacher-forced computes what it computes in one go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from multimodal.checkpoint import Checkpoint, load
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Span, TextSpan, VideoSpan
from multimodal.sampler import Sampler, Sampling
from multimodal.thinker import Step, Thinker, ThinkerMemory

RATE = 16_000
NEVER: frozenset[int] = frozenset()


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(tiny_checkpoint, speech=False)


@pytest.fixture(scope="module")
def thinker(checkpoint: Checkpoint) -> Thinker:
    return checkpoint.thinker


def sound(seconds: float, start_sec: float = 0.0) -> AudioClip:
    wave = np.random.default_rng(int(seconds * 100)).standard_normal(round(seconds * RATE))
    return AudioClip((0.1 * wave).astype(np.float32), RATE, start_sec)


def picture() -> Picture:
    return Picture(np.random.default_rng(1).integers(0, 256, (112, 196, 3), dtype=np.uint8))


def video(audio: AudioClip | None = None) -> VideoClip:
    frames = np.random.default_rng(2).integers(0, 256, (8, 56, 84, 3), dtype=np.uint8)
    return VideoClip(frames, np.arange(8) / 2 + 0.25, 2.0, 4.0, audio)


def mixed_spans(checkpoint: Checkpoint) -> list[Span]:
    thinker, prompt = checkpoint.thinker, checkpoint.prompt
    return [
        *prompt.turn("system", ["You are Tandem."]),
        *prompt.turn("user", ["Look", thinker.span(picture()), "listen", thinker.span(sound(1.3)), "?"]),
        *prompt.turn("assistant", ["Fine."]),
        *prompt.turn("user", [thinker.span(video(sound(3.1))), "and this"]),
        *prompt.open_turn("assistant", []),
    ]


def read(thinker: Thinker, spans: list[Span]) -> tuple[ThinkerMemory, torch.Tensor, torch.Tensor]:
    memory = thinker.new_memory()
    return memory, *thinker.read(memory, spans)


def decode(thinker: Thinker, memory: ThinkerMemory, hidden: torch.Tensor, **changes: object) -> list[Step | int]:
    options = {"sampler": Sampler(Sampling()), "stop": NEVER, "limit": 12} | changes
    return list(thinker.decode(memory, hidden, **options))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("seed", range(4))
def test_reading_in_random_pieces_equals_reading_at_once(checkpoint: Checkpoint, seed: int) -> None:
    thinker, spans = checkpoint.thinker, mixed_spans(checkpoint)
    whole_memory, whole, whole_rows = read(thinker, spans)
    rng = np.random.default_rng(seed)
    cuts = sorted({0, len(spans), *rng.integers(1, len(spans), seed + 1).tolist()})
    memory = thinker.new_memory()
    parts = [thinker.read(memory, spans[a:b]) for a, b in zip(cuts[:-1], cuts[1:])]
    torch.testing.assert_close(torch.cat([hidden for hidden, _ in parts]), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat([rows for _, rows in parts]), whole_rows, atol=1e-5, rtol=1e-5)
    assert memory.cursor == whole_memory.cursor and memory.length == whole_memory.length


@pytest.mark.parametrize("seed", range(3))
def test_rows_may_be_cut_anywhere_even_inside_a_medium(checkpoint: Checkpoint, seed: int) -> None:
    thinker, spans = checkpoint.thinker, mixed_spans(checkpoint)
    _, whole, _ = read(thinker, spans)
    rows = torch.cat([thinker.embed(span)[0] for span in spans])
    positions, _ = thinker.tmrope.place_all(spans)
    cuts = np.random.default_rng(seed).integers(1, len(rows), 5)
    memory, parts = thinker.new_memory(), []
    edges = [0, *sorted(set(cuts.tolist())), len(rows)]
    for a, b in zip(edges[:-1], edges[1:]):
        parts.append(thinker.forward(memory, rows[a:b], positions[:, a:b]))
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=1e-5)


def test_crop_and_continue_equals_a_fresh_conversation(checkpoint: Checkpoint) -> None:
    thinker, spans = checkpoint.thinker, mixed_spans(checkpoint)
    memory, hidden, _ = read(thinker, spans[:3])
    length, cursor = memory.length, memory.cursor
    decode(thinker, memory, hidden[-1])
    thinker.read(memory, spans[3:5])
    memory.cache.crop_to(length)
    memory.cursor = cursor
    rest, _ = thinker.read(memory, spans[3:])
    _, fresh, _ = read(thinker, spans)
    torch.testing.assert_close(rest, fresh[length:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("medium", [None, "sound", "picture"])
def test_reading_a_reply_teacher_forced_equals_having_written_it(checkpoint: Checkpoint, medium: str | None) -> None:
    thinker, prompt = checkpoint.thinker, checkpoint.prompt
    part = {"sound": sound(1.7), "picture": picture()}
    parts = ["Tell me", *([thinker.span(part[medium])] if medium else []), "now"]
    spans = [*prompt.turn("user", parts), *prompt.open_turn("assistant", [])]
    memory, hidden, _ = read(thinker, spans)
    twin = memory.fork()
    made = decode(thinker, memory, hidden[-1])
    ids = [i for i in made if isinstance(i, int)]
    steps = [s for s in made if isinstance(s, Step)]
    assert [s.token for s in steps] == ids[:-1], "each id but the last goes through the model"
    forced, rows = thinker.read(twin, [TextSpan(tuple(ids[:-1]))])
    torch.testing.assert_close(forced, torch.cat([s.hidden for s in steps]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rows, torch.cat([s.hidden + s.embedding for s in steps]), atol=1e-5, rtol=1e-5)
    assert twin.length == memory.length


def test_greedy_decoding_takes_the_argmax_each_time(checkpoint: Checkpoint) -> None:
    thinker = checkpoint.thinker
    memory, hidden, _ = read(thinker, mixed_spans(checkpoint))
    made = decode(thinker, memory.fork(), hidden[-1], limit=8)
    state, expected = hidden[-1], []
    for index in range(8):
        with torch.inference_mode():
            token = int(thinker.model.lm_head(state).argmax())
        expected.append(token)
        state = thinker.step(memory, token, memory.cursor.next_decoded + index).hidden[0]
    assert [i for i in made if isinstance(i, int)] == expected
    assert len(set(expected)) > 1, "a checkpoint that always says the same would prove nothing"


def test_the_same_seed_draws_the_same_reply_and_another_seed_another(checkpoint: Checkpoint) -> None:
    thinker = checkpoint.thinker
    memory, hidden, _ = read(thinker, checkpoint.prompt.turn("user", ["Hello"]))
    replies = []
    for seed in (1, 1, 2):
        sampler = Sampler(Sampling(do_sample=True, temperature=1.5), torch.Generator().manual_seed(seed))
        made = decode(thinker, memory.fork(), hidden[-1], sampler=sampler)
        replies.append([i for i in made if isinstance(i, int)])
    assert replies[0] == replies[1] != replies[2]


def test_decoding_ends_at_a_stop_token_without_passing_it_through_the_model(checkpoint: Checkpoint) -> None:
    thinker = checkpoint.thinker
    memory, hidden, _ = read(thinker, checkpoint.prompt.turn("user", ["Hello"]))
    free = [i for i in decode(thinker, memory.fork(), hidden[-1]) if isinstance(i, int)]
    stop = free[5]
    cut = free.index(stop)
    before = memory.length
    made = decode(thinker, memory, hidden[-1], stop=frozenset({stop}))
    assert [i for i in made if isinstance(i, int)] == free[: cut + 1]
    assert memory.length == before + cut


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_decoding_ends_at_the_limit(checkpoint: Checkpoint, limit: int) -> None:
    thinker = checkpoint.thinker
    memory, hidden, _ = read(thinker, checkpoint.prompt.turn("user", ["Hello"]))
    before, computed = memory.length, thinker.rows_computed
    made = decode(thinker, memory, hidden[-1], limit=limit)
    assert len([i for i in made if isinstance(i, int)]) == limit
    assert memory.length - before == thinker.rows_computed - computed == limit - 1


def test_a_fork_decodes_as_its_origin_does_and_leaves_it_alone(checkpoint: Checkpoint) -> None:
    thinker = checkpoint.thinker
    memory, hidden, _ = read(thinker, mixed_spans(checkpoint))
    twin, length = memory.fork(), memory.length
    first = [i for i in decode(thinker, twin, hidden[-1]) if isinstance(i, int)]
    assert memory.length == length
    assert first == [i for i in decode(thinker, memory, hidden[-1]) if isinstance(i, int)]


def test_rows_for_the_talker_leave_out_the_embeddings_of_media(checkpoint: Checkpoint) -> None:
    thinker = checkpoint.thinker
    span = thinker.span(video(sound(3.1)))
    assert isinstance(span, VideoSpan)
    rows, silent = thinker.embed(span)
    ids = torch.tensor(thinker.tmrope.ids(span))
    media = torch.isin(ids, torch.tensor(thinker.tmrope.control.media))
    assert not silent[media].any() and rows[media].abs().min(dim=1).values.shape[0] == int(media.sum())
    assert torch.equal(silent[~media], rows[~media])
    encoded = thinker.vision.encode(span.features, span.grid)
    assert torch.equal(rows[ids == thinker.tmrope.control.video], encoded)
    _, hidden, talker_rows = read(thinker, [span])
    torch.testing.assert_close(talker_rows, hidden + silent, atol=0, rtol=0)


@pytest.mark.parametrize(("start_sec", "tokens"), [(0.0, 50), (0.5, 62), (-0.5, 37), (-2.5, 0)])
def test_a_sound_track_is_laid_from_the_first_frame_on(thinker: Thinker, start_sec: float, tokens: int) -> None:
    track = sound(2.0, start_sec)
    span = thinker.span(video(track))
    assert isinstance(span, VideoSpan)
    assert (span.audio.tokens if span.audio else 0) == tokens
    if span.audio:
        shift = round(start_sec * RATE)
        kept = track.samples[max(0, -shift) :]
        wave = np.concatenate([np.zeros(max(0, shift), np.float32), kept])
        assert torch.equal(span.audio.features, thinker.audio.features(AudioClip(wave, RATE)))


def test_video_positions_follow_the_frame_rate_or_the_capture_times(thinker: Thinker) -> None:
    clip = replace(video(), times_sec=np.array([0, 0.5, 1.2, 1.7, 2.0, 2.5, 5.0, 5.5]))
    by_index, by_capture = thinker.span(clip), thinker.span(clip, "capture")
    assert isinstance(by_index, VideoSpan) and isinstance(by_capture, VideoSpan)
    assert by_index.second_per_grid == 1.0 and by_index.grid_times_sec is None
    assert by_capture.grid_times_sec == (0.0, 1.2, 2.0, 5.0)
    starts = [thinker.tmrope.place_all([span])[0][0, 1::6][:4].tolist() for span in (by_index, by_capture)]
    assert starts == [[1, 26, 51, 76], [1, 31, 51, 126]]

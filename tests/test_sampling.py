"""Which frames are kept, at what size, and which packets are decoded for them."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.decode import FrameBudget
from multimodal.errors import MediaError, MediaTooLarge
from multimodal.sampling import choose_frames, decode_spans, frame_size
from tests.media_files import (
    one_line,
)


def test_the_default_budget_is_that_of_qwen_vl_utils() -> None:
    from qwen_vl_utils import vision_process as reference

    budget, area = FrameBudget(), 28 * 28
    assert (budget.fps, budget.min_frames, budget.max_frames) == (
        reference.FPS,
        reference.FPS_MIN_FRAMES,
        reference.FPS_MAX_FRAMES,
    )
    assert budget.temporal_patch == reference.FRAME_FACTOR
    assert (budget.min_pixels, budget.max_pixels) == (
        reference.VIDEO_MIN_TOKEN_NUM * area,
        reference.VIDEO_MAX_TOKEN_NUM * area,
    )
    assert budget.total_pixels == reference.MODEL_SEQ_LEN * area * 0.9


@settings(max_examples=200, deadline=None)
@given(
    st.integers(2, 40_000),
    st.sampled_from(
        [Fraction(30), Fraction(30_000, 1001), Fraction(25), Fraction(24_000, 1001), Fraction(1), Fraction(5)]
    ),
    st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 15_360)]),
)
def test_at_a_constant_rate_the_frames_are_those_of_qwen_vl_utils(
    total: int, rate: Fraction, fps: float, tick: Fraction
) -> None:
    from qwen_vl_utils.vision_process import smart_nframes

    ideal = np.arange(total) / float(rate)
    times = np.round(ideal / float(tick)) * float(tick)
    choice = choose_frames(times, float(rate), float(tick), FrameBudget(fps=fps))
    count = smart_nframes({"fps": fps}, total_frames=total, video_fps=float(rate))
    expected = torch.linspace(0, total - 1, count).round().long().numpy()
    assert np.array_equal(choice.indices, expected)
    assert choice.fps == count / total * float(rate)
    assert np.array_equal(choice.times_sec, times[expected])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=200))
def test_at_a_variable_rate_each_sample_takes_the_frame_on_screen(gaps_ms: list[int]) -> None:
    times = np.cumsum([0, *gaps_ms]) / 1000
    choice = choose_frames(times, 30.0, 0.001, FrameBudget())
    count = len(choice.indices)
    assert count % 2 == 0 or len(times) == 1
    assert choice.indices[0] == 0 and choice.indices[-1] == len(times) - 1
    assert (np.diff(choice.times_sec) > 0).all()
    for sample, (index, at) in enumerate(zip(choice.indices, choice.times_sec)):
        target = times[-1] * sample / (count - 1)
        assert times[index] <= target + 0.0006
        assert index == len(times) - 1 or times[index + 1] > target + 0.0004
        assert times[index] <= at <= max(target, times[index]) + 1e-9


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 768), st.sampled_from([28, 32]))
def test_frame_sizes_are_those_of_qwen_vl_utils(height: int, width: int, frames: int, factor: int) -> None:
    from qwen_vl_utils.vision_process import smart_resize

    budget = FrameBudget.from_preprocessor({"patch_size": factor // 2})
    if max(height, width) / min(height, width) > 200:
        with pytest.raises(MediaTooLarge, match="too narrow"):
            frame_size(height, width, frames, budget)
        return
    area = factor * factor
    most: Any = max(min(768 * area, 128_000 * area * 0.9 / frames * 2), int(128 * area * 1.05))
    expected = smart_resize(height, width, factor, min_pixels=128 * area, max_pixels=most)
    assert frame_size(height, width, frames, budget) == tuple(max(factor, side) for side in expected)


def test_a_checkpoint_made_for_small_frames_sets_its_own_bounds() -> None:
    nano = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2, "min_pixels": 112**2, "max_pixels": 336**2}
    budget = FrameBudget.from_preprocessor(nano, fps=1.0)
    assert (budget.min_pixels, budget.max_pixels, budget.fps) == (112**2, 336**2, 1.0)
    large = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2, "min_pixels": 3136, "max_pixels": 12_845_056}
    assert FrameBudget.from_preprocessor(large) == FrameBudget()
    assert frame_size(28, 5600, 4, budget)[0] == 28  # never a side of 0


@pytest.mark.parametrize(
    "options",
    [{"fps": 1e9}, {"fps": 0}, {"fps": float("nan")}, {"min_frames": 0}, {"max_frames": 1}, {"min_pixels": 10},
     {"max_pixels": 5}, {"total_pixels": 0}, {"factor": 0}],
)  # fmt: skip
def test_a_budget_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(MediaError) as caught:
        FrameBudget(**options)
    one_line(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=8), st.data())
def test_spans_hold_all_that_the_wanted_frames_lean_on(groups: list[tuple[int, int]], data: st.DataObject) -> None:
    """Groups of pictures: a keyframe, `leading` pictures shown before it, then the others."""
    pts: list[int] = []
    is_key: list[bool] = []
    leans_on: list[int] = []  # the keyframe where decoding must begin
    shown = 0
    for length, leading in groups:
        leading = leading if pts else 0
        key = len(pts)
        earlier = leans_on[-1] if pts else 0
        pts += [shown + leading, *range(shown, shown + leading), *range(shown + leading + 1, shown + leading + length)]
        is_key += [True] + [False] * (leading + length - 1)
        leans_on += [key] + [max((i for i in range(key) if is_key[i]), default=0)] * leading + [key] * (length - 1)
        assert earlier <= key
        shown += leading + length
    wanted = np.array(sorted(data.draw(st.sets(st.integers(0, len(pts) - 1), min_size=1))))
    spans = decode_spans(np.array(pts), np.array(is_key), wanted)
    decoded = [set(range(first, last + 1)) for first, last in spans]
    for packet in wanted.tolist():
        assert any(set(range(leans_on[packet], packet + 1)) <= run for run in decoded)
    assert all(is_key[first] for first, _ in spans)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))

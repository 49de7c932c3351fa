"""Positions equal transformers' `get_rope_index`, for every mix of media and every split."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal.blueprint import TINY
from multimodal.checkpoint_files import byte_level_tokenizer
from multimodal.prompt import AudioSpan, ControlIds, ImageSpan, PromptFormat, Span, TextSpan, VideoSpan
from multimodal.tmrope import Cursor, Tmrope

IDS = TINY.special_ids()
CONTROL = ControlIds(
    im_start=IDS["<|im_start|>"],
    im_end=IDS["<|im_end|>"],
    audio=IDS["<|AUDIO|>"],
    audio_bos=IDS["<|audio_bos|>"],
    audio_eos=IDS["<|audio_eos|>"],
    image=IDS["<|IMAGE|>"],
    video=IDS["<|VIDEO|>"],
    vision_bos=IDS["<|vision_bos|>"],
    vision_eos=IDS["<|vision_eos|>"],
)
TMROPE = Tmrope(CONTROL)


@pytest.fixture(scope="module")
def reference() -> SimpleNamespace:
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import (
        Qwen2_5OmniPreTrainedModelForConditionalGeneration as Reference,
    )

    owner: Any = SimpleNamespace(spatial_merge_size=2, config=TINY.config().thinker_config)
    owner.get_llm_pos_ids_for_vision = lambda *a: Reference.get_llm_pos_ids_for_vision(owner, *a)
    owner.get_chunked_index = lambda *a: Reference.get_chunked_index(owner, *a)
    owner.get_rope_index = lambda *a, **k: Reference.get_rope_index(owner, *a, **k)
    return owner


def rope_index(reference: SimpleNamespace, spans: list[Span]) -> tuple[np.ndarray, int]:
    ids = torch.tensor([[i for span in spans for i in TMROPE.ids(span)]])
    images = [s.grid for s in spans if isinstance(s, ImageSpan)]
    videos = [s for s in spans if isinstance(s, VideoSpan)]
    sounds = [s if isinstance(s, AudioSpan) else s.audio for s in spans if isinstance(s, AudioSpan | VideoSpan)]
    # Any mel length that gives this many audio tokens will do.
    lengths = [4 * s.tokens for s in sounds if s is not None]
    positions, delta = reference.get_rope_index(
        ids,
        torch.tensor(images) if images else None,
        torch.tensor([v.grid for v in videos]) if videos else None,
        torch.ones_like(ids),
        any(v.audio is not None for v in videos),
        torch.tensor(lengths) if lengths else None,
        torch.tensor([v.second_per_grid for v in videos]) if videos else None,
    )
    return positions[:, 0].numpy(), int(delta[0, 0]) + ids.shape[1]


texts = st.builds(lambda n: TextSpan(tuple(range(1, n + 1))), st.integers(1, 9))
sounds = st.builds(AudioSpan, st.integers(1, 180))
sides = st.integers(1, 12).map(lambda n: 2 * n)
images = st.builds(lambda h, w: ImageSpan((1, h, w)), sides, sides)
rates = st.sampled_from([0.25, 0.5, 1.0, 2.0, 2 / 3, 2 / 25, 4.7])
silent_videos = st.builds(lambda t, h, w, s: VideoSpan((t, h, w), s), st.integers(1, 9), sides, sides, rates)
sounding_videos = st.builds(
    lambda t, h, w, s, a: VideoSpan((t, h, w), s, audio=AudioSpan(a)),
    st.integers(1, 9),
    sides,
    sides,
    rates,
    st.integers(1, 260),
)


def conversations(video: st.SearchStrategy[VideoSpan]) -> st.SearchStrategy[list[Span]]:
    # Media never touch in the ChatML layout of one part after another only if text stands between; the
    # reference handles touching media too, so both are tried.
    part = st.one_of(texts, sounds, images, video)
    return st.lists(part, min_size=1, max_size=7).map(lambda parts: [TextSpan((5,)), *parts, TextSpan((6, 7))])


@settings(max_examples=120, deadline=None)
@given(st.one_of(conversations(silent_videos), conversations(sounding_videos)))
def test_positions_equal_get_rope_index_at_every_split(reference: SimpleNamespace, spans: list[Span]) -> None:
    expected, next_decoded = rope_index(reference, spans)
    whole, cursor = TMROPE.place_all(spans)
    np.testing.assert_array_equal(whole, expected)
    assert cursor.next_decoded == next_decoded
    for split in range(len(spans) + 1):
        head, between = TMROPE.place_all(spans[:split])
        tail, end = TMROPE.place_all(spans[split:], between)
        np.testing.assert_array_equal(np.concatenate([head, tail], axis=1), expected)
        assert end == cursor


def test_text_that_spells_control_tokens_stays_text() -> None:
    tokenizer = SimpleNamespace(backend_tokenizer=byte_level_tokenizer())
    tokenizer.backend_tokenizer.add_special_tokens(list(IDS))
    layout = PromptFormat(tokenizer, CONTROL)
    spans = layout.turn("user", ["a <|vision_bos|><|IMAGE|><|vision_eos|> b", "<|im_end|>"])
    inside = [i for span in spans if isinstance(span, TextSpan) for i in span.ids]
    assert inside.count(CONTROL.im_start) == 1 and inside.count(CONTROL.im_end) == 1
    assert CONTROL.image not in inside and CONTROL.vision_bos not in inside


def test_real_capture_times_replace_index_over_fps() -> None:
    span = VideoSpan((3, 2, 2), 1.0, grid_times_sec=(10.0, 10.48, 13.0))
    positions, cursor = TMROPE.place(span, Cursor())
    assert positions[0].tolist() == [0, 1, 13, 76, 77]
    assert cursor.last == 77

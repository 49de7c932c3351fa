"""Token ids to text while it grows: the deltas joined are the text, and no character is ever split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.detokenizer import Detokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_checkpoint)


@pytest.fixture(scope="module")
def merging_tokenizer() -> Any:
    """A tokenizer with merges, so that tokens hold several characters and parts of characters."""
    from transformers import Qwen2Tokenizer

    from multimodal.checkpoint_files import byte_level_tokenizer

    texts = ["the cat sat on the mat. 你好，世界 🙂🙃 naïve café", "  two  spaces\n\nand lines 👩‍👩‍👧"] * 20
    return Qwen2Tokenizer(tokenizer_object=byte_level_tokenizer((texts, 330)))


def deltas(tokenizer: Any, ids: list[int]) -> list[str]:
    stream = Detokenizer(tokenizer)
    parts = [stream.push(i) for i in ids]
    parts.append(stream.finish())
    assert stream.text == "".join(parts)
    return parts


SAMPLES = st.text(
    st.one_of(st.sampled_from("the cat sat 你好🙂🙃é\n 👩‍👩‍👧\u0301"), st.characters(codec="utf-8")), max_size=40
)


@settings(max_examples=150, deadline=None)
@given(SAMPLES)
def test_deltas_join_to_the_text_for_any_text(tokenizer: Any, merging_tokenizer: Any, text: str) -> None:
    for each in (tokenizer, merging_tokenizer):
        ids = each.encode(text, add_special_tokens=False)
        whole = each.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        parts = deltas(each, ids)
        assert "".join(parts) == whole
        if "\ufffd" not in whole:
            assert not any("\ufffd" in part for part in parts)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 255), max_size=40))
def test_deltas_join_to_the_whole_for_any_tokens(tokenizer: Any, merging_tokenizer: Any, ids: list[int]) -> None:
    """A model may write bytes that are no UTF-8; each such run becomes replacement marks, as decoding at once gives."""
    for each in (tokenizer, merging_tokenizer):
        assert "".join(deltas(each, ids)) == each.decode(ids, clean_up_tokenization_spaces=False)


def test_a_character_of_four_tokens_comes_in_one_piece(tokenizer: Any) -> None:
    ids = tokenizer.encode("a🙂b", add_special_tokens=False)
    assert len(ids) == 6
    assert deltas(tokenizer, ids) == ["a", "", "", "", "🙂", "b", ""]


def test_an_unfinished_character_comes_out_at_the_end_as_a_replacement_mark(tokenizer: Any) -> None:
    ids = tokenizer.encode("a🙂", add_special_tokens=False)[:-1]
    assert deltas(tokenizer, ids) == ["a", "", "", "", "\ufffd"]


def test_control_tokens_do_not_show(tokenizer: Any) -> None:
    stop = tokenizer.convert_tokens_to_ids("<|im_end|>")
    ids = tokenizer.encode("hi", add_special_tokens=False)
    assert "".join(deltas(tokenizer, [stop, *ids, stop])) == "hi"


def test_spaces_before_punctuation_stay(tokenizer: Any) -> None:
    text = "well , he said 's ."
    assert "".join(deltas(tokenizer, tokenizer.encode(text, add_special_tokens=False))) == text

"""The Talker learns on exactly the rows that transformers' `generate` gives it, and its training does learn."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multimodal import checkpoint
from multimodal.blueprint import TINY
from multimodal.checkpoint import Checkpoint
from multimodal.checkpoint_files import byte_level_tokenizer
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Content, Turn
from training import export, pieces
from training.codec import LEVELS, Codec
from training.prompts import prompt_of
from training.replies import Grouping, Replies, phones_of
from training.talker import TalkerOptions, Trainer, train
from training.talker_model import (
    TalkerTraining,
    code_targets,
    foretold_rows,
    guidance_loss,
    mask_codes,
    own_codes,
    read_prompt,
    thinker_rows,
)
from training.utterances import CodedUtterance, write_coded


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Path) -> Checkpoint:
    return checkpoint.load(tiny_checkpoint, device="cpu", speech=False)


def picture() -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 255, (112, 140, 3), np.uint8))


def sound() -> AudioClip:
    return AudioClip(np.random.default_rng(1).normal(0, 0.1, 20_000).astype(np.float32), 16_000)


def clip() -> VideoClip:
    frames = np.random.default_rng(2).integers(0, 255, (4, 112, 112, 3), np.uint8)
    return VideoClip(frames, np.arange(4) / 2, fps=2.0, duration_sec=2.0)


def generate_inputs(tiny: Checkpoint, part: Content) -> dict[str, torch.Tensor]:
    """What `generate` takes beside the ids for a prompt with one medium."""
    if isinstance(part, str):
        return {}
    span: Any = tiny.thinker.span(part)
    if isinstance(part, AudioClip):
        mask = torch.ones(1, span.features.shape[1], dtype=torch.long)
        return {"input_features": span.features[None], "feature_attention_mask": mask}
    grid = torch.tensor([span.grid])
    if isinstance(part, Picture):
        return {"thinker_pixel_values": span.features, "image_grid_thw": grid}
    seconds = torch.tensor([span.second_per_grid])
    return {"thinker_pixel_values_videos": span.features, "video_grid_thw": grid, "video_second_per_grid": seconds}


def keep_mask(talker: Any) -> None:
    """Give the Talker the attention mask that transformers' generation drops when it is all ones. Without a mask its
    forward neither adds the codec's begin and pad embeddings nor takes TMRoPE's positions, as it does in a batch."""

    def restore(_module: Any, _args: Any, kwargs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        rows = kwargs["inputs_embeds"] if kwargs.get("inputs_embeds") is not None else kwargs["input_ids"]
        length = kwargs["past_key_values"].get_seq_length() + rows.shape[1]
        return (), {**kwargs, "attention_mask": torch.ones(1, length, dtype=torch.long)}

    talker.register_forward_pre_hook(restore, with_kwargs=True)


@pytest.mark.parametrize(
    "part", ["Say it again.", picture(), sound(), clip()], ids=["text", "picture", "sound", "video"]
)
def test_batched_logits_equal_the_step_by_step_talker_of_transformers(
    tiny_checkpoint: Path, tiny: Checkpoint, part: Content
) -> None:
    model = export.load(tiny_checkpoint)
    turns = [Turn("system", (tiny.system_prompt,)), Turn("user", (part, "What?"))]
    spans = [
        span
        for turn in turns
        for span in tiny.prompt.turn(
            turn.role, [p if isinstance(p, str) else tiny.thinker.span(p) for p in turn.content]
        )
    ] + tiny.prompt.open_turn("assistant", [])
    ids = torch.tensor([[token for span in spans for token in tiny.thinker.tmrope.ids(span)]])

    stepwise: list[torch.Tensor] = []
    said: list[torch.Tensor] = []
    keep_mask(model.talker)
    model.talker.codec_head.register_forward_hook(lambda _m, _i, output: stepwise.append(output[:, -1]))
    speak = model.talker.generate
    model.talker.generate = lambda *a, **k: said.append(speak(*a, **k)) or said[-1]
    sequences, _ = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        speaker="Ben",
        thinker_max_new_tokens=9,
        thinker_min_new_tokens=9,
        thinker_do_sample=False,
        talker_do_sample=False,
        talker_eos_token_id=[TINY.codec_eos],
        talker_max_new_tokens=24,
        talker_min_new_tokens=24,
        token2wav_num_steps=2,
        **generate_inputs(tiny, part),
    )
    expected = torch.cat(stepwise)  # [24, talker vocabulary]
    text = sequences[:, ids.shape[1] : -1]  # the last token becomes the end-of-text row
    codes = said[0][:, ids.shape[1] + 2 :][:, : len(expected) - 1]
    assert text.shape[1] == 8 and len(expected) == 24

    training = TalkerTraining(TINY).eval()
    training.load(export.read_part(tiny_checkpoint, "talker", TINY))
    prompt = prompt_of(tiny, turns)
    # Two replies of different lengths side by side: padding must not reach the one that is compared.
    texts = torch.cat([torch.nn.functional.pad(text, (0, 3)), torch.randint(0, 200, (1, 11))])
    decoder = tiny.thinker.model.model.language_model
    known = read_prompt(decoder, prompt)
    replies = thinker_rows(decoder, prompt, known.memory, texts)
    bare = thinker_rows(decoder, prompt, known.memory, texts, bare=torch.tensor([False, True]))
    assert torch.equal(bare[0], replies[0]) and torch.equal(bare[1], decoder.embed_tokens(texts[1]))
    both = torch.cat([codes, torch.randint(1, 40, codes.shape)])
    both = torch.nn.functional.pad(both, (0, 5))
    logits, _, _ = training(prompt, known.rows, replies, torch.tensor([8, 11]), torch.tensor([1, 0]), both)
    torch.testing.assert_close(logits[0, :24], expected, atol=2e-5, rtol=1e-4)


def test_targets_are_the_codes_then_one_end_code() -> None:
    targets = code_targets(torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([3, 1]), 99)
    assert targets.tolist() == [[5, 6, 7, 99], [8, 99, -100, -100]]


def test_masking_hides_a_share_of_the_codes_and_changes_no_other() -> None:
    codes = torch.randint(1, 40, (200, 100))
    masked = mask_codes(codes, 0.4, 44, torch.Generator().manual_seed(0))
    hidden = masked == 44
    assert torch.equal(masked[~hidden], codes[~hidden])
    assert 0.17 < hidden.float().mean() < 0.23 and hidden.float().mean(1).max() > 0.33


def test_own_codes_are_drawn_from_what_the_talker_would_say() -> None:
    codes = torch.full((200, 100), 7)
    logits = torch.full((200, 101, 48), -9.0)
    logits[..., 0] = logits[..., 41:] = 9.0  # no sounds
    logits[..., 3] = 2.0
    logits[..., 5] = 2.0 + math.log(3)
    said = own_codes(codes, logits, 0.5, 40, torch.Generator().manual_seed(0))
    changed = said[said != 7]
    assert 0.2 < len(changed) / said.numel() < 0.3 and set(changed.tolist()) == {3, 5}
    assert 0.7 < (changed == 5).float().mean() < 0.8


def test_a_foretold_reply_has_the_states_of_saying_it_again(tiny: Checkpoint) -> None:
    prompt = prompt_of(tiny, [Turn("user", ("Hello.",))])
    decoder = tiny.thinker.model.model.language_model
    known = read_prompt(decoder, prompt)
    texts, lengths = torch.randint(0, 200, (2, 7)), torch.tensor([4, 7])
    between = torch.tensor([11, 12, 13])
    told = foretold_rows(decoder, prompt, known.memory, texts, lengths, between)
    for row, length in enumerate(lengths.tolist()):
        once = texts[row, :length]
        whole = thinker_rows(decoder, prompt, known.memory, torch.cat([once, between, once])[None])
        torch.testing.assert_close(told[row, :length], whole[0, length + 3 :])
    assert not torch.allclose(told[1], thinker_rows(decoder, prompt, known.memory, texts)[1])


def utterances(count: int) -> list[CodedUtterance]:
    """Speech of a kind that can be learned at this size: each letter is two codes, other ones in the other voice."""
    rng = np.random.default_rng(0)
    result = []
    for index in range(count):
        text = "".join(rng.choice(list("abcdefgh"), rng.integers(3, 9)))
        letters = np.array([ord(c) - ord("a") for c in text], np.int16)
        codes = np.stack([1 + 2 * letters, 2 + 2 * letters], 1).reshape(-1) + 20 * (index % 2)
        words = np.zeros(len(codes), np.int16)
        result.append(CodedUtterance(text, ("slt", "rms")[index % 2], codes.astype(np.int16), words))
    return result


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    byte_level_tokenizer().save(str(path))
    return path


def test_replies_keep_each_text_with_its_codes_and_voice_and_within_the_budget(tokenizer: Path) -> None:
    spoken = utterances(60)
    replies = Replies(spoken, tokenizer, Grouping(codes_per_batch=120, max_codes=40, joined=0.5), 0.0, seed=1)
    by_text = {(u.text, u.voice): u.codes.tolist() for u in spoken}
    seen = joined = 0
    for batch, _ in zip(iter(replies), range(40)):
        assert batch.codes.numel() <= 120
        for row in range(len(batch.codes)):
            text = bytes(_byte_of(i) for i in batch.text[row, : batch.text_lengths[row]].tolist()).decode()
            voice = ("slt", "rms")[int(batch.voices[row])]
            expected = [code for word in text.split(" ") for code in by_text[word, voice]]
            assert batch.codes[row, : batch.code_lengths[row]].tolist() == expected
            seen += 1
            joined += " " in text
    assert seen > 60 and joined > 5


def _byte_of(token: int) -> int:
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
    return table[letters[token]]


def test_phones_are_read_off_codes_as_the_codec_reads_them_off_the_mel(tokenizer: Path) -> None:
    torch.manual_seed(0)
    codec = Codec(speakers=2, width=16).eval()
    mel = torch.randn(1, 80, 400) * 3 - 6
    _, logits, codes = codec(mel, torch.zeros(1, 100, dtype=torch.long))
    found = phones_of(codec, (codes[0] + 1).to(torch.int16).numpy(), codes_a_piece=32)
    expected = logits[0].argmax(0).view(100, 4)[:, [1, 3]].numpy()
    assert int(np.prod(LEVELS)) == 2048 and len(codes.unique()) > 20 and len(np.unique(expected)) > 3
    assert (found[20:-20] == expected[20:-20]).all()

    spoken = utterances(40)
    place = np.arange(sum(len(u.codes) for u in spoken))
    labels = np.stack([place // 50, place % 50], 1).astype(np.uint8)
    batch = next(iter(Replies(spoken, tokenizer, Grouping(120, 40, 0.5), phones=labels)))
    inside = torch.arange(batch.codes.shape[1]) < batch.code_lengths[:, None]
    assert (batch.phones[~inside] == -100).all() and (batch.phones[inside] >= 0).all()
    first = batch.phones[0, : batch.code_lengths[0]]
    start = int(np.flatnonzero((labels == first[0].numpy()).all(1))[0])
    assert (batch.codes[0, 0] == np.concatenate([u.codes for u in spoken])[start]).all()


SMALL = TalkerOptions(
    seconds=1e6, codes_per_step=512, max_codes=40, learning_rate=4e-3, warmup_steps=20, dropout=0.0, code_masking=0.2,
    bpe_dropout=0.0, joined=0.0, text_prompts=4, media_prompts=0,
)  # fmt: skip


def test_the_talker_learns_to_speak_what_it_reads(tiny: Checkpoint, tokenizer: Path) -> None:
    torch.manual_seed(0)
    prompt = prompt_of(tiny, [Turn("user", ("Hello.",))])
    trainer = Trainer(TalkerTraining(TINY), tiny.thinker.model.model.language_model, [prompt], SMALL)
    grouping = Grouping(SMALL.codes_per_step, SMALL.max_codes, 0.0)
    spoken = utterances(440)
    check = next(iter(Replies(spoken[400:], tokenizer, grouping)))
    before = trainer.validate([check])["held_out_loss"]
    for batch, _ in zip(iter(Replies(spoken[:400], tokenizer, grouping)), range(160)):
        trainer.step(batch)
    after = trainer.validate([check])
    assert before > 3.5 and after["held_out_loss"] < 1.5 and after["held_out_right"] > 0.5, (before, after)
    assert int(trainer.skipped) == 0


def test_a_training_saves_and_goes_on_where_it_was(
    tmp_path: Path, tiny_checkpoint: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_coded(tmp_path / "codes.npz", utterances(100))
    paths = tmp_path / "codes.npz", tiny_checkpoint, tokenizer, tmp_path / "run"
    first = train(replace(SMALL, seconds=1), *paths, blueprint=TINY)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["step"] == first.step_count and "held_out_loss" in lines[-1]
    again = train(replace(SMALL, seconds=first.elapsed_sec + 1), *paths, resume=True, blueprint=TINY)
    assert again.step_count > first.step_count and again.elapsed_sec > first.elapsed_sec
    part = export.read_part(tmp_path / "run" / "talker.safetensors", "talker", TINY)
    assert torch.equal(part["speech_tokens"], again.model.speech_tokens.detach())
    assert not torch.equal(part["speech_tokens"], first.model.speech_tokens.detach())


def test_a_gradient_that_is_not_finite_changes_nothing(tiny: Checkpoint, tokenizer: Path) -> None:
    prompt = prompt_of(tiny, [Turn("user", ("Hello.",))])
    model = TalkerTraining(TINY)
    trainer = Trainer(model, tiny.thinker.model.model.language_model, [prompt], TalkerOptions())
    batch = next(iter(Replies(utterances(8), tokenizer, Grouping(200, 40, 0.0), 0.0, seed=0)))
    trainer.step(batch)
    before = [p.detach().clone() for p in model.parameters()]
    model.talker.codec_head.register_forward_hook(lambda _m, _i, output: output * float("nan"))
    trainer.step(batch)
    assert int(trainer.skipped) == 1
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))


def test_an_export_loads_to_the_parts_it_was_made_of(tmp_path: Path, tiny_checkpoint: Path) -> None:
    training = TalkerTraining(TINY)
    parts = {part: export.read_part(tiny_checkpoint, part, TINY) for part in export.PREFIXES}
    parts["talker"] = training.weights()
    model = export.assemble(TINY, parts)
    voices = torch.load(tiny_checkpoint / "spk_dict.pt", weights_only=True)
    export.export(tmp_path / "out", TINY, model, voices, byte_level_tokenizer())
    loaded = checkpoint.load(tmp_path / "out", device="cpu")
    assert list(loaded.voices) == ["Ada", "Ben"]
    talker = export.read_part(tmp_path / "out", "talker", TINY)
    assert talker.keys() == {name for name in training.weights() if not name.startswith("phone_head.")}
    for name, value in talker.items():
        torch.testing.assert_close(value, training.weights()[name].bfloat16().float(), rtol=0, atol=0)
    vocoder = export.read_part(tmp_path / "out", "vocoder", TINY)
    assert all(torch.equal(vocoder[name], value) for name, value in parts["vocoder"].items())


def test_an_export_names_the_weights_that_are_missing(tiny_checkpoint: Path) -> None:
    part = export.read_part(tiny_checkpoint, "dit", TINY)
    del part["proj_out.weight"]
    with pytest.raises(ValueError, match=r"the dit does not fit.*proj_out\.weight"):
        export.assemble(TINY, {"dit": part})


def test_pieces_of_a_part_are_small_replace_older_ones_and_read_as_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {f"layer.{i}": torch.randn(50, 40) for i in range(7)}
    monkeypatch.setattr(pieces, "PIECE_BYTES", 3 * 50 * 40 * 4)
    assert len(pieces.write_pieces(tmp_path, "dit", weights, float32=True)) == 3
    files = pieces.write_pieces(tmp_path, "dit", weights)
    pieces.write_pieces(tmp_path, "talker", {"other": torch.ones(2)})
    assert sorted(tmp_path.glob("dit-*")) == files and len(files) == 2
    assert all(file.stat().st_size < pieces.PIECE_BYTES + 2000 for file in files)
    found = export.read_part(tmp_path, "dit", TINY)
    assert found.keys() == weights.keys()
    assert all(torch.equal(value, weights[name].bfloat16().float()) for name, value in found.items())
    with pytest.raises(ValueError, match="repeats"):
        pieces.read_pieces([files[0], files[0]])


def test_words_of_tokens_and_codes_agree_across_joined_texts(tokenizer: Path) -> None:
    spoken = [
        CodedUtterance("Go on,  then.", "slt", np.arange(1, 6, dtype=np.int16), np.array([-1, 0, 1, 2, -1], np.int16)),
        CodedUtterance("No!", "slt", np.arange(7, 9, dtype=np.int16), np.array([0, 0], np.int16)),
    ]
    replies = Replies(spoken, tokenizer, Grouping(codes_per_batch=99, max_codes=40, joined=0.0))
    from tokenizers import Tokenizer

    batch = replies.batch([(0, 1), (1,)], Tokenizer.from_file(str(tokenizer)), None)
    assert batch.said.tolist() == [[-1, 0, 1, 2, -1, 3, 3], [0, 0, -1, -1, -1, -1, -1]]
    letters = [bytes([_byte_of(i)]) for i in batch.text[0].tolist()]
    words = [b"".join(c for c, w in zip(letters, batch.written[0].tolist(), strict=True) if w == n) for n in range(4)]
    assert [word.strip() for word in words] == [b"Go", b"on,", b"then.", b"No!"]
    assert batch.written[1, :3].tolist() == [0, 0, 0] and (batch.written[1, 3:] == -1).all()


def test_guidance_is_the_attention_to_the_word_that_is_said() -> None:
    look = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.2, 0.2, 0.5, 0.1], [0.3, 0.3, 0.3, 0.1], [1.0, 0, 0, 0]]).log()[None]
    written, said = torch.tensor([[0, 0, 1, 1, 1]]), torch.tensor([[0, 1, -1]])
    loss, right = guidance_loss(look, written, said)
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2, abs=1e-5)
    assert right.item() == 1.0
    assert guidance_loss(look, written, torch.tensor([[1, 0, -1]]))[1].item() == 0.0
    assert guidance_loss(look, written, torch.tensor([[-1, -1, -1]]))[0].item() == 0.0


def test_the_guided_attention_is_the_one_of_the_layer(tiny: Checkpoint) -> None:
    """Shares that, by hand, mix the values into what the layer's own pass gives."""
    from training.shared_prompt import attention_of, layer_pass, read

    model: Any = TalkerTraining(TINY).talker.model.eval()
    layer = model.layers[0]
    torch.manual_seed(3)
    x = torch.randn(2, 5, layer.self_attn.q_proj.in_features)
    prompt = torch.randn(1, 3, x.shape[-1])
    given: list[Any] = []
    positions = torch.arange(3).expand(3, -1)
    _, memory = read(model, prompt, positions)
    read(model, x, positions[:, :1] + 3 + torch.arange(5), memory, watch=lambda i, *seen: given.append(seen))
    layer, x, cos, sin, past, mask = given[0]
    attention = layer.self_attn
    shares = [attention_of(layer, x, cos, sin, past, mask, head=h).exp() for h in range(attention.num_heads)]
    assert torch.allclose(shares[0].sum(-1), torch.ones(2, 5), atol=1e-5) and (shares[0][:, 0, 4:] == 0).all()
    kept: list[torch.Tensor] = []
    attention.o_proj.register_forward_pre_hook(lambda _m, inputs: kept.append(inputs[0]))
    _, _, values = layer_pass(layer, x, cos, sin, past, mask, 0.0)
    whole = torch.cat([past[1].expand(2, -1, -1, -1), values], 1)  # [B, P + T, key-value heads, D]
    mixed = [s @ whole[:, :, h // attention.num_key_value_groups] for h, s in enumerate(shares)]
    assert torch.allclose(torch.cat(mixed, -1), kept[0], atol=1e-5)

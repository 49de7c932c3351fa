"""The Thinker's training computes what transformers computes, on what the running model will see."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.multiprocessing.spawn import spawn

import multimodal  # noqa: F401
from multimodal.blueprint import TINY
from multimodal.checkpoint_files import byte_level_tokenizer
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Turn
from training.augment import Augmenter, AugmentOptions, place_clips
from training.batches import SPEEDS, Maker, Mixture, SourceOptions, as_heard, random_size
from training.blocks import batch_views, block
from training.features import LogMel, frame_patches, patch_places, patch_values, resize, resized_size, warped
from training.packed_thinker import PackedThinker
from training.packing import IGNORED, NO_PHONE, Budget, Layout, Packer, Sequence, Sound, empty_arrays
from training.recognition import edit_distance
from training.thinker import Trainer, TrainOptions, new_model
from training.thinker_losses import INNER_LOSSES, LossSums, thinker_loss
from training.thinker_progress import Examiner, Task
from training.tokenizer import chat_tokenizer, learn
from training.utterances import Utterance, write_shard

SIZES = replace(TINY, vision_full_layers=(0, 1))
BUDGET = Budget(
    tokens=1024,
    sequences=24,
    longest=512,
    clips=8,
    seconds=6.0,
    chunks=14,
    patches=640,
    frames=640,
    largest_image=256,
    images=16,
    learned=256,
    characters=80,
)
KINDS = ("talk", "picture", "heard", "clip", "film")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    byte_level_tokenizer().save(str(path))
    return Layout(chat_tokenizer(path, SIZES), SIZES.config().thinker_config, SIZES.system_prompt)


@pytest.fixture(scope="module")
def model() -> Any:
    return new_model(1, SIZES).eval()


def noise(seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n = int(seconds * 16_000)
    tone = np.sin(np.arange(n) * rng.uniform(0.02, 0.2)) * np.linspace(0.1, 0.9, n)
    return (tone * 0.3 + rng.normal(0, 0.02, n)).astype(np.float32).clip(-1, 1)


def picture(height: int, width: int, seed: int) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def film(frames: int, seconds: float | None, seed: int) -> VideoClip:
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, 56, 84, 3), dtype=np.uint8)
    audio = None if seconds is None else AudioClip(noise(seconds, seed), 16_000)
    return VideoClip(pixels, np.arange(frames) / 2, fps=2.0, duration_sec=frames / 2, audio=audio)


def conversations() -> dict[str, list[Turn]]:
    answer = Turn("assistant", ("A red circle.",))
    return {
        "talk": [
            Turn("user", ("Hi!",)),
            Turn("assistant", ("Hello.",)),
            Turn("user", ("Who?",)),
            Turn("assistant", ("Tandem.",)),
        ],
        "picture": [Turn("user", (picture(84, 112, 1), picture(56, 56, 2), "What is it?")), answer],
        "heard": [Turn("user", ("Before ", AudioClip(noise(3.37, 3), 16_000))), answer],
        "clip": [Turn("user", (film(6, None, 4), AudioClip(noise(0.731, 5), 16_000), "What moves?")), answer],
        "film": [Turn("user", (film(8, 4.0, 6), "What rings?")), answer],
    }


def packed_batch(layout: Layout, kinds: tuple[str, ...] = KINDS) -> tuple[dict[str, torch.Tensor], list[Sequence]]:
    packer = Packer(BUDGET, layout.control, KINDS, SIZES.special_ids()["<|endoftext|>"])
    for kind in kinds:
        assert packer.add(layout.sequence(kind, conversations()[kind]))
    return batch_views(block(packer.finish()), empty_arrays(BUDGET, 0)), packer.sequences


def encoder_inputs(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    start, count, lead, total = batch["clips"].long().unbind(1)
    waves = place_clips(batch["samples"], start, count, lead, batch["speeds"], BUDGET.clip_samples)
    return LogMel()(waves, total, batch["chunks"].long()), patch_values(batch["patches"], batch["pairs"].long())


def reference_inputs(sequence: Sequence) -> dict[str, torch.Tensor]:
    """What transformers' own forward takes, from its own processors."""
    from transformers import WhisperFeatureExtractor

    ids = torch.from_numpy(sequence.ids.astype(np.int64))[None]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if sequence.sounds:
        extractor = WhisperFeatureExtractor(feature_size=128, return_attention_mask=True)
        waves = [s.samples.astype(np.float32) / 32768 for s in sequence.sounds]
        out = extractor(
            waves, sampling_rate=16_000, return_tensors="pt", padding="max_length", return_attention_mask=True
        )
        inputs |= {"input_features": out["input_features"], "feature_attention_mask": out["attention_mask"]}
    return inputs


def reference_pixels(sequence: Sequence) -> torch.Tensor:
    return patch_values(torch.from_numpy(sequence.patches), torch.from_numpy(sequence.pairs).long())


@pytest.mark.parametrize("seconds", [0.05, 0.731, 1.9999, 2.0, 3.37, 5.005])
def test_log_mel_equals_the_whisper_feature_extractor_and_the_running_encoder(seconds: float) -> None:
    from transformers import WhisperFeatureExtractor

    from multimodal.audio import AudioEncoder

    extractor = WhisperFeatureExtractor(feature_size=128)
    wave = noise(seconds, 7)
    other = noise(5.9, 8)
    frames = -(-len(wave) // 160)
    padded = np.zeros((2, 96_000), np.float32)
    padded[0, : len(wave)], padded[1, : len(other)] = wave, other
    first = list(range(0, frames, 200))
    chunks = torch.tensor([[0, f, min(200, frames - f)] for f in first] + [[1, 0, 200], [1, 200, 200], [1, 400, 190]])
    mel = LogMel()(torch.from_numpy(padded), torch.tensor([len(wave), len(other)]), chunks)
    whole = mel[: len(first)].transpose(0, 1).reshape(128, -1)[:, :frames]
    expected = extractor(wave, sampling_rate=16_000, return_tensors="pt")["input_features"][0][:, :frames]
    torch.testing.assert_close(whole, expected, atol=2e-4, rtol=0)
    tower = type("Tower", (), {"n_window": 100})()
    torch.testing.assert_close(
        whole, AudioEncoder(tower, extractor).features(AudioClip(wave, 16_000)), atol=2e-4, rtol=0
    )
    assert (mel[len(first) - 1, :, frames - first[-1] :] == 0).all()


@pytest.mark.parametrize("size", [(112, 112), (168, 280), (100, 333), (400, 300)])
def test_patches_equal_the_image_processor(size: tuple[int, int]) -> None:
    from PIL import Image
    from transformers import Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    processor = Qwen2VLImageProcessor(min_pixels=SIZES.image_min_pixels, max_pixels=SIZES.image_max_pixels)
    shown = picture(*size, 9)
    expected = processor(images=[Image.fromarray(shown.pixels)], return_tensors="pt")
    h, w = smart_resize(*size, 28, SIZES.image_min_pixels, SIZES.image_max_pixels)
    assert expected["image_grid_thw"].tolist() == [[1, h // 14, w // 14]]
    patches = torch.from_numpy(frame_patches(resize(shown.pixels, h, w)))
    rows = torch.arange(len(patches))
    torch.testing.assert_close(
        patch_values(patches, torch.stack([rows, rows], 1)), expected["pixel_values"], atol=1e-5, rtol=1e-5
    )


def test_resized_sizes_are_those_of_the_reference() -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    rng = np.random.default_rng(0)
    limits = SIZES.image_min_pixels, SIZES.image_max_pixels
    for height, width in rng.integers(20, 900, (300, 2)).tolist():
        assert resized_size(height, width, *limits) == smart_resize(height, width, 28, *limits)


def test_video_patches_equal_the_running_vision_encoder(model: Any) -> None:
    from transformers import Qwen2VLImageProcessor

    from multimodal.vision import VisionEncoder

    clip = film(4, None, 10)
    expected, grid = VisionEncoder(model.model.visual, Qwen2VLImageProcessor()).frame_patches(clip.frames)
    n = grid[1] * grid[2]
    patches = torch.from_numpy(np.concatenate([frame_patches(frame) for frame in clip.frames]))
    first = torch.cat([torch.arange(n), torch.arange(2 * n, 3 * n)])
    torch.testing.assert_close(
        patch_values(patches, torch.stack([first, first + n], 1)), expected, atol=1e-5, rtol=1e-5
    )


def test_patch_places_are_those_of_the_reference() -> None:
    from transformers.vision_utils import get_vision_position_ids

    expected = get_vision_position_ids(torch.tensor([[1, 6, 8]]), 2)
    assert torch.equal(torch.from_numpy(patch_places(6, 8)).long(), expected)


@torch.no_grad()
def test_packed_encoders_equal_transformers_encoders(model: Any, layout: Layout) -> None:
    packed = PackedThinker(model)
    batch, sequences = packed_batch(layout)
    mel, values = encoder_inputs(batch)
    embeddings, _, _ = packed.embed(batch, mel, values, BUDGET.largest_image)
    at = 0
    for sequence in sequences:
        ids = torch.from_numpy(sequence.ids)
        rows = embeddings[at : at + len(ids)]
        at += len(ids)
        inputs = reference_inputs(sequence)
        if "input_features" in inputs:
            heard = model.get_audio_features(
                inputs["input_features"], inputs["feature_attention_mask"]
            ).last_hidden_state
            torch.testing.assert_close(rows[ids == layout.control.audio], heard, atol=1e-5, rtol=1e-4)
        if sequence.images:
            grids = torch.tensor(
                [
                    [1, int(p[:, 0].max()) + 1, int(p[:, 1].max()) + 1]
                    for p in np.split(sequence.places, np.cumsum(sequence.images)[:-1])
                ]
            )
            seen = model.model.visual(reference_pixels(sequence), grid_thw=grids).pooler_output
            is_image = (ids == layout.control.image) | (ids == layout.control.video)
            torch.testing.assert_close(rows[is_image], seen, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", ["in runs", "interleaved"])
def test_packed_forward_equals_transformers_forward(model: Any, layout: Layout, kind: str, axes: str) -> None:
    if axes == "interleaved":
        model = new_model(1, replace(SIZES, mrope_section=(1,) * 8, rope_theta=10_000.0)).eval()
    packed = PackedThinker(model)
    batch, sequences = packed_batch(layout)
    mel, values = encoder_inputs(batch)
    hidden, *_ = packed(batch, mel, values, BUDGET.longest, BUDGET.largest_image)
    index = KINDS.index(kind)
    sequence = sequences[index]
    start = sum(len(s.ids) for s in sequences[:index])
    inputs: dict[str, Any] = reference_inputs(sequence)
    if kind == "picture":
        inputs |= {"pixel_values": reference_pixels(sequence), "image_grid_thw": torch.tensor([[1, 6, 8], [1, 4, 4]])}
    if kind in ("clip", "film"):
        grid = torch.tensor([[len(sequence.images), 4, 6]])
        inputs |= {"pixel_values_videos": reference_pixels(sequence), "video_grid_thw": grid}
        inputs |= {"video_second_per_grid": torch.tensor([1.0]), "use_audio_in_video": kind == "film"}
    model.model.rope_deltas = None
    expected = model(**inputs, use_cache=False).logits[0]
    logits = model.lm_head(hidden[start : start + len(sequence.ids)])
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-3)


def test_only_answers_and_their_ends_are_learned(layout: Layout) -> None:
    sequence = layout.sequence("talk", conversations()["talk"])
    tokenizer = chat_tokenizer_of(layout)
    learned = [tokenizer.decode(sequence.ids[list(group)]) for group in runs(sequence.learned)]
    assert learned == ["Hello.<|im_end|>", "Tandem.<|im_end|>"]
    whole = tokenizer.decode(sequence.ids)
    assert whole.startswith(
        "<|im_start|>system\nYou are Tandem.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n"
    )


def chat_tokenizer_of(layout: Layout) -> Any:
    tokenizer = byte_level_tokenizer()
    from multimodal.blueprint import SPECIAL_TOKENS

    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return type(
        "Tokenizer",
        (),
        {"decode": staticmethod(lambda ids: tokenizer.decode(list(map(int, ids)), skip_special_tokens=False))},
    )


def runs(mask: np.ndarray) -> list[list[int]]:
    return [[i for i, _ in group] for on, group in itertools.groupby(enumerate(mask), key=lambda pair: pair[1]) if on]


def test_targets_are_predicted_from_the_token_before(layout: Layout) -> None:
    batch, sequences = packed_batch(layout)
    known = batch["targets"] != IGNORED
    assert int(known.sum()) == sum(int(s.learned.sum()) for s in sequences)
    assert torch.equal(batch["ids"][batch["hidden_at"][known].long() + 1], batch["targets"][known])


def test_a_packer_refuses_what_exceeds_any_budget_and_stays_unchanged(layout: Layout) -> None:
    packer = Packer(BUDGET, layout.control, KINDS, 0)
    sequence = layout.sequence("film", conversations()["film"])
    count = 0
    while packer.add(sequence):
        count += 1
    assert 1 < count == len(packer.sequences)
    arrays = packer.finish()
    assert arrays["offsets"][-1] == BUDGET.tokens and arrays["image_offsets"][-1] == BUDGET.patches
    assert np.diff(arrays["offsets"]).min() >= 0 and np.diff(arrays["offsets"]).max() <= BUDGET.longest
    assert np.diff(arrays["image_offsets"]).max() <= BUDGET.largest_image
    long = layout.sequence("talk", [Turn("user", ("word " * 600,)), Turn("assistant", ("no",))])
    assert not packer.fits_alone(long) and packer.fits_alone(sequence)


def test_phone_labels_follow_silence_and_speed() -> None:
    phones = np.repeat(np.array([3, 5, 7], np.uint8), 20)  # 0.2 s each
    samples = np.zeros(9600, np.int16)
    plain = Sound(samples, 9600, phones=phones).phone_labels()
    assert plain.tolist() == [3] * 10 + [5] * 10 + [7] * 10
    late = Sound(samples, 16_000, lead=3200, phones=phones).phone_labels()
    assert late.tolist() == [0] * 10 + plain.tolist() + [0] * 10
    fast = Sound(samples, 4800, speed=2.0, phones=phones).phone_labels()
    assert fast.tolist() == [3] * 5 + [5] * 5 + [7] * 5
    assert set(Sound(samples, 9600).phone_labels().tolist()) == {NO_PHONE}


def test_characters_are_left_out_where_digits_are_spoken_otherwise() -> None:
    samples = np.zeros(9600, np.int16)
    assert len(Sound(samples, 9600, text="It's a cat.").spoken_ids()) == len("it's a cat")
    assert Sound(samples, 9600, text="Route 66.").spoken_ids() == [] and Sound(samples, 9600).spoken_ids() == []


def test_clips_are_placed_exactly_at_their_own_speed_and_resampled_smoothly_at_others() -> None:
    t = np.arange(16_000)
    samples = torch.from_numpy((np.sin(t * 0.3) * 20_000).astype(np.int16))
    one, zero = torch.ones(1), torch.zeros(1, dtype=torch.long)
    count = torch.tensor([16_000])
    placed = place_clips(samples, zero, count, zero + 500, one, 20_000)[0]
    assert (placed[:500] == 0).all() and (placed[16_500:] == 0).all()
    torch.testing.assert_close(placed[500:16_500], samples.float() / 32768, atol=1e-6, rtol=0)
    fast = place_clips(samples, zero, count, zero, one * 1.1, 14_000)[0]
    expected = torch.sin(torch.arange(14_000).double() * 1.1 * 0.3).float() * 20_000 / 32768
    torch.testing.assert_close(fast[100:13_900], expected[100:13_900], atol=0.02, rtol=0)


def test_noise_has_the_asked_for_level_and_nothing_sounds_after_a_clip() -> None:
    torch.manual_seed(0)
    options = AugmentOptions(noise=1.0, snr_db=(10.0, 10.0), reverberation=0.0, band_limit=0.0, gain_db=(0.0, 0.0))
    waves = torch.from_numpy(np.stack([np.pad(noise(2.0, i) * 0.3, (0, 8000)) for i in range(6)]))
    lengths = torch.full((6,), 32_000)
    changed = Augmenter(options, seconds=5)(waves, lengths, 1.0)
    assert (changed[:, 32_000:] == 0).all()
    added = (changed - waves)[:, :32_000].square().mean(1)
    snr = 10 * torch.log10(waves[:, :32_000].square().mean(1) / added)
    assert ((snr - 10).abs() < 2).all()
    quiet = Augmenter(AugmentOptions(gain_db=(0.0, 0.0)), seconds=5)(waves, lengths, 0.0)
    assert torch.equal(quiet, waves)
    strong = Augmenter(AugmentOptions(noise=1, reverberation=1, band_limit=1), seconds=5)(waves, lengths, 1.0)
    assert torch.isfinite(strong).all() and strong.abs().max() <= 1 and (strong[:, 32_000:] == 0).all()


def test_warping_moves_a_tone_by_its_factor_and_leaves_others_as_they_are() -> None:
    power = torch.zeros(3, 2, 201)
    power[:, :, 60] = 1.0  # 2400 Hz
    moved = warped(power, torch.tensor([1.0, 1.1, 0.9]))
    assert torch.equal(moved[0], power[0])
    assert moved[1:].argmax(-1).tolist() == [[66, 66], [54, 54]]
    ends = torch.rand(2, 1, 201)
    assert torch.allclose(warped(ends, torch.tensor([0.85, 1.15]))[..., [0, -1]], ends[..., [0, -1]])
    assert Augmenter(seconds=1).warps(4, 0.0) is None
    torch.manual_seed(0)
    factors = Augmenter(seconds=1).warps(400, 1.0)
    assert factors is not None and 0.85 <= factors.min() < 0.88 and 1.12 < factors.max() <= 1.15
    assert 0.2 < (factors == 1).float().mean() < 0.4


def test_recoloured_sound_stays_silent_after_its_end_and_whole_where_nothing_is_disturbed() -> None:
    torch.manual_seed(0)
    mel = torch.ones(6, 128, 200)
    chunks = torch.tensor([[i // 2, 0, 200 if i % 2 == 0 else 70] for i in range(6)])
    mel[1::2, :, 70:] = 0.0
    changed = Augmenter(seconds=1).recolour(mel, chunks, 3, 1.0)
    assert changed.shape == mel.shape and not torch.equal(changed, mel)
    assert (changed[1::2, :, 70:] == 0).all() and (changed[:, :, :70] != 0).all()
    assert Augmenter(seconds=1).recolour(mel, chunks, 3, 0.0) is mel


def test_what_is_heard_keeps_the_whole_utterance() -> None:
    import random

    utterance = Utterance("Hello.", "slt", np.ones(20_000, np.int16), np.zeros(125, np.uint8))
    for seed in range(50):
        sound = as_heard(utterance, random.Random(seed), 1.0, 96_000)
        assert sound.lead + int(20_000 / sound.speed) <= sound.total <= 96_000 and SPEEDS[0] <= sound.speed <= SPEEDS[1]


def test_random_sizes_stay_within_the_processors_limits() -> None:
    import random

    rng = random.Random(0)
    sizes = {random_size(rng, SIZES.image_min_pixels, SIZES.image_max_pixels) for _ in range(500)}
    assert all(h % 28 == 0 and w % 28 == 0 and 112**2 <= h * w <= 336**2 for h, w in sizes) and len(sizes) > 30


SMALL = replace(BUDGET, tokens=512, chunks=4, patches=128, frames=128, learned=64, clips=4)


def trainer(budget: Budget = SMALL) -> Trainer:
    return Trainer(TrainOptions(100.0, rate=5e-3), budget, KINDS, torch.device("cpu"), 0, SIZES)


def test_training_learns_saves_and_resumes(layout: Layout, tmp_path: Path) -> None:
    batch = Packer(SMALL, layout.control, KINDS, 0)
    for kind in ("talk", "picture", "heard"):
        assert batch.add(layout.sequence(kind, conversations()[kind]))
    whole = block(batch.finish())
    ours = trainer()
    ours.step(whole, 0.1)
    before = ours.sums.read()
    for _ in range(14):
        ours.step(whole, 0.1)
    ours.sums.read()
    ours.step(whole, 0.1)
    after = ours.sums.read()
    assert all(after[kind][0] < 0.75 * before[kind][0] for kind in ("talk", "picture", "heard")), (before, after)
    ours.save(tmp_path)
    again = trainer()
    again.load(tmp_path)
    assert again.step_count == ours.step_count == 16
    for a, b in zip(ours.packed.state_dict().values(), again.packed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    torch.manual_seed(3)
    ours.step(whole, 0.5)
    torch.manual_seed(3)
    again.step(whole, 0.5)
    for a, b in zip(ours.packed.state_dict().values(), again.packed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_a_checkpoint_has_the_names_and_weights_of_transformers_thinker(tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration

    ours = trainer()
    ours.save(tmp_path)
    fresh = Qwen2_5OmniThinkerForConditionalGeneration(SIZES.config().thinker_config)
    missing = fresh.load_state_dict(load_file(tmp_path / "thinker.safetensors"))
    assert not missing.missing_keys and not missing.unexpected_keys


def test_a_step_without_finite_gradients_changes_nothing(layout: Layout) -> None:
    packer = Packer(SMALL, layout.control, KINDS, 0)
    packer.add(layout.sequence("talk", conversations()["talk"]))
    whole = block(packer.finish())
    ours = trainer()
    ours.step(whole, 0.1)
    weight = ours.packed.model.lm_head.weight
    before, weight_before = [p.clone() for p in ours.packed.parameters()], weight.clone()
    hook = weight.register_hook(lambda gradient: gradient * float("nan"))
    ours.step(whole, 0.1)
    hook.remove()
    assert int(ours.skipped) == 1
    assert all(torch.equal(a, b) for a, b in zip(before, ours.packed.parameters(), strict=True))
    ours.step(whole, 0.1)
    assert not torch.equal(weight_before, weight) and int(ours.skipped) == 1


def test_every_loss_reaches_every_part_of_the_model(layout: Layout) -> None:
    packed = PackedThinker(new_model(2, SIZES))
    sound = Sound((noise(2.5, 1) * 20_000).astype(np.int16), 40_000, phones=np.full(250, 4, np.uint8), text="a tone")
    clip = AudioClip(np.zeros(0, np.float32), 16_000)
    packer = Packer(BUDGET, layout.control, KINDS, 0)
    shown = picture(56, 56, 1)
    items = [
        {"name": "background", "color": "blue", "box": (0, 0, 56, 56)},
        {"name": "cat", "color": "red", "box": (0, 0, 28, 28)},
        {"character": "a", "box": (30, 30, 40, 50)},
    ]
    turns = [Turn("user", (clip, shown)), Turn("assistant", ("a",))]
    packer.add(layout.sequence("heard", turns, {id(clip): sound}, seen={id(shown): [items]}))
    filmed = film(4, 2.0, 3)
    turns = [Turn("user", ("A cat?", filmed)), Turn("assistant", ("A cat at 1 second.",))]
    packer.add(layout.sequence("film", turns, seen={id(filmed): [items, items]}))
    batch = batch_views(block(packer.finish()), empty_arrays(BUDGET, 0))
    mel, values = encoder_inputs(batch)
    sums = LossSums(KINDS, torch.device("cpu"))
    outputs = packed(batch, mel, values, BUDGET.longest, BUDGET.largest_image)
    hidden, heard, seen, inside = outputs
    thinker_loss(packed, batch, hidden, heard, seen, inside, batch["clip_tokens"], sums).backward()
    without = [name for name, p in packed.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == ["model.model.audio_tower.audio_bos_eos_token.weight"]  # transformers keeps it, and never uses it
    read = sums.read()
    assert all(read[name][0] > 0 for name in ("heard", *INNER_LOSSES))


def test_what_cells_show_can_be_learned(layout: Layout) -> None:
    """Two pictures: an object left in one, right in the other, and a letter in each."""
    torch.manual_seed(0)
    packer, shown = Packer(SMALL, layout.control, KINDS, 0), []
    for i, (name, letter) in enumerate((("cat", "a"), ("dog", "B"))):
        shown.append(picture(56, 84, i))
        items = [
            {"name": "background", "color": "white", "box": (0, 0, 84, 56)},
            {"name": name, "color": ("red", "blue")[i], "box": (28 * i, 0, 28 * i + 28, 56)},
            {"character": letter, "box": (70, 5, 80, 25)},
        ]
        turns = [Turn("user", (shown[i],)), Turn("assistant", (name,))]
        assert packer.add(layout.sequence("picture", turns, seen={id(shown[i]): [items]}))
    whole = block(packer.finish())
    ours = trainer()
    for _ in range(40):
        ours.step(whole, 0.1)
    ours.sums.read()
    ours.step(whole, 0.1)
    read = ours.sums.read()
    assert all(read[name][1] > 0.9 for name in ("cells", "colors", "boxes", "letters")), read
    assert read["places"][0] < 0.5, read


def test_simple_pictures_come_first() -> None:
    mixture = Mixture(start={}, end={}, easy_until=0.25)
    assert [mixture.ease(p) for p in (0.0, 0.125, 0.25, 1.0)] == [1.0, 0.5, 0.0, 0.0]


def test_greedy_answers_are_those_of_transformers_generate(model: Any, layout: Layout) -> None:
    talks = {kind: conversations()[kind] for kind in ("talk", "picture", "heard")}
    tasks = [Task.split(layout.sequence(kind, turns)) for kind, turns in talks.items()]
    budget = replace(BUDGET, learned=32)
    examiner = Examiner(tasks, layout, chat_tokenizer_of(layout), budget, 0)
    given = {
        t.prompt.kind: ids
        for found, answers in examiner._answers(PackedThinker(model), LogMel(), torch.device("cpu"))
        for t, ids in zip(found, answers, strict=True)
    }
    for task in tasks:
        inputs: dict[str, Any] = reference_inputs(task.prompt)
        if task.prompt.images:
            inputs |= {
                "pixel_values": reference_pixels(task.prompt),
                "image_grid_thw": torch.tensor([[1, 6, 8], [1, 4, 4]]),
            }
        model.model.rope_deltas = None
        ids = inputs["input_ids"]
        count = len(given[task.prompt.kind])
        out = model.generate(
            **inputs, max_new_tokens=max(count, 1), do_sample=False, eos_token_id=layout.control.im_end, pad_token_id=0
        )
        assert out[0, ids.shape[1] :].tolist()[:count] == given[task.prompt.kind]
    result = examiner.ask(PackedThinker(model), LogMel(), torch.device("cpu"))
    assert set(result["exact"]) == {"talk", "picture", "heard"}


def test_word_errors_count_substitutions_insertions_and_deletions() -> None:
    assert edit_distance("a b c".split(), "a b c".split()) == 0
    assert edit_distance("a b c".split(), "a x c d".split()) == 2
    assert edit_distance("a b c".split(), []) == 3


def test_the_learning_rate_rises_and_falls_with_time() -> None:
    options = TrainOptions(900.0)
    factors = [options.factor(i / 200) for i in range(201)]
    assert max(factors) == pytest.approx(1.0, abs=0.01) and factors[-1] == pytest.approx(0.05)
    assert factors[0] < 0.05 and factors.index(max(factors)) in range(4, 9)
    assert options.disturbance(0.3) == 0 and options.disturbance(0.5) == 1


def test_the_tokenizer_is_learned_the_same_twice_and_keeps_digits_single() -> None:
    sizes = replace(TINY, vocab_size=300)
    texts = ["the red circle 1234 is left of the blue square", "the green circle and the red square"] * 40
    first, second = learn(iter(texts), sizes), learn(iter(texts), sizes)
    assert first.to_str() == second.to_str() and first.encode("1234").tokens == ["1", "2", "3", "4"]
    assert len(first.encode(" circle").ids) == 1


def test_batches_keep_the_shares_of_their_mixture(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import corpus

    monkeypatch.setattr(corpus, "sentences", lambda seed, split, count, folder: ["The red circle is small."] * count)
    speech = [Utterance(f"A tone {i}", "slt", (noise(1 + i / 4, i) * 20_000).astype(np.int16)) for i in range(4)]
    write_shard(tmp_path / "slt-0.npz", speech)
    mixture = Mixture(
        start={"dictation": 0.6, "sentences": 0.1, "repeat": 0.3},
        end={"dictation": 0.6, "sentences": 0.1, "repeat": 0.3},
    )
    maker = Maker(SourceOptions(tmp_path, budget=replace(BUDGET, clips=30, chunks=40), mixture=mixture), layout)
    counts: dict[str, int] = {}
    for packer in itertools.islice(maker.batches(), 6):
        assert packer.fill > 0.7
        for s in packer.sequences:
            counts[s.kind] = counts.get(s.kind, 0) + len(s.ids)
    total = sum(counts.values())
    shares = {kind: n / total for kind, n in counts.items()}
    assert all(abs(shares[kind] - share) < 0.15 for kind, share in mixture.start.items()), shares


def test_two_processes_take_the_step_of_both_batches_together(layout: Layout, tmp_path: Path) -> None:
    """Each with a batch of its own; afterwards both hold what one process gets from the mean of the two gradients."""
    wholes = [block(packed_blocks(layout, turn)) for turn in (0, 1)]
    torch.save(wholes, tmp_path / "blocks.pt")
    spawn(_one_rank, (tmp_path,), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    gradients = []
    for whole in wholes:
        other = trainer()
        other.optimizer.step = lambda: None  # type: ignore[method-assign]
        other.step(whole, 0.1)
        gradients.append(clipped_back(other))
    assert first["along"] == second["along"] == 0.25
    for name in gradients[0]:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        mean = (gradients[0][name] + gradients[1][name]) / 2
        torch.testing.assert_close(first[f"{name}, gradient"], mean, atol=1e-5, rtol=1e-3)


def packed_blocks(layout: Layout, seed: int) -> dict[str, np.ndarray]:
    packer = Packer(SMALL, layout.control, KINDS, 0)
    shown = picture(56, 84, seed)
    assert packer.add(layout.sequence("picture", [Turn("user", (shown,)), Turn("assistant", (f"Answer {seed}.",))]))
    return packer.finish()


def clipped_back(ours: Trainer) -> dict[str, torch.Tensor]:
    """Gradients as they were before they were clipped."""
    factor = max(1.0, float(ours.norm) / ours.options.clip)
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad * factor for name, p in ours.packed.named_parameters()
    }


def _one_rank(rank: int, folder: Path) -> None:
    import os

    from training.parallel import Ranks

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
    ranks = Ranks()
    ranks.join()
    ours = Trainer(TrainOptions(60.0, rate=1e-3), SMALL, KINDS, torch.device("cpu"), 0, SIZES, ranks)
    result: dict[str, Any] = {"along": ranks.agree(0.25 if rank == 0 else 0.75)}
    ours.step(torch.load(folder / "blocks.pt")[rank], 0.1)
    for name, gradient in clipped_back(ours).items():
        result[f"{name}, gradient"] = gradient.clone()
    result |= {name: p.detach().clone() for name, p in ours.packed.named_parameters()}
    torch.save(result, folder / f"{rank}.pt")
    ranks.close()

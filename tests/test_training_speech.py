"""The speech-out training: text and teachers, mel, codec, DiT and vocoder, from shards to files that the app loads."""

from __future__ import annotations

import ctypes.util
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multimodal.blueprint import TINY
from multimodal.token2wav import OdeSettings, Token2Wav
from training import corpus, dit, mel, synthesis, vocoder
from training.codec import LEVELS, Codec, Quantizer, coded, encode_bank, losses
from training.optimization import Optimizer, Run, RunOptions
from training.speech_bank import CODE_SAMPLES, UNKNOWN_PHONE, SpeechBank
from training.spoken_texts import spoken_texts
from training.utterances import (
    PHONES,
    CodedUtterance,
    Utterance,
    read_coded,
    read_shard,
    shards,
    write_coded,
    write_shard,
)

needs_flite = pytest.mark.skipif(not ctypes.util.find_library("flite"), reason="libflite1 is not installed")
needs_espeak = pytest.mark.skipif(not ctypes.util.find_library("espeak-ng"), reason="libespeak-ng1 is not installed")

DATA = {
    "noun": '00000001 03 n 01 mill 0 000 | a building with machines (old); "the mill stands by the river"; e.g. it\n',
    "verb": "00000002 29 v 01 walk 0 000 | use one's feet to advance; \"Walk, don't run!\"\n",
    "adj": "00000003 00 a 01 able 0 000 | having the power to do something\n",
    "adv": "00000004 02 r 01 well 0 000 | in a good or proper way\n",
}


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wordnet")
    words = [a + b for a in "bcdfghlmnprst" for b in ("at", "one", "ill", "ark")]
    for part, line in DATA.items():
        (folder / f"data.{part}").write_text("  1 licence\n" + line)
        (folder / f"index.{part}").write_text("  1 licence\n" + "".join(f"{word} n 1 0 1 0\n" for word in words))
    (folder / "cntlist.rev").write_text("bat%1:01:00:: 1 9\nrare%1:01:00:: 1 1\nmill%1:01:00:: 1 3\n")
    return folder


def speech(voice: str, seconds: float, seed: int) -> Utterance:
    """A tone with noise, half a second of silence before it, labelled as two phones."""
    rng = np.random.default_rng(seed)
    count = int(seconds * 16_000)
    wave = 6000 * np.sin(2 * np.pi * rng.uniform(120, 400) * np.arange(count) / 16_000) + rng.normal(0, 300, count)
    wave[:8000] = 0
    phones = np.zeros(-(-count // 160), np.uint8)
    phones[50:] = 1 + (np.arange(len(phones) - 50) // 20) % 2
    return Utterance(f"Tone {seed}.", voice, wave.astype(np.int16), phones)


@pytest.fixture(scope="module")
def bank_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for voice in dit.TEACHERS:
        write_shard(folder / f"{voice}.npz", [speech(voice, 2.0 + 0.37 * i, i) for i in range(3)])
    return folder


def test_a_shard_gives_back_what_was_written(tmp_path: Path) -> None:
    written = [
        speech("slt", 1.3, 1),
        Utterance("No phones, naïve text.", "espeak:en+f1", np.arange(500, dtype=np.int16)),
    ]
    write_shard(tmp_path / "a.npz", written)
    assert shards(tmp_path) == [tmp_path / "a.npz"]
    for before, after in zip(written, read_shard(tmp_path / "a.npz"), strict=True):
        assert (before.text, before.voice) == (after.text, after.voice)
        np.testing.assert_array_equal(before.samples, after.samples)
        np.testing.assert_array_equal(before.phones, after.phones)
        np.testing.assert_array_equal(before.words, after.words)


def test_a_shard_without_its_index_is_not_seen(tmp_path: Path) -> None:
    np.save(tmp_path / "half.npy", np.zeros(10, np.int16))
    assert shards(tmp_path) == []


def test_coded_utterances_survive_writing(tmp_path: Path) -> None:
    coded = [
        CodedUtterance("A b.", "slt", np.array([1, 2048, 7], np.int16), np.array([0, -1, 1], np.int16)),
        CodedUtterance("C", "rms", np.zeros(0, np.int16), np.zeros(0, np.int16)),
    ]
    write_coded(tmp_path / "x.npz", coded)
    for source in (tmp_path, tmp_path / "x.npz"):
        read = read_coded(source)
        assert [(u.text, u.voice, u.codes.tolist()) for u in read] == [("A b.", "slt", [1, 2048, 7]), ("C", "rms", [])]
        assert [u.words.tolist() for u in read] == [[0, -1, 1], []]


def test_numbers_are_read_as_people_say_them() -> None:
    said = [corpus.number_words(n) for n in (0, 13, 20, 42, 100, 305, 1000, 20_319)]
    assert said == [
        "zero", "thirteen", "twenty", "forty-two", "one hundred", "three hundred and five", "one thousand",
        "twenty thousand three hundred and nineteen",
    ]  # fmt: skip
    assert [corpus.plural(w) for w in ("cat", "box", "cherry", "mouse", "teddy bear", "toy")] == [
        "cats", "boxes", "cherries", "mice", "teddy bears", "toys",
    ]  # fmt: skip


def test_wordnet_glosses_become_plain_sentences(wordnet: Path) -> None:
    read = corpus.read_wordnet(wordnet)
    assert "A building with machines." in read.phrases
    assert "The mill stands by the river." in read.phrases
    assert "Walk, don't run!" in read.phrases
    assert not any("e.g" in phrase or "(" in phrase for phrase in read.phrases)
    assert read.common == ("bat", "mill")


def test_voices_learn_the_assistants_own_answers(wordnet: Path) -> None:
    texts = spoken_texts(3, "train", 200, 0.4, wordnet)
    assert texts == spoken_texts(3, "train", 200, 0.4, wordnet) and len(texts) == 200
    plain = corpus.sentences(3, "train", 200, wordnet)
    changed = [text for text, other in zip(texts, plain, strict=True) if text != other]
    assert 50 < len(changed) < 110 and any("Tandem" in text for text in changed)
    assert spoken_texts(3, "train", 200, 0.0, wordnet) == plain


def test_sentences_are_repeatable_plain_and_split_by_their_words(wordnet: Path) -> None:
    train, test = corpus.sentences(3, "train", 1500, wordnet), corpus.sentences(3, "test", 60, wordnet)
    assert train == corpus.sentences(3, "train", 1500, wordnet)
    assert train != corpus.sentences(4, "train", 1500, wordnet)
    assert not {t.lower() for t in train} & {t.lower() for t in test}
    for text in train + test:
        assert text.isascii() and 1 <= len(text.split()) <= corpus.MAX_WORDS
        assert text[0].isupper() or text[0].isdigit()
        assert text[-1] in ".!?"
    assert any(any(c.isdigit() for c in text) for text in train)
    assert set(train) & set(corpus.SHORT_ANSWERS) and not set(test) & set(corpus.SHORT_ANSWERS)


@needs_flite
def test_flite_speaks_with_its_phones_in_time() -> None:
    spoken = synthesis.teacher("slt").speak("See the moon.")
    said = [PHONES[p] for i, p in enumerate(spoken.phones) if i == 0 or p != spoken.phones[i - 1]]
    assert said == ["pau", "s", "iy", "dh", "ax", "m", "uw", "n", "pau"]
    assert len(spoken.phones) == -(-len(spoken.samples) // 160)
    loudness = np.abs(np.pad(spoken.samples, (0, -len(spoken.samples) % 160)).astype(float)).reshape(-1, 160).mean(1)
    vowel = np.isin(spoken.phones, [PHONES.index("iy"), PHONES.index("uw")])
    assert loudness[vowel].mean() > 20 * loudness[spoken.phones == 0].mean()
    slower = synthesis.teacher("slt").speak("See the moon.", speed=0.8)
    assert 1.15 < len(slower.samples) / len(spoken.samples) < 1.35
    np.testing.assert_array_equal(synthesis.teacher("slt").speak("See the moon.").samples, spoken.samples)


@needs_espeak
def test_espeak_speaks_with_phones_of_the_same_set() -> None:
    spoken = synthesis.teacher("espeak:en-us+f3").speak("See the moon.")
    said = [PHONES[p] for i, p in enumerate(spoken.phones) if i == 0 or p != spoken.phones[i - 1]]
    assert [p for p in said if p != "pau"] == ["s", "iy", "dh", "ax", "m", "uw", "n"]
    lower = synthesis.teacher("espeak:en-us+f3").speak("See the moon.", pitch=0.7)
    assert not np.array_equal(lower.samples, spoken.samples)


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown voice"):
        synthesis.teacher("nobody")
    with pytest.raises(FileNotFoundError, match="unpack its Debian package"):
        synthesis.Flite("slt", Path("/nowhere"))


def test_held_out_voices_are_not_trained_on() -> None:
    assert not set(synthesis.TRAIN_VOICES) & set(synthesis.TEST_VOICES)
    variants = [{voice.split("+")[1] for voice in group} for group in (synthesis.ESPEAK_TRAIN, synthesis.ESPEAK_TEST)]
    assert not variants[0] & variants[1]


@needs_flite
def test_the_synthesis_command_writes_the_same_shards_again(tmp_path: Path, wordnet: Path) -> None:
    for name in ("a", "b"):
        command = [sys.executable, "-m", "training.synthesis", "--out", str(tmp_path / name), "--voice", "kal16"]
        subprocess.run([*command, "--hours", "0.001", "--wordnet", str(wordnet)], check=True, capture_output=True)
    first, second = (read_shard(shards(tmp_path / name)[0]) for name in ("a", "b"))
    assert len(first) > 90
    for one, other in zip(first, second, strict=True):
        assert one.text == other.text
        np.testing.assert_array_equal(one.samples, other.samples)


def test_upsampling_keeps_a_tone() -> None:
    given, expected = (torch.sin(2 * torch.pi * 3000 * torch.arange(n).double() / n).float() for n in (16_000, 24_000))
    made = mel.Upsample()(given[None])[0]
    assert (made - expected)[200:-200].abs().max() < 2e-3


def test_mel_frames_lie_in_the_right_place_and_bin() -> None:
    samples = torch.zeros(1, 24_000)
    samples[0, 12_000:] = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(12_000) / 24_000)
    frames = mel.MelSpectrogram()(samples)[0]  # [80, 100]
    assert frames.shape == (80, 100)
    assert frames[:, :46].max() == pytest.approx(np.log(1e-5), abs=1e-3)
    centre = mel.MelSpectrogram().filters[frames[:, 75].argmax()].argmax() * 24_000 / 1024
    assert abs(centre - 1000) < 60


def test_crops_equal_the_whole_recording(bank_folder: Path) -> None:
    bank = SpeechBank([bank_folder], dit.TEACHERS, "cpu")
    whole, wave = bank.crops(torch.zeros(1, dtype=torch.long), bank.codes)
    part, piece = bank.crops(torch.tensor([37]), 20)
    torch.testing.assert_close(part[0], whole[0, :, 37 * 4 : 57 * 4], atol=2e-3, rtol=0)
    torch.testing.assert_close(piece[0], wave[0, 37 * 960 : 57 * 960], atol=1e-6, rtol=0)
    phones, speakers = bank.labels(torch.tensor([0]), bank.codes)
    assert phones[0, :50].max() == 0 and phones[0, 50:199].min() > 0
    assert speakers[0, 0] != speakers[0, -1]
    assert bank.samples.shape[0] == bank.codes * CODE_SAMPLES


def test_a_bank_takes_in_new_shards_and_marks_unknown_phones(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.npz", [speech("slt", 5.0, 0)])
    bank = SpeechBank([tmp_path], ("slt",), "cpu")
    before = bank.codes
    write_shard(tmp_path / "b.npz", [Utterance("No phones.", "slt", speech("slt", 1.0, 1).samples)])
    write_shard(tmp_path / "c.npz", [speech("rms", 1.0, 2)])
    bank.refresh()
    assert bank.codes == before + 25
    assert bank.labels(torch.tensor([before]), 25)[0].unique().tolist() == [UNKNOWN_PHONE]


def test_every_code_is_reached_and_decodes_to_its_own_point() -> None:
    quantizer = Quantizer()
    levels = torch.tensor(LEVELS)
    grid = torch.cartesian_prod(*(torch.arange(n) for n in LEVELS)).float()
    wanted = (grid - levels // 2) / (levels // 2)  # the quantized points
    raw = torch.atanh(((grid - levels // 2) + quantizer.offset) / quantizer.reach) - torch.atanh(
        quantizer.offset / quantizer.reach
    )
    values, codes = quantizer(raw)
    assert codes.unique().numel() == 2048 and codes.min() == 0 and codes.max() == 2047
    torch.testing.assert_close(values, wanted)


def test_the_codec_learns_and_codes_do_not_depend_on_how_speech_is_cut(bank_folder: Path) -> None:
    torch.manual_seed(0)
    bank = SpeechBank([bank_folder], dit.TEACHERS, "cpu")
    codec = Codec(2, width=24)
    optimizer = torch.optim.AdamW(codec.parameters(), lr=3e-3)
    history = []
    for _ in range(40):
        starts = bank.draw(4, 25)
        figures = losses(codec, bank.crops(starts, 25)[0], *bank.labels(starts, 25))
        optimizer.zero_grad()
        (figures["l1"] + 0.3 * figures["phone"]).backward()
        optimizer.step()
        history.append((figures["l1"].item(), figures["phone"].item()))
    assert np.mean(history[-5:], 0)[0] < 0.6 * history[0][0]
    assert np.mean(history[-5:], 0)[1] < 0.6 * history[0][1]
    codec.eval()
    whole = encode_bank(codec, bank, codes_a_piece=bank.codes)
    assert whole.min() >= 1 and whole.max() <= 2048
    torch.testing.assert_close(encode_bank(codec, bank, codes_a_piece=40), whole)
    torch.testing.assert_close(encode_bank(codec, bank, first=33), whole[33:])


def test_silence_before_the_first_sound_is_trimmed() -> None:
    utterance = speech("slt", 2.0, 0)  # half a second of silence
    trimmed = coded(utterance, torch.arange(50))
    assert trimmed.codes.tolist() == list(range(10, 50)) and (trimmed.words == -1).all()
    silent = Utterance("", "slt", utterance.samples)
    assert len(coded(silent, torch.arange(50)).codes) == 50


def test_each_code_knows_its_word() -> None:
    utterance = speech("slt", 1.0, 0)
    words = np.repeat(np.array([-1, 0, 1], np.int16), (50, 22, 28))
    found = coded(replace(utterance, words=words), torch.arange(25))
    assert found.codes[0] == 10 and found.words.tolist() == [-1, -1] + [0] * 6 + [1] * 7


@needs_flite
def test_words_follow_one_another_and_end_with_their_last_sound() -> None:
    text = "The old mill, by the river, has 12 wheels."
    utterance = synthesis.teacher("slt").speak(text)
    order = [int(word) for word, _ in itertools.groupby(utterance.words) if word >= 0]
    assert order == list(range(len(text.split()))) and len(utterance.words) == len(utterance.phones)
    assert ((utterance.words < 0) == (utterance.phones == 0)).all()


def tiny_dit() -> dit.SpeakingDit:
    torch.manual_seed(0)
    model = dit.SpeakingDit(dit.new_dit(TINY).eval(), 2)
    for parameter in model.dit.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


@torch.no_grad()
def test_the_training_velocity_is_the_models_own_forward() -> None:
    model = tiny_dit()
    codes = torch.randint(1, TINY.codes + 1, (2, 24))
    state, reference, cond = torch.randn(2, 96, 80), torch.randn(2, 60, 80) - 4, torch.randn(2, TINY.speaker_emb)
    encoded, time = model.speakers(reference), torch.tensor(0.3)
    inputs: dict[str, Any] = {
        "hidden_states": state, "condition_vector": reference, "speaker_embedding": cond[:, None].expand(-1, 96, -1),
        "quantized_code": codes, "time_step": time,
    }  # fmt: skip
    expected = model.dit(**inputs, apply_cfg=False)
    torch.testing.assert_close(model.velocity(state, time.expand(2), codes, encoded[:2], cond), expected)
    nothing = model.dit(**inputs, apply_cfg=True)[2:]
    made = model.velocity(state, time.expand(2), 0 * codes, encoded[[2, 2]], 0 * cond)
    torch.testing.assert_close(made, nothing, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_training_and_the_application_solve_the_flow_alike() -> None:
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniToken2WavModel

    whole = Qwen2_5OmniToken2WavModel(TINY.config().token2wav_config).eval()
    model = tiny_dit()
    whole.code2wav_dit_model.load_state_dict(model.dit.state_dict())
    ode = OdeSettings("euler", 4, 0.0)
    application = Token2Wav(whole, ode)
    reference, cond = torch.randn(1, 60, 80) - 4, torch.randn(1, TINY.speaker_emb)
    voice = application.voice("Ada", {"bos_token": 1, "cond": cond, "ref_mel": reference})
    codes, noise = torch.randint(1, TINY.codes + 1, (1, 18)), torch.randn(1, 72, 80)
    made = model.mel(codes, model.speakers(reference)[:1], cond, ode, noise)
    torch.testing.assert_close(made[0].T, application.mel(codes[0].tolist(), voice, noise), atol=1e-4, rtol=1e-4)


def test_the_flow_loss_falls() -> None:
    torch.manual_seed(0)
    model = tiny_dit().train()
    mel_ = torch.randn(4, 48, 80) - 5
    codes, speakers = torch.randint(1, TINY.codes, (4, 12)), torch.tensor([0, 1, 0, 1])
    references = torch.randn(6, 60, 80) - 4
    optimizer = Optimizer(model, (0.9, 0.99), 0.01, 1.0, 0.9)
    optimizer.rate.fill_(3e-3)
    history = []
    for _ in range(30):
        loss = dit.flow_loss(model, mel_, codes, speakers, references)
        optimizer.update(loss)
        history.append(loss.item())
    assert np.mean(history[-5:]) < 0.8 * history[0]
    assert optimizer.skipped.item() == 0


@torch.no_grad()
def test_the_vocoders_batched_path_is_the_models_own_forward() -> None:
    torch.manual_seed(0)
    model = vocoder.new_vocoder(TINY).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    frames = torch.randn(2, 80, 20) * 2 - 5
    torch.testing.assert_close(vocoder.normalized(frames), model.process_mel_spectrogram(frames))
    made = vocoder.waveform(model, frames)
    for row, expected in zip(made, (model(frames[:1]), model(frames[1:])), strict=True):
        torch.testing.assert_close(row, expected, atol=2e-6, rtol=1e-4)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = Optimizer(layer, (0.9, 0.99), 0.0, 1.0, 0.9)
    optimizer.rate.fill_(0.1)
    before = layer.weight.detach().clone()
    optimizer.update(layer(torch.full((1, 3), float("nan"))).sum())
    torch.testing.assert_close(layer.weight.detach(), before)
    assert optimizer.skipped.item() == 1
    optimizer.update(layer(torch.ones(1, 3)).sum())
    assert not torch.equal(layer.weight.detach(), before)


def counting_run(out: Path, seconds: float, steps: int, resume: Path | None = None) -> tuple[Run, Optimizer]:
    layer = torch.nn.Linear(2, 1)
    optimizer = Optimizer(layer, (0.9, 0.99), 0.0, 1.0, 0.5)
    options = RunOptions(out, seconds, rate=0.01, steps=steps, warmup_steps=1, resume=resume)
    run = Run("test", options, {"layer": optimizer})

    def step(inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        loss = (layer(inputs) - 1).square().mean()
        optimizer.update(loss)
        return {"loss": loss.detach()}

    def draws() -> Any:
        while True:
            yield (torch.randn(4, 2),)

    run.loop(draws(), step, lambda: None)
    return run, optimizer


def test_a_run_ends_by_steps_or_time_and_resumes_with_its_state(tmp_path: Path) -> None:
    first, optimizer = counting_run(tmp_path / "a", 60, 7)
    assert first.step_count == 7
    again, resumed = counting_run(tmp_path / "b", 60, 1, tmp_path / "a" / "state.pt")
    assert again.step_count == 8 and again.elapsed_sec < 30  # a finished run starts a new schedule
    assert resumed.adamw.state[resumed.parameters[0]]["step"].item() == 8
    moved = (resumed.parameters[0] - optimizer.parameters[0]).abs().max().item()
    assert 0 < moved < 0.05
    timed, _ = counting_run(tmp_path / "c", 0.2, 0)
    assert 0.2 <= timed.elapsed_sec < 5


def test_options_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        RunOptions(tmp_path, seconds=0)


def test_codec_and_dit_train_from_shards_to_files_the_application_loads(
    tmp_path: Path, bank_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training import codec

    monkeypatch.setattr(
        dit, "new_dit", lambda blueprint=None, real=dit.new_dit: real(replace(TINY, codes=2048, dit_embeds=None))
    )
    monkeypatch.setattr(vocoder, "new_vocoder", lambda blueprint=None, real=vocoder.new_vocoder: real(TINY))
    shared = ["--shards", str(bank_folder), "--device", "cpu", "--seconds", "60", "--steps", "2", "--batch", "2"]

    def main(module: Any, *arguments: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
        module.main()
        return json.loads(capsys.readouterr().out.strip().splitlines()[-1])

    code_file = str(tmp_path / "codec" / "codec.safetensors")
    figures = main(codec, "train", *shared, "--out", str(tmp_path / "codec"), "--frames", "48", "--width", "16")
    assert figures["final_l1"] > 0 and 0 <= figures["final_right"] <= 1
    encoded = ["--shards", str(bank_folder), "--codec", code_file, "--out", str(tmp_path / "codes")]
    assert main(codec, "encode", *encoded, "--device", "cpu")["utterances"] == 6
    coded = read_coded(tmp_path / "codes")
    assert {u.voice for u in coded} == {"slt", "rms"} and all(1 <= c <= 2048 for u in coded for c in u.codes)

    figures = main(dit, *shared, "--out", str(tmp_path / "dit"), "--codec", code_file, "--blocks", "2")
    assert np.isfinite(figures["mel_l1"])
    table = torch.load(tmp_path / "dit" / "voices.pt", weights_only=True)
    assert list(table) == ["Nova", "Reed"]
    assert table["Nova"]["ref_mel"].shape == (1, 300, 80) and table["Nova"]["cond"].shape == (1, TINY.speaker_emb)
    parts = ["--out", str(tmp_path / "vocoder"), "--frames", "16", "--width", "2"]
    assert np.isfinite(main(vocoder, *shared, *parts)["mel_l1"])
    resumed = ["--resume", str(tmp_path / "vocoder" / "state.pt"), "--dit", str(tmp_path / "dit"), "--codec", code_file]
    assert main(vocoder, *shared, *parts, *resumed)["step"] == 4

"""Codes to sound: equal to transformers offline; in windows, close to it, gapless and without clicks."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from multimodal.checkpoint import Checkpoint, load
from multimodal.errors import CheckpointError
from multimodal.token2wav import OdeSettings, SpeechStream, Token2Wav, Voice, Windows, receptive_frames

EULER = OdeSettings("euler", 3, 0.5)
RK4 = OdeSettings("rk4", 8, 0.5)
UNGUIDED = OdeSettings("euler", 4, 0.0)
SETTINGS = [RK4, EULER, UNGUIDED, OdeSettings("rk4", 4, 0.0, sway_coefficient=None)]
CODES = np.random.default_rng(1).integers(1, 41, 75).tolist()


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(tiny_checkpoint)


@pytest.fixture(scope="module")
def entry(tiny_checkpoint: Path) -> dict[str, Any]:
    """The voice Ben as the checkpoint keeps it."""
    return torch.load(tiny_checkpoint / "spk_dict.pt", weights_only=True)["Ben"]


def with_ode(checkpoint: Checkpoint, ode: OdeSettings) -> Token2Wav:
    t = checkpoint.token2wav
    assert t is not None
    return Token2Wav(SimpleNamespace(code2wav_dit_model=t.dit, code2wav_bigvgan_model=t.vocoder), ode)


def fixed_noise(t: Token2Wav, seed: int = 3) -> Callable[[int], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda frames: t.noise(frames, generator)


def stream(t: Token2Wav, voice: Voice, codes: list[int], windows: Windows) -> list[np.ndarray]:
    """Every chunk of samples, empty ones too."""
    speech = SpeechStream(t, voice, windows, fixed_noise(t))
    pushed = [speech.push(code) for code in codes]
    return [*[chunk for chunk in pushed if chunk is not None], speech.finish()]


# --- offline: equal to transformers -----------------------------------------------------------------


@pytest.mark.parametrize("guidance", [0.5, 1.7, 0.0])
def test_rk4_speech_equals_transformers(checkpoint: Checkpoint, entry: dict[str, Any], guidance: float) -> None:
    t = with_ode(checkpoint, OdeSettings("rk4", 8, guidance))
    noise = fixed_noise(t)(len(CODES) * t.repeats)
    torch.manual_seed(3)
    expected = t.dit.sample(
        entry["cond"], entry["ref_mel"], torch.tensor([CODES]), num_steps=3, guidance_scale=guidance
    )
    mel = t.mel(CODES, t.voice("Ben", entry), noise)
    assert mel.shape == (t.mel_dim, len(CODES) * t.repeats)
    torch.testing.assert_close(mel, expected[0], atol=2e-4, rtol=0)  # values span ±8
    with torch.inference_mode():
        wave = t.vocoder(mel[None])
    ours = t.vocode(mel)
    torch.testing.assert_close(ours, wave, atol=1e-6, rtol=0)
    assert 0.02 < float(ours.std()) < 0.7, "neither silence nor noise at full scale: the comparison means something"


@pytest.mark.parametrize("ode", [EULER, UNGUIDED], ids=["guided", "unguided"])
def test_euler_equals_a_plain_loop_over_transformers_dit(
    checkpoint: Checkpoint, entry: dict[str, Any], ode: OdeSettings
) -> None:
    t = with_ode(checkpoint, ode)
    frames = len(CODES) * t.repeats
    state = noise = fixed_noise(t)(frames)
    guided = ode.guidance_scale > 0
    points = np.linspace(0, 1, ode.evaluations + 1)
    points = points - (np.cos(np.pi / 2 * points) - 1 + points)
    with torch.inference_mode():
        for start, end in zip(points[:-1], points[1:]):
            velocity = t.dit(
                hidden_states=state,
                condition_vector=entry["ref_mel"],
                speaker_embedding=entry["cond"][:, None].repeat(1, frames, 1),
                quantized_code=torch.tensor([CODES]),
                time_step=torch.tensor(float(start)),
                apply_cfg=guided,
            )
            if guided:
                with_code, without = velocity.chunk(2)
                velocity = with_code + (with_code - without) * ode.guidance_scale
            state = state + float(end - start) * velocity
    torch.testing.assert_close(t.mel(CODES, t.voice("Ben", entry), noise), state[0].T, atol=1e-4, rtol=0)


def test_the_speaker_encoder_runs_once_a_voice(
    checkpoint: Checkpoint, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    t = with_ode(checkpoint, EULER)
    calls = []
    encoder = t.dit.input_embed.spk_encoder
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda mel: (calls.append(mel.shape), forward(mel))[1])
    voice = t.voice("Ben", entry)
    assert len(calls) == 1
    t.speech(CODES[:12], voice, fixed_noise(t)(48))
    stream(t, voice, CODES, Windows())
    assert len(calls) == 1


def test_voices_sound_different(checkpoint: Checkpoint) -> None:
    t = checkpoint.token2wav
    assert t is not None and list(checkpoint.voices) == ["Ada", "Ben"]
    noise = fixed_noise(t)(48)
    ada, ben = (t.speech(CODES[:12], checkpoint.voices[name], noise) for name in ("Ada", "Ben"))
    assert np.abs(ada - ben).max() > 0.01


def test_a_code_without_a_sound_is_named(checkpoint: Checkpoint) -> None:
    t = checkpoint.token2wav
    assert t is not None
    for code in (-1, t.last_code + 1):
        with pytest.raises(CheckpointError, match=str(t.last_code)):
            t.speech([1, code], checkpoint.voices["Ada"], fixed_noise(t)(8))


# --- the vocoder's reach ----------------------------------------------------------------------------


def test_the_vocoder_s_reach_is_counted_right(checkpoint: Checkpoint) -> None:
    """Changing one mel frame changes nothing further away than receptive_frames, and something not far inside it."""
    t = checkpoint.token2wav
    assert t is not None
    mel = torch.randn(t.mel_dim, 90, generator=torch.Generator().manual_seed(4)) - 2
    other = mel.clone()
    other[:, 45] += 2
    changed = (t.vocode(mel) != t.vocode(other)).nonzero().flatten()
    left, right = 45 * t.hop - int(changed.min()), int(changed.max()) - 45 * t.hop
    reach = t.receptive_frames * t.hop
    assert reach / 2 < max(left, right) <= reach


def test_a_cut_with_its_context_is_vocoded_as_the_whole(checkpoint: Checkpoint) -> None:
    t = checkpoint.token2wav
    assert t is not None
    mel = torch.randn(t.mel_dim, 80, generator=torch.Generator().manual_seed(5)) - 2
    whole, reach = t.vocode(mel), t.receptive_frames
    cut = t.vocode(mel[:, 30 - reach : 50 + reach])[reach * t.hop : (reach + 20) * t.hop]
    torch.testing.assert_close(cut, whole[30 * t.hop : 50 * t.hop], atol=1e-5, rtol=0)
    less = reach // 4
    short = t.vocode(mel[:, 30 - less : 50 + less])[less * t.hop : (less + 20) * t.hop]
    assert not torch.allclose(short, whole[30 * t.hop : 50 * t.hop], atol=1e-5, rtol=0)


def test_the_released_vocoder_s_reach_covers_its_measured_thirty_frames() -> None:
    from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniBigVGANConfig

    assert 30 <= receptive_frames(Qwen2_5OmniBigVGANConfig()) <= 40


# --- windows ----------------------------------------------------------------------------------------

WINDOWS = [Windows(), Windows(1, 1, 0), Windows(2, 8, 1), Windows(1, 4, 2), Windows(3, 3, 5)]


@pytest.mark.parametrize("windows", WINDOWS, ids=str)
@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 11, 12, 13, 30, 75])
def test_every_split_gives_all_samples(checkpoint: Checkpoint, count: int, windows: Windows) -> None:
    t = with_ode(checkpoint, OdeSettings("euler", 1, 0.0))
    voice = Voice("Ada", 0, checkpoint.voices["Ada"].speaker[:1])
    samples = np.concatenate(stream(t, voice, CODES[:count], windows))
    assert len(samples) == count * t.repeats * t.hop
    assert samples.dtype == np.float32 and np.isfinite(samples).all()


def distances(t: Token2Wav, voice: Voice, windows: Windows) -> tuple[float, float]:
    """(largest log-mel difference, waveform difference ÷ waveform, both root mean square) of windows to offline."""
    noise = fixed_noise(t)(len(CODES) * t.repeats)
    whole = t.speech(CODES, voice, noise)
    mels: list[torch.Tensor] = []
    integrate = t._integrate

    def record(codes: list[int], voice: Voice, noise: torch.Tensor, past: Any) -> tuple[torch.Tensor, Any]:
        state, visited = integrate(codes, voice, noise, past)
        mels.append(state[0])
        return state, visited

    t._integrate = record
    speech = np.concatenate(stream(t, voice, CODES, windows))
    del t._integrate
    made: list[torch.Tensor] = []
    for index, mel in enumerate(mels):
        done = len(mel) if index == len(mels) - 1 else windows.size(index) * t.block
        made.append(mel[:done])
    mel_distance = float((torch.cat(made).T - t.mel(CODES, voice, noise)).abs().max())
    return mel_distance, float(np.sqrt(((speech - whole) ** 2).mean() / (whole**2).mean()))


@pytest.mark.parametrize("ode", SETTINGS, ids=str)
def test_windowed_speech_is_close_to_offline_speech(
    checkpoint: Checkpoint, entry: dict[str, Any], ode: OdeSettings
) -> None:
    """One block ahead: measured here 8e-4 in log-mel (natural log, values span ±8) and 1e-3 of the waveform's root mean
    square, most of it from the look-ahead that the vocoder sees unfinished; trained weights look further."""
    t = with_ode(checkpoint, ode)
    voice = t.voice("Ben", entry)
    mel, wave = distances(t, voice, Windows(1, 4, 1))
    assert mel < 0.02 and wave < 2e-3
    blind_mel, blind_wave = distances(t, voice, Windows(1, 4, 0))
    assert blind_mel > 3 * mel and blind_wave > 3 * wave, "looking ahead is what brings it close"


def test_the_distance_vanishes_once_the_windows_look_as_far_as_the_ode(
    checkpoint: Checkpoint, entry: dict[str, Any]
) -> None:
    """Each of three evaluations sees one block ahead, so three blocks ahead leave nothing out."""
    t = with_ode(checkpoint, EULER)
    voice = t.voice("Ben", entry)
    found = [distances(t, voice, Windows(1, 4, ahead)) for ahead in (0, 1, 3)]
    assert found[0][0] > found[1][0] > found[2][0] and found[0][1] > found[1][1] > found[2][1]
    assert found[2][0] < 5e-5 and found[2][1] < 5e-6, "float32 rounding is all that is left"


@pytest.mark.parametrize("windows", [Windows(), Windows(1, 1, 0), Windows(2, 8, 1), Windows(1, 4, 2)], ids=str)
def test_no_click_at_the_seams(checkpoint: Checkpoint, entry: dict[str, Any], windows: Windows) -> None:
    t = with_ode(checkpoint, EULER)
    chunks = [chunk for chunk in stream(t, t.voice("Ben", entry), CODES, windows) if len(chunk)]
    jumps = np.abs(np.diff(np.concatenate(chunks)))
    seams = np.cumsum([len(chunk) for chunk in chunks])[:-1] - 1
    assert len(seams) >= 2
    elsewhere = np.delete(jumps, seams)
    assert jumps[seams].max() <= elsewhere.max()


def test_the_noise_of_a_frame_does_not_depend_on_the_windows(checkpoint: Checkpoint) -> None:
    t = with_ode(checkpoint, OdeSettings("euler", 1, 0.0))
    voice = Voice("Ada", 0, checkpoint.voices["Ada"].speaker[:1])
    whole = fixed_noise(t)(len(CODES) * t.repeats)
    for windows in WINDOWS:
        drawn: list[torch.Tensor] = []
        draw = fixed_noise(t)

        def record(frames: int, draw: Any = draw, drawn: list[torch.Tensor] = drawn) -> torch.Tensor:
            drawn.append(draw(frames))
            return drawn[-1]

        speech = SpeechStream(t, voice, windows, record)
        for code in CODES:
            speech.push(code)
        speech.finish()
        assert torch.equal(torch.cat(drawn, dim=1), whole), windows


def test_the_first_sound_needs_one_window_and_what_it_looks_ahead(checkpoint: Checkpoint) -> None:
    t = with_ode(checkpoint, OdeSettings("euler", 1, 0.0))
    voice = Voice("Ada", 0, checkpoint.voices["Ada"].speaker[:1])
    speech = SpeechStream(t, voice, Windows(first=1, largest=4, ahead=1), fixed_noise(t))
    per_block = t.block // t.repeats
    assert [speech.push(code) for code in CODES[: 2 * per_block - 1]] == [None] * (2 * per_block - 1)
    first = speech.push(1)
    assert first is not None and len(first) == t.block * t.hop


def test_work_per_window_does_not_grow_with_the_reply(checkpoint: Checkpoint) -> None:
    t = with_ode(checkpoint, OdeSettings("euler", 1, 0.0))
    voice = Voice("Ada", 0, checkpoint.voices["Ada"].speaker[:1])
    lengths: list[int] = []
    velocity = t._velocity
    t._velocity = lambda codes, voice: (lengths.append(codes.shape[1]), velocity(codes, voice))[1]
    windows = Windows(1, 2, 1)
    stream(t, voice, CODES * 3, windows)
    del t._velocity
    assert len(lengths) > 15
    assert max(lengths) == (t.back_blocks + windows.largest + windows.ahead) * t.block // t.repeats


# --- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"solver": "heun"}, {"evaluations": 0}, {"solver": "rk4", "evaluations": 6}, {"evaluations": -4}],
)
def test_settings_that_cannot_be_solved_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        OdeSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"first": 0}, {"first": 3, "largest": 2}, {"ahead": -1}])
def test_windows_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Windows(**wrong)


def test_rk4_counts_four_evaluations_a_step(checkpoint: Checkpoint, entry: dict[str, Any]) -> None:
    for ode in (RK4, EULER):
        t = with_ode(checkpoint, ode)
        calls: list[float] = []
        velocity = t._velocity

        def counted(codes: Any, voice: Voice, velocity: Any = velocity, calls: list[float] = calls) -> Any:
            inner = velocity(codes, voice)
            return lambda time, state: (calls.append(float(time)), inner(time, state))[1]

        t._velocity = counted
        t.mel(CODES[:6], t.voice("Ben", entry), fixed_noise(t)(24))
        assert len(calls) == ode.evaluations and calls[0] == 0 and calls == sorted(calls)
        assert math.isclose(max(calls), 1.0 if ode.solver == "rk4" else float(ode.times()[-2]), abs_tol=1e-6)

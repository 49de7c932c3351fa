"""Token2Wav: codec tokens → log-mel (flow matching by a block-wise DiT) → waveform (BigVGAN).

Offline, `mel` and `vocode` equal transformers' `Qwen2_5OmniToken2WavModel` on the same noise. Streaming
(`SpeechStream`) works in windows of DiT blocks:

- noise is fixed per frame, so every window that touches a frame starts it from the same point;
- the past is exact as it was emitted: the states that earlier windows passed through at each evaluation of the
  ODE are kept and put in front of the new window;
- the future is cut after `ahead` blocks. One evaluation sees one block ahead, but over the evaluations of the
  ODE the dependence spreads further, so windowed speech approximates offline speech (measured in
  tests/test_token2wav.py and benchmarks/);
- the vocoder is a finite filter: chunks are cut with its whole receptive field around them. On the right that is
  the look-ahead's mel as the window left it, so a chunk need not wait for the next window.

The speaker encoder runs once a voice, not once an evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from multimodal.errors import CheckpointError


@dataclass(frozen=True)
class OdeSettings:
    """How the flow is integrated. evaluations: velocity evaluations in all (rk4: four a step).

    The reference's `num_steps` n means n points in time, so n − 1 steps: 36 evaluations for its default 10.
    """

    solver: Literal["rk4", "euler"] = "rk4"
    evaluations: int = 36
    guidance_scale: float = 0.5
    sway_coefficient: float | None = -1.0

    def __post_init__(self) -> None:
        if self.solver not in ("rk4", "euler"):
            raise CheckpointError(f"token2wav solver {self.solver!r}: choose rk4 or euler in generation_config.json")
        if self.evaluations < 1 or (self.solver == "rk4" and self.evaluations % 4):
            raise CheckpointError("token2wav evaluations: a positive number, for rk4 a multiple of 4")

    def times(self) -> torch.Tensor:
        """Points in time from 0 to 1, float32 [steps + 1]."""
        steps = self.evaluations // 4 if self.solver == "rk4" else self.evaluations
        points = torch.linspace(0, 1, steps + 1)
        if self.sway_coefficient is not None:
            points = points + self.sway_coefficient * (torch.cos(torch.pi / 2 * points) - 1 + points)
        return points


@dataclass(frozen=True, eq=False)
class Voice:
    """A speaker, its encoder already run. speaker: [rows, E + C] for the DiT's input (row 1: the unconditioned
    twin under guidance); bos_token: the Thinker's token that opens this voice."""

    name: str
    bos_token: int
    speaker: torch.Tensor


class Token2Wav:
    """model: Qwen2_5OmniToken2WavModel in float32."""

    def __init__(self, model: Any, ode: OdeSettings) -> None:
        self.dit = model.code2wav_dit_model
        self.vocoder = model.code2wav_bigvgan_model
        self.ode = ode
        config = self.dit.config
        self.block = int(config.block_size)
        self.repeats = int(config.repeats)
        self.mel_dim = int(config.mel_dim)
        self.back_blocks = len(config.look_backward_layers)
        self.hop = math.prod(self.vocoder.config.upsample_rates)
        self.receptive_frames = receptive_frames(self.vocoder.config)
        self.last_code = int(config.num_embeds)
        self._project = self.dit.input_embed.proj

    @property
    def device(self) -> torch.device:
        return self._project.weight.device

    @property
    def rate_hz(self) -> int:
        """Output samples a second. Checkpoints do not state it: the mel rate of the architecture is 100 a second."""
        return self.hop * 100

    @torch.inference_mode()
    def voice(self, name: str, entry: dict[str, Any]) -> Voice:
        """entry: one value of spk_dict.pt: bos_token, cond [1, E], ref_mel [1, T, mel_dim]."""
        sizes = {"cond": self.dit.config.enc_emb_dim, "ref_mel": self.mel_dim}
        if "bos_token" not in entry or any(key not in entry or entry[key].shape[-1] != n for key, n in sizes.items()):
            raise CheckpointError(f"the voice {name} does not fit this Token2Wav: its spk_dict.pt is of another model")
        conditioning = entry["cond"].to(self.device).float()  # [1, E]
        reference = entry["ref_mel"].to(self.device).float()  # [1, T, mel_dim]
        if self._guided:
            conditioning = torch.cat([conditioning, torch.zeros_like(conditioning)])
            reference = torch.cat([reference, torch.zeros_like(reference)])
        encoded = self.dit.input_embed.spk_encoder(reference)  # [rows, C]
        token = entry["bos_token"]
        return Voice(name, int(token), torch.cat([encoded, conditioning], dim=1))

    @property
    def _guided(self) -> bool:
        return self.ode.guidance_scale >= 1e-5

    def noise(self, frames: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Fresh noise [1, frames, mel_dim]."""
        return torch.randn(1, frames, self.mel_dim, generator=generator).to(self.device)

    def _velocity(self, codes: torch.Tensor, voice: Voice) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """The DiT as a function (time [], state [1, T, mel_dim]) → velocity, everything constant prepared once.

        codes: int64 [1, n]; T = n · repeats, starting at a block border.
        """
        dit = self.dit
        embeds = [dit.text_embed(codes)]
        if self._guided:
            embeds.append(dit.text_embed(codes, drop_code=True))
        code = torch.cat(embeds)  # [rows, T, emb]
        frames = code.shape[1]
        encoder_width = self.dit.config.enc_dim
        speaker = voice.speaker[:, None].expand(-1, frames, -1)  # [rows, T, C + E]
        # The projection's input is state | encoded reference | code | conditioning; only the state changes.
        constant = torch.cat([speaker[..., :encoder_width], code, speaker[..., encoder_width:]], dim=-1)
        weight = self._project.weight
        fixed = F.linear(constant, weight[:, self.mel_dim :], self._project.bias)  # [rows, T, H]
        of_state = weight[:, : self.mel_dim]
        positions = torch.arange(frames, device=code.device)[None]
        rotary = dit.rotary_embed(fixed, positions)
        blocks = torch.arange(frames, device=code.device) // self.block
        block_diff = (blocks[None, :] - blocks[:, None])[None, None]  # [1, 1, T, T]

        def velocity(time: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
            hidden = F.linear(state, of_state) + fixed
            embedded_time = dit.time_embed(time.to(state).repeat(len(fixed)))
            for layer in dit.transformer_blocks:
                hidden = layer(hidden, embedded_time, position_embeddings=rotary, block_diff=block_diff)
            out = dit.proj_out(dit.norm_out(hidden, embedded_time))
            if not self._guided:
                return out
            guided, null = out.chunk(2)
            return guided + (guided - null) * self.ode.guidance_scale

        return velocity

    @torch.inference_mode()
    def mel(self, codes: list[int], voice: Voice, noise: torch.Tensor) -> torch.Tensor:
        """Log-mel [mel_dim, T] of all codes at once; noise [1, T, mel_dim], T = len(codes) · repeats."""
        state, _ = self._integrate(codes, voice, noise, None)
        return state[0].T

    def _integrate(
        self, codes: list[int], voice: Voice, noise: torch.Tensor, past: list[torch.Tensor] | None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Solve the flow for a window whose first frames are the past.

        past: the states [1, P, mel_dim] that the past frames had at each evaluation; noise covers the rest.
        Returns the end state of the rest [1, T − P, mel_dim] and its states at each evaluation.
        """
        ids = torch.tensor([codes], device=self.device)
        if not 0 <= int(ids.min()) <= int(ids.max()) <= self.last_code:
            raise CheckpointError(f"a codec token outside 0…{self.last_code} reached Token2Wav")
        velocity = self._velocity(ids, voice)
        visited: list[torch.Tensor] = []

        def evaluate(time: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
            before = past[len(visited)] if past else state[:, :0]
            visited.append(state)
            return velocity(time, torch.cat([before, state], dim=1))[:, before.shape[1] :]

        state = noise
        times = self.ode.times()
        for start, end in zip(times[:-1], times[1:], strict=True):
            step = end - start
            if self.ode.solver == "euler":
                state = state + step * evaluate(start, state)
                continue
            k1 = evaluate(start, state)
            k2 = evaluate(start + step / 3, state + step * k1 / 3)
            k3 = evaluate(start + step * 2 / 3, state + step * (k2 - k1 / 3))
            k4 = evaluate(end, state + step * (k1 - k2 + k3))
            state = state + (k1 + 3 * (k2 + k3) + k4) * step / 8
        return state, visited

    @torch.inference_mode()
    def vocode(self, mel: torch.Tensor) -> torch.Tensor:
        """Waveform float32 [T · hop] of log-mel [mel_dim, T]."""
        v = self.vocoder
        hidden = v.conv_pre(v.process_mel_spectrogram(mel[None]))
        for index in range(v.num_upsample_layers):
            hidden = v.ups[index][0](hidden)
            group = v.resblocks[index * v.num_residual_blocks : (index + 1) * v.num_residual_blocks]
            hidden = sum(block(hidden) for block in group) / v.num_residual_blocks
        wave = v.conv_post(v.activation_post(hidden))
        return wave.clamp(-1.0, 1.0)[0, 0]

    @torch.inference_mode()
    def speech(self, codes: list[int], voice: Voice, noise: torch.Tensor) -> np.ndarray:
        """Offline: all codes → waveform float32 [len(codes) · repeats · hop]."""
        return self.vocode(self.mel(codes, voice, noise)).cpu().numpy()


@dataclass(frozen=True)
class Windows:
    """Streaming window sizes in DiT blocks: `first` new blocks in the first two windows, then twice as many in the
    next two, up to `largest`; `ahead` blocks of future in each window but the last.

    A size comes twice because a window must be made while the one before it plays.
    """

    first: int = 1
    largest: int = 4
    ahead: int = 1

    def __post_init__(self) -> None:
        if self.first < 1 or self.largest < self.first or self.ahead < 0:
            raise ValueError(f"window sizes out of range: {self}")

    def size(self, index: int) -> int:
        """New blocks in window number `index`, from 0."""
        return min(self.first * 2 ** (index // 2), self.largest)


class SpeechStream:
    """One reply's speech: codes in, samples out as soon as a window is full. Call `finish` once at the end."""

    def __init__(
        self,
        token2wav: Token2Wav,
        voice: Voice,
        windows: Windows = Windows(),
        noise: Callable[[int], torch.Tensor] | None = None,
    ) -> None:
        """noise: (frames) → the next frames' noise [1, frames, mel_dim]; drawn from the global generator if absent."""
        self._t2w = token2wav
        self._voice = voice
        self._windows = windows
        self._draw = noise or token2wav.noise
        self._noise = torch.zeros(1, 0, token2wav.mel_dim, device=token2wav.device)  # of frames not final yet
        self._codes: list[int] = []
        self._final_codes = 0  # codes whose mel is final
        self._window = 0  # windows made
        self._past: list[torch.Tensor] = []
        self._mel = torch.zeros(token2wav.mel_dim, 0, device=token2wav.device)  # final frames the vocoder still needs
        self._mel_origin = 0
        self._ahead = self._mel  # the look-ahead's frames as they stand, right context for the vocoder
        self._emitted = 0  # frames already turned into samples
        self._finished = False

    def push(self, code: int) -> np.ndarray | None:
        """One more code. Returns float32 samples if a window was completed."""
        assert not self._finished
        self._codes.append(code)
        per_block = self._t2w.block // self._t2w.repeats
        size = self._windows.size(self._window)
        if len(self._codes) - self._final_codes < (size + self._windows.ahead) * per_block:
            return None
        self._window += 1
        return self._advance(size * per_block)

    def finish(self) -> np.ndarray:
        """The rest, possibly empty."""
        assert not self._finished
        self._finished = True
        rest = len(self._codes) - self._final_codes
        return self._advance(rest)

    @torch.inference_mode()
    def _advance(self, count: int) -> np.ndarray:
        """Make the mel of the next `count` codes final and emit what the vocoder can give."""
        t = self._t2w
        if count:
            back = min(self._final_codes * t.repeats, t.back_blocks * t.block)  # frames
            window = self._codes[self._final_codes - back // t.repeats :]
            fresh = (len(self._codes) - self._final_codes) * t.repeats
            missing = fresh - self._noise.shape[1]
            self._noise = torch.cat([self._noise, self._draw(missing).to(self._noise)], dim=1)
            past = [state[:, state.shape[1] - back :] for state in self._past] if back else None
            state, visited = t._integrate(window, self._voice, self._noise, past)
            done = count * t.repeats
            keep = t.back_blocks * t.block
            if past:
                visited = [torch.cat([before, now[:, :done]], dim=1) for before, now in zip(past, visited, strict=True)]
            else:
                visited = [now[:, :done] for now in visited]
            self._past = [states[:, max(0, states.shape[1] - keep) :] for states in visited]
            self._noise = self._noise[:, done:]
            self._mel = torch.cat([self._mel, state[0, :done].T], dim=1)
            self._ahead = state[0, done : done + t.receptive_frames].T
            self._final_codes += count
        end = self._mel_origin + self._mel.shape[1]
        missing_context = 0 if self._finished else t.receptive_frames - self._ahead.shape[1]
        until = max(self._emitted, end - missing_context)
        if until == self._emitted:
            return np.zeros(0, np.float32)
        left = max(0, self._emitted - t.receptive_frames)
        wave = t.vocode(torch.cat([self._mel[:, left - self._mel_origin :], self._ahead], dim=1))
        samples = wave[(self._emitted - left) * t.hop : (until - left) * t.hop]
        self._emitted = until
        drop = max(0, until - t.receptive_frames) - self._mel_origin
        self._mel = self._mel[:, drop:]
        self._mel_origin += drop
        return samples.cpu().numpy()


def receptive_frames(config: Any) -> int:
    """Mel frames on either side that one output sample of a BigVGAN of this config depends on.

    Counted from kernel sizes: an anti-aliased activation (12-tap filters at twice the rate) reaches 6 samples,
    a convolution (kernel − 1) / 2 · dilation, a transposed one kernel / stride of its input.
    """
    activation = 6
    reach = 3.0  # conv_pre, kernel 7, at the mel rate
    rate = 1
    for stride, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        reach += math.ceil(kernel / stride) / 2 / rate + 0.5 / rate
        rate *= stride
        widest = 0.0
        for size, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True):
            half = (size - 1) / 2
            widest = max(widest, sum(2 * activation + half * d + half for d in dilations))
        reach += widest / rate
    reach += (activation + 3) / rate
    return math.ceil(reach)

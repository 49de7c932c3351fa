"""All speech of some shards in the training device's memory, as one long recording to cut crops from."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from training.mel import HOP_SAMPLES, MARGIN_SAMPLES, MelSpectrogram, Upsample
from training.utterances import PHONE_SAMPLES, PHONES, Utterance, read_shard, shards

CODE_FRAMES = 4  # mel frames for each code: 25 codes a second
FRAME_SAMPLES = PHONE_SAMPLES  # 16 kHz samples for each mel frame, and for each phone label
CODE_SAMPLES = CODE_FRAMES * FRAME_SAMPLES
UNKNOWN_PHONE = len(PHONES)
_EDGE_FRAMES = 4  # of context around a crop: more than the resampler and the mel window reach


@lru_cache(maxsize=4)
def _front_end(device: str) -> tuple[MelSpectrogram, Upsample]:
    return MelSpectrogram().to(device), Upsample().to(device)


class SpeechBank:
    """Utterances end to end, each padded with silence to a whole number of codes.

    samples: int16 [N]; phones: uint8 [frames], UNKNOWN_PHONE where unknown; speakers: uint8 [codes], index into `voices`.
    Where two utterances meet, crops run from one into the other, as in a reply of several sentences.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        voices: Sequence[str],
        device: str,
        most_hours: float = 100.0,
        wait_sec: float = 0,
    ):
        """Reads the utterances of `voices`, a mixture of all folders where `most_hours` is less than there is; waits until
        there is speech of each voice, at most `wait_sec`. Raises ValueError where there is none at all."""
        self._prepare(folders, voices, device, most_hours)
        deadline = time.monotonic() + wait_sec
        self.refresh()
        while time.monotonic() < deadline and not (self.codes and all(map(len, self._of_voice))):
            time.sleep(1)
            self.refresh()
        if self.codes < 100:
            raise ValueError(
                f"no speech of {', '.join(voices)} in {', '.join(map(str, folders))}: run training.synthesis first"
            )

    @classmethod
    def of(cls, utterances: Sequence[Utterance], voices: Sequence[str], device: str) -> SpeechBank:
        """A bank of just these utterances, in their order."""
        bank = cls.__new__(cls)
        bank._prepare([], voices, device, 1e6)
        bank._append([bank._padded(u) for u in utterances])
        return bank

    def _prepare(self, folders: Sequence[Path], voices: Sequence[str], device: str, most_hours: float) -> None:
        self.folders, self.voices, self.device = list(folders), list(voices), device
        self.most_samples = int(most_hours * 3600 * 16_000)
        self.mel, self.upsample = _front_end(device)
        self.samples = torch.zeros(0, dtype=torch.int16, device=device)
        self.phones = torch.zeros(0, dtype=torch.uint8, device=device)
        self.speakers = torch.zeros(0, dtype=torch.uint8, device=device)
        self._read: set[Path] = set()
        self._of_voice: list[Tensor] = []

    @property
    def codes(self) -> int:
        return len(self.speakers)

    @property
    def hours(self) -> float:
        return self.codes * CODE_SAMPLES / 16_000 / 3600

    def refresh(self) -> None:
        """Take in shards that have appeared since."""
        pieces: list[tuple[Tensor, Tensor, Tensor]] = []
        total = len(self.samples)
        found = {path for folder in self.folders for path in shards(folder)} - self._read
        for path in sorted(found, key=lambda path: zlib.crc32(path.name.encode())):
            if total >= self.most_samples:
                break
            self._read.add(path)
            for utterance in read_shard(path):
                if utterance.voice in self.voices:
                    pieces.append(self._padded(utterance))
                    total += len(pieces[-1][0])
        self._append(pieces)

    def _append(self, pieces: Sequence[tuple[Tensor, Tensor, Tensor]]) -> None:
        if pieces:
            new = [torch.cat(parts).to(self.device) for parts in zip(*pieces, strict=True)]
            self.samples = torch.cat([self.samples, new[0]])
            self.phones = torch.cat([self.phones, new[1]])
            self.speakers = torch.cat([self.speakers, new[2]])
            self._of_voice = [(self.speakers == voice).nonzero()[:, 0] for voice in range(len(self.voices))]

    def _padded(self, utterance: Utterance) -> tuple[Tensor, Tensor, Tensor]:
        codes = -(-len(utterance.samples) // CODE_SAMPLES)
        samples = torch.zeros(codes * CODE_SAMPLES, dtype=torch.int16)
        samples[: len(utterance.samples)] = torch.from_numpy(utterance.samples.copy())
        phones = torch.full((codes * CODE_FRAMES,), 0 if len(utterance.phones) else UNKNOWN_PHONE, dtype=torch.uint8)
        phones[: len(utterance.phones)] = torch.from_numpy(utterance.phones.copy())
        return samples, phones, torch.full((codes,), self.voices.index(utterance.voice), dtype=torch.uint8)

    def draw(self, count: int, codes: int) -> Tensor:
        """Random first codes [count] of crops of `codes` codes."""
        return torch.randint(0, max(1, self.codes - codes), (count,), device=self.device)

    def draw_of_voice(self, voice: int, count: int, codes: int) -> Tensor:
        """Random first codes [count] that are of one voice. Raises ValueError where the bank has none of it."""
        of_voice = self._of_voice[voice]
        if len(of_voice) == 0:
            raise ValueError(f"no speech of {self.voices[voice]} in {', '.join(map(str, self.folders))}")
        chosen = of_voice[torch.randint(len(of_voice), (count,), device=self.device)]
        return chosen.clamp(max=max(0, self.codes - codes))

    def wave(self, starts: Tensor, codes: int, edge_frames: int = 0) -> Tensor:
        """float32 [B, (codes · 4 + 2 · edge) · 240] at 24 kHz of crops from code `starts` [B]; silence beyond the ends."""
        reach = edge_frames + _EDGE_FRAMES
        offsets = torch.arange(-reach * FRAME_SAMPLES, codes * CODE_SAMPLES + reach * FRAME_SAMPLES, device=self.device)
        index = starts[:, None] * CODE_SAMPLES + offsets  # [B, n]
        inside = (index >= 0) & (index < len(self.samples))
        samples = self.samples[index.clamp(0, len(self.samples) - 1)].float() * inside / 32768
        cut = _EDGE_FRAMES * HOP_SAMPLES
        return self.upsample(samples)[:, cut:-cut]

    def crops(self, starts: Tensor, codes: int) -> tuple[Tensor, Tensor]:
        """(log-mel [B, 80, codes · 4], samples [B, codes · 960] at 24 kHz) of crops from code `starts` [B]."""
        wave = self.wave(starts, codes, edge_frames=2)
        edge = 2 * HOP_SAMPLES
        context = wave[:, edge - MARGIN_SAMPLES : wave.shape[1] - edge + MARGIN_SAMPLES]
        return self.mel(context, padded=True), wave[:, edge:-edge]

    def labels(self, starts: Tensor, codes: int) -> tuple[Tensor, Tensor]:
        """(phones int64 [B, codes · 4], speakers int64 [B, codes]) of the same crops; starts + codes must be inside."""
        of_codes = starts[:, None] + torch.arange(codes, device=self.device)
        of_frames = starts[:, None] * CODE_FRAMES + torch.arange(codes * CODE_FRAMES, device=self.device)
        phones = self.phones[of_frames.clamp(max=len(self.phones) - 1)]
        return phones.long(), self.speakers[of_codes.clamp(max=self.codes - 1)].long()

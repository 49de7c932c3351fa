"""A WAV file that grows while the speech is made."""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType

import numpy as np


class GrowingWav:
    """Mono PCM16 at `path`, made with the first samples, valid after every `append`.

    The samples go in before the header that counts them, so whoever opens the file meanwhile (or after the
    process was killed) reads a whole WAV of what was spoken so far. Left through an exception the file is removed: a
    reply that broke off must not look like a whole one. Nor may an older file look like a reply without a sound.
    """

    HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
    MOST_BYTES = 2**32 - 1 - 44

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rate_hz = 0
        self.samples = 0
        self._file = None

    @property
    def seconds(self) -> float:
        return self.samples / self.rate_hz if self.rate_hz else 0.0

    def append(self, samples: np.ndarray, rate_hz: int) -> None:
        """samples: float32 [N] in −1…1. Louder ones are clipped. OSError where the disk refuses."""
        if self._file is None:
            self._file = self.path.open("wb")
            self.rate_hz = rate_hz
            self._write_header()
        assert rate_hz == self.rate_hz, "a reply keeps its sample rate"
        pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
        assert 2 * (self.samples + len(pcm)) <= self.MOST_BYTES, "a WAV holds less than 4 GiB"
        self._file.seek(0, 2)
        self._file.write(pcm.tobytes())
        self._file.flush()
        self.samples += len(pcm)
        self._write_header()

    def _write_header(self) -> None:
        assert self._file is not None
        size = 2 * self.samples
        self._file.seek(0)
        self._file.write(
            self.HEADER.pack(
                b"RIFF",
                36 + size,
                b"WAVE",
                b"fmt ",
                16,
                1,  # PCM
                1,  # mono
                self.rate_hz,
                2 * self.rate_hz,
                2,
                16,
                b"data",
                size,
            )
        )
        self._file.flush()

    def __enter__(self) -> GrowingWav:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._file is not None:
            self._file.close()
        if (self._file is None) == (kind is None):
            self.path.unlink(missing_ok=True)

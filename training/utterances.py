"""Speech for training, and the shard files that hold it.

A shard is two files: `NAME.npy`, the samples of all its utterances end to end (int16, memory-mapped when read), and
`NAME.npz`, texts, voices, phones and lengths. The index is moved into place last, so a shard whose `.npz` exists is whole.
Codec codes have files of their own, one `.npz` for each shard.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SAMPLE_RATE_HZ = 16_000
PHONE_SAMPLES = 160  # one phone label for each 10 ms

# The US English phone set of flite (lang/usenglish/us_phoneset.c), with silence first.
PHONES = tuple(
    "pau aa ae ah ao aw ax axr ay b ch d dh dx eh el em en er ey f g hh hv ih iy jh k l m n nx ng ow oy p r s sh t th uh "
    "uw v w y z zh h# brth".split()
)
PHONE_ID = {name: i for i, name in enumerate(PHONES)}


@dataclass(frozen=True)
class Utterance:
    """One spoken text. samples: int16 [N] at 16 kHz; phones: uint8 [T], an index into PHONES for each 10 ms, or empty;
    words: int16 [T], which of `text.split()` is being said, −1 in silence, or empty."""

    text: str
    voice: str
    samples: np.ndarray
    phones: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    words: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))

    @property
    def duration_sec(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class CodedUtterance:
    """One spoken text as the codec's codes. codes: int16 [n], 25 a second, ids 1…2048 (0 is the DiT's null code);
    words: int16 [n], which of `text.split()` each is part of, −1 in silence and where unknown."""

    text: str
    voice: str
    codes: np.ndarray
    words: np.ndarray


def _texts_to_array(texts: Sequence[str]) -> np.ndarray:
    return np.frombuffer("\n".join(text.replace("\n", " ") for text in texts).encode(), np.uint8)


def _texts_from_array(array: np.ndarray) -> list[str]:
    return array.tobytes().decode().split("\n")


def _concatenate(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *(np.asarray(array, dtype) for array in arrays)])


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def write_shard(path: Path, utterances: Sequence[Utterance]) -> None:
    """Write `path` (a name ending in .npz) and its .npy of samples; readers see the shard only when it is complete."""
    assert path.suffix == ".npz" and utterances
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.npy")
    np.save(partial, _concatenate([u.samples for u in utterances], np.int16))
    partial.replace(path.with_suffix(".npy"))
    _write_npz(
        path,
        {
            "texts": _texts_to_array([u.text for u in utterances]),
            "voices": _texts_to_array([u.voice for u in utterances]),
            "lengths": np.array([len(u.samples) for u in utterances], np.int64),
            "phones": _concatenate([u.phones for u in utterances], np.uint8),
            "phone_lengths": np.array([len(u.phones) for u in utterances], np.int64),
            "words": _concatenate([u.words for u in utterances], np.int16),
            "word_lengths": np.array([len(u.words) for u in utterances], np.int64),
        },
    )


def read_shard(path: Path) -> list[Utterance]:
    """The utterances of a shard; their samples are views of one memory-mapped array."""
    with np.load(path) as index:
        texts, voices = _texts_from_array(index["texts"]), _texts_from_array(index["voices"])
        ends = np.cumsum(index["lengths"])[:-1]
        phones, words = (
            np.split(index[f"{kind}s"], np.cumsum(index[f"{kind}_lengths"])[:-1]) for kind in ("phone", "word")
        )
    samples = np.split(np.load(path.with_suffix(".npy"), mmap_mode="r"), ends)
    return [Utterance(*item) for item in zip(texts, voices, samples, phones, words, strict=True)]


def shards(folder: Path, wait_for: int = 0, timeout_sec: float = 120.0) -> list[Path]:
    """The complete speech shards under `folder`, in order of name; waits until there are at least `wait_for`."""
    deadline = time.monotonic() + timeout_sec
    while True:
        found = sorted(
            p for p in folder.rglob("*.npz") if not p.name.startswith(".") and p.with_suffix(".npy").exists()
        )
        if len(found) >= wait_for or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def write_coded(path: Path, utterances: Sequence[CodedUtterance]) -> None:
    """Write coded utterances to one .npz file, moved into place when complete."""
    _write_npz(
        path,
        {
            "texts": _texts_to_array([u.text for u in utterances]),
            "voices": _texts_to_array([u.voice for u in utterances]),
            "lengths": np.array([len(u.codes) for u in utterances], np.int64),
            "codes": _concatenate([u.codes for u in utterances], np.int16),
            "words": _concatenate([u.words for u in utterances], np.int16),
        },
    )


def read_coded(path: Path) -> list[CodedUtterance]:
    """The coded utterances of one file, or of every .npz file of a folder in order of name."""
    if path.is_dir():
        return [u for file in sorted(path.rglob("*.npz")) if not file.name.startswith(".") for u in read_coded(file)]
    with np.load(path) as arrays:
        texts, voices = _texts_from_array(arrays["texts"]), _texts_from_array(arrays["voices"])
        codes, words = (np.split(arrays[name], np.cumsum(arrays["lengths"])[:-1]) for name in ("codes", "words"))
    return [CodedUtterance(*item) for item in zip(texts, voices, codes, words, strict=True)]

"""Teachers: the free synthesizers that speak the training text, in this process through ctypes; `festival` is a program.

Debian packages: libflite1, libasound2; libespeak-ng1, espeak-ng-data, libsonic0, libpcaudio0 and what these need;
wordnet-base for the text; optionally festival with festvox-us-slt-hts and festvox-kdlpc16k. `root` is a folder where
they were unpacked with `dpkg -x`, or None for the running system.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import random
import re
import time
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from training import corpus
from training.utterances import PHONE_ID, PHONE_SAMPLES, SAMPLE_RATE_HZ, Utterance, write_shard

LIBRARIES = Path("usr/lib/x86_64-linux-gnu")
FLITE_VOICES = ("slt", "rms", "kal16", "awb")
_ACCENTS = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-029")
_TEST_ACCENTS = ("en-us", "en", "en-gb-x-gbclan")
_VARIANTS = (
    "f1 f2 f3 f4 m1 m2 m3 m4 m5 m6 klatt klatt2 klatt4 Alicia Andrea Andy Annie Gene Jacky Lee Mario Michael Mike adam anika "
    "belinda benjamin boris caleb david ed edward gustave iven john linda norbert paul quincy rob robert sandro steph travis "
    "victor zac"
).split()
_TEST_VARIANTS = "f5 m7 m8 klatt3 edward2 michel shelby steph2".split()
ESPEAK_TRAIN = tuple(f"espeak:{accent}+{variant}" for accent in _ACCENTS for variant in _VARIANTS)
ESPEAK_TEST = tuple(f"espeak:{accent}+{variant}" for accent in _TEST_ACCENTS for variant in _TEST_VARIANTS)
TRAIN_VOICES = ("slt", "rms", "kal16", *ESPEAK_TRAIN)  # those of FESTIVAL_VOICES too, where festival is installed
FESTIVAL_VOICES = {"hts-slt": "cmu_us_slt_arctic_hts", "ked": "ked_diphone"}
TEST_VOICES = ("awb", *ESPEAK_TEST)
SENTENCES_A_SHARD = 100

# espeak-ng's English phoneme mnemonics as the nearest of flite's phones.
_ESPEAK_MNEMONICS = {
    "pau": "_ _: _|", "ih": "I I2 I# i@ i@3", "iy": "i i:", "eh": "E e@", "ae": "a aa", "ax": "a# @ @2 @5 @-",
    "er": "3 3: VR IR", "ah": "V", "aa": "0 A: A@", "ao": "O O: O2 O@ o@", "uh": "U U@", "uw": "u u:", "ow": "oU", "aw": "aU",
    "ay": "aI aI2 aI3 aI@", "ey": "eI", "oy": "OI", "l": "l @L", "y": "j ;", "ng": "N", "th": "T", "dh": "D", "sh": "S",
    "zh": "Z", "ch": "tS", "jh": "dZ", "hh": "h", "t": "t t# t2 t[ ?", "r": "r r-", "w": "w w#", "n": "n n-", "b": "b", "d": "d",
    "f": "f", "g": "g", "k": "k", "m": "m", "p": "p", "s": "s", "v": "v", "z": "z",
}  # fmt: skip
_ESPEAK_PHONES = {
    name.encode(): PHONE_ID[phone] for phone, names in _ESPEAK_MNEMONICS.items() for name in names.split()
}


class Teacher(Protocol):
    """A synthesizer with one voice. speed and pitch are factors of the voice's own; raises ValueError for a text it
    cannot speak."""

    voice: str

    def speak(self, text: str, speed: float = 1.0, pitch: float = 1.0) -> Utterance: ...


def library_folders(root: Path) -> list[Path]:
    """Where the libraries of packages unpacked below `root` lie."""
    return [root / LIBRARIES, root / LIBRARIES / "pulseaudio", root / "lib/x86_64-linux-gnu"]


@lru_cache(maxsize=2)
def _preload(root: Path) -> None:
    """Load what the synthesizers need from `root`, each library after its own needs: the loader finds a needed library
    by its soname once it is in the process, so no search path has to be set."""
    files = [
        p for folder in library_folders(root) for p in folder.glob("*.so*") if not re.search(r"flite|espeak", p.name)
    ]
    pending = {p.resolve() for p in files if p.exists()}
    while True:
        loaded = set()
        for path in pending:
            try:
                ctypes.CDLL(str(path))
                loaded.add(path)
            except OSError:
                pass
        pending -= loaded
        if not loaded or not pending:
            return


def _load(name: str, root: Path | None) -> ctypes.CDLL:
    if root is not None:
        _preload(root)
    path = name if root is None else str(root / LIBRARIES / name)
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise FileNotFoundError(f"{path} cannot be loaded ({error}): install or unpack its Debian package") from error


def track(segments: Sequence[tuple[int, float]], count: int) -> np.ndarray:
    """(number, end in seconds) in order → int64 [ceil(count / 160)], the number in the middle of each 10 ms."""
    frames = -(-count // PHONE_SAMPLES)
    ends = np.array([end for _, end in segments])
    middles = (np.arange(frames) + 0.5) * PHONE_SAMPLES / SAMPLE_RATE_HZ
    which = np.minimum(np.searchsorted(ends, middles, side="right"), len(segments) - 1)
    return np.array([number for number, _ in segments], np.int64)[which]


class _Wave(ctypes.Structure):  # cst_wave_struct of flite's cst_wave.h
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


class _FliteVoice(ctypes.Structure):  # the head of cst_voice_struct
    _fields_ = [("name", ctypes.c_char_p), ("features", ctypes.c_void_p)]


@lru_cache(maxsize=2)
def _flite_library(root: Path | None) -> ctypes.CDLL:
    library = _load("libflite.so.1", root)
    for part in ("usenglish", "cmulex"):
        _load(f"libflite_{part}.so.1", root)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("flite_synth_text", pointer, (text, pointer)),
        ("utt_wave", ctypes.POINTER(_Wave), (pointer,)),
        ("utt_relation", pointer, (pointer, text)),
        ("relation_head", pointer, (pointer,)),
        ("item_next", pointer, (pointer,)),
        ("path_to_item", pointer, (pointer, text)),
        ("item_feat_float", ctypes.c_float, (pointer, text)),
        ("item_feat_string", text, (pointer, text)),
        ("delete_utterance", None, (pointer,)),
        ("flite_feat_set_float", None, (pointer, text, ctypes.c_float)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.flite_init()
    return library


class Flite:
    """A CMU flite voice. Phones come from the synthesizer's own segments. The pitch of `rms` cannot be changed."""

    def __init__(self, voice: str, root: Path | None = None):
        self.voice = voice
        self._library, self._c = _flite_library(root), ctypes.CDLL(None)
        register = getattr(_load(f"libflite_cmu_us_{voice}.so.1", root), f"register_cmu_us_{voice}")
        register.restype, register.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
        self._voice = register(None)
        self._features = ctypes.cast(self._voice, ctypes.POINTER(_FliteVoice)).contents.features
        self._stretch = 1.1 if voice == "kal16" else 1.0  # the voices' own duration_stretch

    def speak(self, text: str, speed: float = 1.0, pitch: float = 1.0) -> Utterance:
        flite = self._library
        flite.flite_feat_set_float(self._features, b"duration_stretch", self._stretch / speed)
        flite.flite_feat_set_float(self._features, b"f0_shift", pitch)
        self._c.srand(zlib.crc32(text.encode()))  # the noise of its excitation is the C library's rand()
        spoken = flite.flite_synth_text(text.encode("ascii", "ignore"), self._voice)
        if not spoken:
            raise ValueError(f"flite cannot speak {text!r}")
        try:
            wave = flite.utt_wave(spoken).contents
            if wave.num_samples < PHONE_SAMPLES or wave.sample_rate != SAMPLE_RATE_HZ:
                raise ValueError(f"flite says nothing for {text!r}")
            samples = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).copy()
            numbers = {item: i for i, item in enumerate(self._items(spoken, b"Token"))}
            segments, words = [], []
            for item in self._items(spoken, b"Segment"):
                name, end = flite.item_feat_string(item, b"name").decode(), flite.item_feat_float(item, b"end")
                segments.append((PHONE_ID.get(name, 0), end))
                words.append(
                    (numbers.get(flite.path_to_item(item, b"R:SylStructure.parent.parent.R:Token.parent"), -1), end)
                )
        finally:
            flite.delete_utterance(spoken)
        known = len(numbers) == len(text.split())  # else a word was split or left out
        said = track(words, len(samples)).astype(np.int16) if known else np.zeros(0, np.int16)
        return Utterance(text, self.voice, samples, track(segments, len(samples)).astype(np.uint8), said)

    def _items(self, spoken: int, relation: bytes) -> Iterator[int]:
        item = self._library.relation_head(self._library.utt_relation(spoken, relation))
        while item:
            yield item
            item = self._library.item_next(item)


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):  # espeak_EVENT of espeak-ng's speak_lib.h
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_PHONEME_EVENT, _SYNCHRONOUS, _PHONEME_EVENTS, _UTF8, _POSITION_CHARACTER = 7, 2, 1, 1, 1
_RATE_PARAMETER, _PITCH_PARAMETER = 1, 3


@lru_cache(maxsize=2)
def _espeak_library(root: Path | None) -> tuple[ctypes.CDLL, int]:
    """The initialised library and its sample rate."""
    library = _load("libespeak-ng.so.1", root)
    data = None if root is None else str(root / LIBRARIES).encode()
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS)
    if rate_hz <= 0:
        raise FileNotFoundError("espeak-ng finds no data: install or unpack espeak-ng-data")
    return library, rate_hz


class Espeak:
    """espeak-ng with one accent and variant, e.g. "espeak:en-us+f3". Phones are mapped to flite's nearest."""

    def __init__(self, voice: str, root: Path | None = None):
        self.voice = voice
        self._library, self._rate_hz = _espeak_library(root)
        self._pieces: list[np.ndarray] = []
        self._phones: list[tuple[bytes, int]] = []
        self._callback = _SynthCallback(self._receive)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if count > 0 and samples:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type:
            if events[i].type == _PHONEME_EVENT:
                self._phones.append((bytes(events[i].id.string), events[i].sample))
            i += 1
        return 0

    def speak(self, text: str, speed: float = 1.0, pitch: float = 1.0) -> Utterance:
        from scipy.signal import resample_poly

        espeak = self._library
        self._pieces, self._phones = [], []
        if espeak.espeak_SetVoiceByName(self.voice.removeprefix("espeak:").encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {self.voice}")
        espeak.espeak_SetSynthCallback(self._callback)
        espeak.espeak_SetParameter(_RATE_PARAMETER, int(165 * speed), 0)
        espeak.espeak_SetParameter(_PITCH_PARAMETER, int(min(max(50 + 100 * (pitch - 1), 5), 95)), 0)
        data = text.encode()
        espeak.espeak_Synth(data, len(data) + 1, 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
        if not self._pieces:
            raise ValueError(f"espeak-ng says nothing for {text!r}")
        wide = resample_poly(np.concatenate(self._pieces).astype(np.float32), SAMPLE_RATE_HZ, self._rate_hz)
        samples = np.clip(np.rint(wide), -32768, 32767).astype(np.int16)
        phones = np.zeros(0, np.uint8)
        if self._phones and all(name in _ESPEAK_PHONES for name, _ in self._phones):
            starts = [sample / self._rate_hz for _, sample in self._phones] + [len(samples) / SAMPLE_RATE_HZ]
            ids = [_ESPEAK_PHONES[name] for name, _ in self._phones]
            phones = track([(0, starts[0]), *zip(ids, starts[1:], strict=True)], len(samples)).astype(np.uint8)
        return Utterance(text, self.voice, samples, phones)


@lru_cache(maxsize=512)
def teacher(voice: str, root: Path | None = None) -> Teacher:
    """The synthesizer of a voice of TRAIN_VOICES, TEST_VOICES or FESTIVAL_VOICES; one for each process."""
    if voice in FLITE_VOICES:
        return Flite(voice, root)
    if voice.startswith("espeak:"):
        return Espeak(voice, root)
    if voice in FESTIVAL_VOICES:
        from training.festival import Festival

        return Festival(voice, root)
    known = ", ".join((*FLITE_VOICES, *FESTIVAL_VOICES))
    raise ValueError(f"unknown voice {voice!r}: use {known} or espeak:ACCENT+VARIANT")


def word_sound(voice: str, text: str, root: Path | None = None) -> np.ndarray:
    """`text` by a voice without the silence around it, float32 [N] at 16 kHz."""
    samples = teacher(voice, root).speak(text).samples.astype(np.float32) / 32768
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def voices_named(name: str, split: corpus.Split) -> tuple[str, ...]:
    """The voices that a comma-separated list names; "espeak" stands for all espeak-ng voices of the split."""
    groups = {"espeak": ESPEAK_TRAIN if split == "train" else ESPEAK_TEST}
    return tuple(voice for part in name.split(",") for voice in groups.get(part, (part,)))


def _texts(seed: int, options: argparse.Namespace) -> list[str]:
    if not options.replies:
        return corpus.sentences(seed, options.split, SENTENCES_A_SHARD, options.wordnet)
    from training.spoken_texts import spoken_texts

    return spoken_texts(seed, options.split, SENTENCES_A_SHARD, options.replies, options.wordnet)


def speak_shard(path: Path, number: int, options: argparse.Namespace) -> float:
    """Write shard `number`, a function of it and of the options only; returns seconds of speech."""
    rng = random.Random(f"{options.seed}-{options.split}-{options.voice}-{number}")
    voices = voices_named(options.voice, options.split)
    spoken = []
    for text in _texts(rng.randrange(1 << 60), options):
        voice = rng.choice(voices)
        speed = rng.uniform(1 - options.vary, 1 + options.vary)
        # espeak-ng's voices differ too little in height otherwise; those of the HTS voice cannot be changed.
        range_ = options.vary * (2.0 if voice.startswith("espeak:") else 0.0 if voice == "hts-slt" else 1.0)
        pitch = rng.uniform(1 - range_, 1 + range_)
        try:
            utterance = teacher(voice, options.root).speak(text, speed, pitch)
        except ValueError:  # a text the synthesizer has no words for
            continue
        if 0.2 < utterance.duration_sec < 25 and np.abs(utterance.samples).max() > 500:
            spoken.append(utterance)
    write_shard(path, spoken)
    return sum(u.duration_sec for u in spoken)


def _work(options: argparse.Namespace, counter: Any, done_sec: Any, deadline: float) -> None:
    while done_sec.value < options.hours * 3600 and time.monotonic() < deadline:
        with counter.get_lock():
            number = counter.value
            counter.value += 1
        path = options.out / f"{options.voice.replace(',', '-').replace(':', '-')}-{options.split}-{number:05}.npz"
        seconds = speak_shard(path, number, options)
        with done_sec.get_lock():
            done_sec.value += seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Speak random sentences into shards.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--voice",
        required=True,
        help="slt, rms, kal16, awb, hts-slt, ked, espeak:…, espeak (all), or a list with commas",
    )
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop starting shards after this wall time")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--vary", type=float, default=0.0, help="range of random speed and pitch factors, e.g. 0.15")
    parser.add_argument("--replies", type=float, default=0.0, help="share of the assistant's own answers in talk")
    parser.add_argument("--root", type=Path, default=None, help="folder where the Debian packages were unpacked")
    parser.add_argument("--wordnet", type=Path, default=None, help="folder of data.noun and the like")
    options = parser.parse_args()
    if options.wordnet is None:
        options.wordnet = corpus.WORDNET if options.root is None else options.root / "usr/share/wordnet"
    started = time.monotonic()
    corpus.read_wordnet(options.wordnet)  # once, before the processes are forked
    context = multiprocessing.get_context("fork")
    counter, done_sec = context.Value("i", 0), context.Value("d", 0.0)
    workers = [
        context.Process(target=_work, args=(options, counter, done_sec, started + options.seconds))
        for _ in range(options.processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wall_sec = time.monotonic() - started
    figures = {"voice": options.voice, "hours": done_sec.value / 3600, "shards": counter.value, "wall_sec": wall_sec}
    figures["times_real_time_per_process"] = done_sec.value / wall_sec / options.processes
    print(json.dumps(figures))
    if any(worker.exitcode for worker in workers):
        raise SystemExit("a synthesis process failed; its error is above")


if __name__ == "__main__":
    main()

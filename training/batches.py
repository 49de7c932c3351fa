"""Worker processes that turn shards, sentences and generated examples into packed batches for the Thinker.

Every batch holds all kinds, each with its share of the tokens. Text comes from the corpus, speech from shards (read
while they are still being written), pictures and clips from `examples.sample`. Spoken questions are spoken here, too.
"""

from __future__ import annotations

import random
import re
import sys
import time
import traceback
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Turn
from training import corpus, synthesis
from training.cells import Listing, scaled_items
from training.examples import KINDS, SPEECH_KINDS, TRANSCRIBE_PROMPTS, TRANSCRIBE_TEST_PROMPTS, Example, sample
from training.features import HOP, MERGE, PATCH, resize, resized_size
from training.nano import NANO
from training.packing import Budget, Layout, Packer, Sequence, Sound
from training.utterances import Utterance, read_shard, shards
from training.wording import Split

UNIT = PATCH * MERGE
REPEAT_PROMPTS = ("Repeat after me: {}", "Say: {}", "Say this: {}", "Please repeat: {}", "Read this: {}", "Repeat: {}")
TEST_REPEAT_PROMPTS = ("Please say: {}",)
ALL_KINDS = {**KINDS, **SPEECH_KINDS}
SPEAKABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.'?!]*")


EARLY = {"picture_what": 2.0, "picture_arrow": 3.0, "picture_where": 1.5, "picture_color": 1.5, "read_word": 2.0, "read_line": 0.7,
         "chart": 0.5, "picture_chat": 0.5, "picture_beyond": 0.4}  # fmt: skip
EASY_PIXELS = 1.5 * UNIT  # the longer side of everything in a simple picture
TRIES = 3  # for a simple picture
SPEEDS = (0.82, 1.2)  # which changes pitch and timbre with the pace


@dataclass(frozen=True)
class Mixture:
    """How training is mixed. shares: kind or group → share of the tokens at the beginning and at the end of training,
    changing evenly between; groups are "dictation", "sentences", "repeat", and "picture", "video", "talk" of examples.
    spoken: how often a question is spoken that may be. fresh: how often a slow example is made anew rather than used
    again, from the last `kept` ones. quiet_until: share of the training without changes of speed. easy_until: share of
    the training over which simple pictures (few large things on calm backgrounds) and the kinds in `early`, so many
    times as often as later, become as rare as at the end."""

    start: dict[str, float]
    end: dict[str, float]
    spoken: float = 0.4
    fresh: float = 0.7
    kept: int = 192
    quiet_until: float = 0.33
    easy_until: float = 0.33
    early: dict[str, float] = field(default_factory=lambda: dict(EARLY))

    def ease(self, progress: float) -> float:
        """1 at the beginning, 0 from `easy_until` on."""
        return max(0.0, 1 - progress / self.easy_until) if self.easy_until > 0 else 0.0

    def share(self, group: str, progress: float) -> float:
        return self.start.get(group, 0.0) * (1 - progress) + self.end.get(group, 0.0) * progress


MIXTURE = Mixture(
    start={"dictation": 0.40, "sentences": 0.03, "repeat": 0.02, "picture": 0.46, "video": 0.04, "talk": 0.05},
    end={"dictation": 0.36, "sentences": 0.02, "repeat": 0.03, "picture": 0.32, "video": 0.16, "talk": 0.11},
)


@dataclass(frozen=True)
class SourceOptions:
    """Where the data comes from. shards: folder of speech; root: folder with unpacked synthesizers, or None for the
    system's; wordnet: folder of data.noun and the like; min_pixels, max_pixels: of a resized picture."""

    shards: Path | None = None
    root: Path | None = None
    wordnet: Path | None = None
    seed: int = 0
    split: Split = "train"
    budget: Budget = field(default_factory=Budget)
    mixture: Mixture = MIXTURE
    min_pixels: int = NANO.image_min_pixels
    max_pixels: int = NANO.image_max_pixels


def random_size(rng: random.Random, low: int, high: int) -> tuple[int, int]:
    """Height and width, multiples of 28, between the two areas; square-like more often than long."""
    area = rng.uniform(low**0.5, high**0.5) ** 2 if rng.random() < 0.5 else high * rng.uniform(0.6, 1.0)
    ratio = 2 ** rng.gauss(0, 0.4)
    height = max(UNIT, round((area * ratio) ** 0.5 / UNIT) * UNIT)
    width = max(UNIT, round((area / ratio) ** 0.5 / UNIT) * UNIT)
    while height * width > high:
        height, width = (height - UNIT, width) if height > width else (height, width - UNIT)
    while height * width < low:
        height, width = (height + UNIT, width) if height < width else (height, width + UNIT)
    return height, width


class Speech:
    """Utterances of the shards that fall to this worker; looks for new shards now and then."""

    def __init__(self, folder: Path, worker: int, workers: int, longest_sec: float) -> None:
        self.folder, self.worker, self.workers = folder, worker, workers
        self.longest = int(longest_sec * 16_000)
        self.utterances: list[Utterance] = []
        self._read: set[Path] = set()
        self.refresh()

    def refresh(self) -> None:
        found = shards(self.folder)
        deadline = time.monotonic() + 120
        while not found and not self.utterances and time.monotonic() < deadline:  # the synthesis may have just begun
            time.sleep(0.5)
            found = shards(self.folder)
        mine = [p for p in found if zlib.crc32(p.name.encode()) % self.workers == self.worker]
        if not mine and not self.utterances and found:
            mine = [found[self.worker % len(found)]]
        for path in mine:
            if path not in self._read:
                self._read.add(path)
                self.utterances += [u for u in read_shard(path) if 4800 < len(u.samples) < self.longest]


def as_heard(utterance: Utterance, rng: random.Random, vary: float, longest: int) -> Sound:
    """The utterance with silence around it and, by `vary` (0…1), at another speed; at most `longest` samples."""
    count = len(utterance.samples)
    speed = rng.uniform(*SPEEDS) if rng.random() < 0.7 * vary else 1.0
    spoken = int(count / speed)
    room = max(0, longest - spoken)
    lead = min(room // 2, int(rng.choice((0.0, 0.05, 0.1, rng.uniform(0, 0.8))) * 16_000))
    trail = min(room - lead, int(rng.choice((0.05, 0.1, rng.uniform(0, 1.0))) * 16_000))
    total = min(max(lead + spoken + trail, 3 * HOP), longest)
    return Sound(utterance.samples, total, lead, speed, utterance.phones, utterance.text)


@dataclass
class Maker:
    """Makes sequences of any group, in one process. progress: 0…1 through training, read at each use."""

    options: SourceOptions
    layout: Layout
    worker: int = 0
    workers: int = 1
    progress: Callable[[], float] = lambda: 0.0
    kept: dict[str, deque[Sequence]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        o = self.options
        self.rng = random.Random(f"{o.seed}-{o.split}-{self.worker}")
        self._sentences: list[str] = []
        self._speech: Speech | None = None
        self._made = self._tried = self._failures = 0
        self.kinds_of_group = self._examples_by_group()
        self.groups: dict[str, Callable[[], Sequence | None]] = {"sentences": self.sentence, "repeat": self.repetition}
        if o.shards:
            self.groups["dictation"] = self.dictation
        for group in self.kinds_of_group:
            self.groups[group] = partial(self.example_of, group)

    def _examples_by_group(self) -> dict[str, dict[str, float]]:
        """Groups that have a share, each with its kinds and how often they are drawn."""
        groups: dict[str, dict[str, float]] = {}
        for kind, often in ALL_KINDS.items():
            group = {"talk": "talk", "clip": "video"}.get(kind.split("_")[0], "picture")
            if self.options.mixture.share(group, 0.0) + self.options.mixture.share(group, 1.0) > 0:
                groups.setdefault(group, {})[kind] = often
        return groups

    def warm(self) -> None:
        """Read fonts, words and the like once, before processes are forked."""
        corpus.read_wordnet(self.options.wordnet or corpus.WORDNET)
        for kinds in self.kinds_of_group.values():
            for kind in kinds:
                if kind not in SPEECH_KINDS:  # the synthesizers are opened in each process
                    sample(kind, 0, self.options.split)

    def kinds(self) -> tuple[str, ...]:
        """Names of all losses."""
        return ("dictation", "sentences", "repeat", *ALL_KINDS, *(f"{kind}, spoken" for kind in ALL_KINDS))

    def text(self) -> str:
        """A corpus sentence."""
        if not self._sentences:
            folder = self.options.wordnet or corpus.WORDNET
            self._sentences = corpus.sentences(self.rng.randrange(1 << 62), self.options.split, 2000, folder)
        return self._sentences.pop()

    def dictation(self) -> Sequence | None:
        """An utterance to write down, with the instruction before or after the sound."""
        o = self.options
        assert o.shards is not None
        if self._speech is None:
            self._speech = Speech(o.shards, self.worker, self.workers, o.budget.seconds)
        elif self._made % 2000 == 0:
            self._speech.refresh()
        self._made += 1
        if not self._speech.utterances:
            raise FileNotFoundError(f"no speech in {o.shards}: run training.synthesis first")
        utterance = self.rng.choice(self._speech.utterances)
        sound = as_heard(utterance, self.rng, self._variation(), o.budget.clip_samples)
        prompt = self.rng.choice(TRANSCRIBE_PROMPTS if o.split == "train" else TRANSCRIBE_TEST_PROMPTS)
        clip = AudioClip(np.zeros(0, np.float32), 16_000)
        content = (clip, prompt) if self.rng.random() < 0.5 else (prompt, clip)
        turns = [Turn("user", content), Turn("assistant", (utterance.text,))]
        return self.layout.sequence("dictation", turns, {id(clip): sound})

    def _variation(self) -> float:
        quiet = self.options.mixture.quiet_until
        return min(1.0, max(0.0, (self.progress() - quiet) / 0.1)) if self.options.split == "train" else 0.0

    def sentence(self) -> Sequence:
        return self.layout.plain("sentences", self.text(), weight=0.3)

    def repetition(self) -> Sequence:
        prompts = REPEAT_PROMPTS if self.options.split == "train" else TEST_REPEAT_PROMPTS
        text = self.text()
        turns = [Turn("user", (self.rng.choice(prompts).format(text),)), Turn("assistant", (text,))]
        return self.layout.sequence("repeat", turns, weight=0.5)

    def example_of(self, group: str) -> Sequence | None:
        """A new example of the group, or one of those kept: slow ones are used more than once."""
        mixture = self.options.mixture
        kept = self.kept.setdefault(group, deque(maxlen=mixture.kept))
        if group != "talk" and len(kept) >= mixture.kept // 3 and self.rng.random() >= mixture.fresh:
            return self.rng.choice(kept)
        often = self.kinds_of_group[group]
        ease = mixture.ease(self.progress())
        weights = [n * mixture.early.get(kind, 1.0) ** ease for kind, n in often.items()]
        made = self.example(self.rng.choices(tuple(often), weights)[0], self.rng.random() < ease)
        if group != "talk" and made is not None:
            kept.append(made)
        return made

    def example(self, kind: str, easy: bool = False) -> Sequence | None:
        """easy: if there is a picture, rather a simple one."""
        o = self.options
        example, simple = None, not easy
        for _ in range(TRIES):
            size = random_size(self.rng, o.min_pixels, o.max_pixels) if self.rng.random() < 0.7 else None
            say = partial(synthesis.word_sound, self._voice(), root=o.root) if kind in SPEECH_KINDS else None
            example = sample(kind, self.rng.randrange(1 << 62), o.split, size, say)
            if simple or self._is_simple(example):
                break
        assert example is not None
        seen: dict[int, Listing] = {}
        turns, heard = [self._fitting(turn, example, seen) for turn in example.turns], {}
        if example.spoken is not None and self.rng.random() < o.mixture.spoken:
            turns, heard = self._spoken(turns, example.spoken)
        sounds = example.details.get("sounds", ())
        return self.layout.sequence(f"{kind}, spoken" if heard else kind, turns, heard, seen=seen, sounds=sounds)

    def _is_simple(self, example: Example) -> bool:
        details = example.details
        if "style" not in details:
            return True
        height, width = details["size"]
        factor = resized_size(height, width, self.options.min_pixels, self.options.max_pixels)[0] / height
        sides = [
            max(right - left, bottom - top) for left, top, right, bottom in (i["box"] for i in details["items"][1:])
        ]
        return len(sides) <= 3 and min(sides, default=1e9) * factor >= EASY_PIXELS and details["style"] != "texture"

    def _spoken(self, turns: list[Turn], place: int) -> tuple[list[Turn], dict[int, Sound]]:
        """The last question as speech, and in half of the conversations what the user said before, all by one voice."""
        heard: dict[int, Sound] = {}
        voice, earlier = self._voice(), self.rng.random() < 0.5
        result = []
        for i, turn in enumerate(turns):
            content = list(turn.content)
            for j, part in enumerate(content):
                last = i == len(turns) - 2 and j == place
                may = last or (earlier and turn.role == "user" and isinstance(part, str) and SPEAKABLE.fullmatch(part))
                utterance = self.speak(part, voice) if may and isinstance(part, str) else None
                if utterance is not None:
                    clip = AudioClip(np.zeros(0, np.float32), 16_000)
                    content[j] = clip
                    heard[id(clip)] = as_heard(utterance, self.rng, self._variation(), self.options.budget.clip_samples)
            result.append(Turn(turn.role, tuple(content)))
        return result, heard

    def _fitting(self, turn: Turn, example: Example, seen: dict[int, Listing]) -> Turn:
        """Pictures resized by the processor's rule; `seen` gets what each medium shows, by its id."""
        content = []
        items = example.details.get("items")
        for part in turn.content:
            if isinstance(part, Picture):
                height, width = part.size
                h, w = resized_size(height, width, self.options.min_pixels, self.options.max_pixels)
                part = Picture(resize(part.pixels, h, w))
                if items is not None:
                    seen[id(part)] = [scaled_items(items, w / width, h / height)]
            elif isinstance(part, VideoClip) and items is not None:
                seen[id(part)] = items
            content.append(part)
        return replace(turn, content=tuple(content))

    def _voice(self) -> str:
        """A random voice of the split, faster ones more often."""
        if self.options.split == "test":
            return self.rng.choice(synthesis.TEST_VOICES)
        dice = self.rng.random()
        return self.rng.choice(synthesis.ESPEAK_TRAIN if dice < 0.55 else ("kal16",) if dice < 0.75 else ("slt", "rms"))

    def speak(self, text: str, voice: str) -> Utterance | None:
        """`text` by a voice; None where it cannot be spoken or is too long."""
        speed, pitch = self.rng.uniform(0.85, 1.15), self.rng.uniform(0.85, 1.15)
        if voice.startswith("espeak:") and self.options.split == "train":
            speed, pitch = self.rng.uniform(0.75, 1.25), self.rng.uniform(0.65, 1.35)
        try:
            utterance = synthesis.teacher(voice, self.options.root).speak(text, speed, pitch)
        except ValueError:  # a text without words for this synthesizer
            return None
        return utterance if 4800 < len(utterance.samples) < 0.9 * self.options.budget.clip_samples else None

    def _made_safely(self, group: str) -> Sequence | None:
        """One failing example in hundreds must not end a long run; more are a bug."""
        self._tried += 1
        try:
            return self.groups[group]()
        except Exception:
            self._failures += 1
            if self._failures > max(10, self._tried // 50):
                raise
            traceback.print_exc(file=sys.stderr)
            return None

    def batches(self) -> Iterator[Packer]:
        """Packed batches without end. What does not fit waits for the next one."""
        o = self.options
        used = dict.fromkeys(self.groups, 0.0)
        waiting: deque[tuple[str, Sequence]] = deque()
        kinds, pad = self.kinds(), NANO.special_ids()["<|endoftext|>"]
        while True:
            packer = Packer(o.budget, self.layout.control, kinds, pad)
            put_off: deque[tuple[str, Sequence]] = deque()
            misses = 0
            while misses < 6 and packer.fill < 0.985:
                if waiting:
                    group, s = waiting.popleft()
                else:
                    progress = self.progress()
                    shares = {g: o.mixture.share(g, progress) for g in self.groups}
                    group = min((g for g in shares if shares[g] > 0), key=lambda g: used[g] / shares[g])
                    s = self._made_safely(group)
                    if s is None or not packer.fits_alone(s):
                        used[group] += 1.0
                        continue
                    used[group] += len(s.ids)
                if not packer.add(s):
                    put_off.append((group, s))
                    misses += 1
            waiting = put_off
            used = {g: n * 0.9 for g, n in used.items()}  # shares hold for recent batches, as they change in time
            yield packer

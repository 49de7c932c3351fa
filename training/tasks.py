"""What is asked of a checkpoint when it is evaluated: each task's cases, always the same for the same numbers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from multimodal.media import AudioClip
from multimodal.prompt import Content, Turn
from training import corpus, examples, synthesis
from training.examples import TRANSCRIBE_TEST_PROMPTS, Example
from training.recognition import Recognizer, normalize
from training.replies import TEACHERS

RATE_HZ = 16_000
SNR_DB = 20.0
SEEN_VOICES = ("slt", "rms", "kal16", *synthesis.ESPEAK_TRAIN[::7])


def kinds_with(*prefixes: str, without: Sequence[str] = ()) -> tuple[str, ...]:
    return tuple(kind for kind in examples.KINDS if kind.startswith(prefixes) and kind not in without)


PICTURES = kinds_with("picture_", "chart", without=("picture_chat", "picture_beyond"))
WITH_SOUND = ("clip_tone", "clip_word")
KINDS_OF: dict[str, tuple[str, ...]] = {
    "pictures": PICTURES,
    "reading": kinds_with("read_"),
    "grounding": kinds_with("ground"),
    "video": kinds_with("clip_", without=WITH_SOUND),
    "audiovisual": WITH_SOUND,
    "facts": ("talk_facts", "picture_chat"),
    "refusals": ("talk_beyond", "picture_beyond"),
}


@dataclass(frozen=True, eq=False)
class Case:
    """One thing asked, and what counts as right.

    turns: the user's; each is answered before the next is asked, and the reply to the last one is scored.
    answers: those that are right, the canonical one first. boxes: what grounding should find, as "bbox_2d" and "label".
    spoken: what the last turn asks aloud, where it does.
    """

    task: str
    kind: str
    turns: tuple[Turn, ...]
    answers: tuple[str, ...]
    boxes: tuple[dict[str, Any], ...] = ()
    spoken: str = ""


@dataclass(frozen=True)
class SpeechCase:
    """A text to say in one of the checkpoint's voices, given by its number, and what the independent recognizer hears
    of the voice's teacher saying it."""

    text: str
    voice: int
    teacher_heard: str


def heard(samples: np.ndarray, rng: np.random.Generator, snr_db: float | None = None) -> AudioClip:
    """int16 speech at 16 kHz between short silences, with white noise at `snr_db` below the speech."""
    speech = samples.astype(np.float32) / 32768
    before, after = (
        np.zeros(int(sec * RATE_HZ), np.float32) for sec in (rng.uniform(0.05, 0.4), rng.uniform(0.2, 0.5))
    )
    clip = np.concatenate([before, speech, after])
    if snr_db is not None:
        level = np.sqrt(np.mean(speech**2)) * 10 ** (-snr_db / 20)
        clip = clip + rng.standard_normal(len(clip), np.float32) * np.float32(level)
    return AudioClip(clip.clip(-1, 1).astype(np.float32), RATE_HZ)


class Exam:
    """The held-out cases of a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def case(self, task: str, index: int) -> Case:
        """Case number `index` of a task of TASKS."""
        return TASKS[task](self, task, index)

    def speech_case(self, index: int) -> SpeechCase:
        text = self.sentence(index)
        voice = index % len(TEACHERS)
        taught = synthesis.teacher(TEACHERS[voice]).speak(text).samples.astype(np.float32) / 32768
        return SpeechCase(text, voice, self.recognizer.transcribe(taught, RATE_HZ))

    @cached_property
    def recognizer(self) -> Recognizer:
        return Recognizer()

    def example(self, index: int, kinds: Sequence[str]) -> Example:
        voice = SEEN_VOICES[index % len(SEEN_VOICES)]
        number = 1_000_000 * (self.seed + 1) + index
        return examples.sample(kinds[index % len(kinds)], number, "test", speak=partial(synthesis.word_sound, voice))

    def rng(self, task: str, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, index, sum(map(ord, task))))

    def sentence(self, index: int) -> str:
        """Held-out sentence number `index`, all of its words known to the independent recognizer."""
        rng = random.Random(f"{self.seed}-{index}")
        while True:
            text = corpus.sentences(rng.randrange(1 << 40), "test", 1)[0]
            words = normalize(text)
            if 4 <= len(words) <= 16 and all(self.recognizer.knows(word) for word in words):
                return text


Ask = Callable[[Exam, str, int], Case]


def _case(task: str, example: Example) -> Case:
    turns = tuple(turn for turn in example.turns if turn.role == "user")
    return Case(task, example.kind, turns, example.answers, tuple(example.details.get("answer_boxes", ())))


def _plainly(exam: Exam, task: str, index: int) -> Case:
    return _case(task, exam.example(index, KINDS_OF[task]))


def _scrambled(exam: Exam, task: str, index: int) -> Case:
    # The same examples as with true time ids.
    return replace(_plainly(exam, "audiovisual", index), task=task)


def _reading(exam: Exam, task: str, index: int) -> Case:
    # Some of these examples ask for the colour of the text: those are not about reading.
    numbers = itertools.count(index, 100_000)
    return _case(task, next(e for n in numbers if "color" not in (e := exam.example(n, KINDS_OF[task])).details))


def _dictation(exam: Exam, task: str, index: int) -> Case:
    rng = exam.rng(task, index)
    unseen = task == "dictation_unseen"
    # Half of the unseen voices are awb, a recorded one; the others are variants of espeak-ng.
    voices = ("awb", *synthesis.ESPEAK_TEST) if unseen else SEEN_VOICES
    voice = voices[0] if unseen and index % 2 else voices[int(rng.integers(len(voices)))]
    text = corpus.sentences(int(rng.integers(1 << 40)), "test", 1)[0]
    clip = heard(synthesis.teacher(voice).speak(text).samples, rng, SNR_DB if unseen else None)
    return Case(task, _kind_of(voice), (Turn("user", (clip, transcribe_prompt(index))),), (text,))


def _spoken(exam: Exam, task: str, index: int) -> Case:
    rng = exam.rng(task, index)
    numbers = itertools.count(index, 100_000)
    example = next(e for n in numbers if (e := exam.example(n, PICTURES)).spoken is not None)
    assert example.spoken is not None
    case = _case(task, example)
    content: list[Content] = list(case.turns[-1].content)
    text = content[example.spoken]
    assert isinstance(text, str)
    voice = "awb" if index % 2 else synthesis.ESPEAK_TEST[int(rng.integers(len(synthesis.ESPEAK_TEST)))]
    content[example.spoken] = heard(synthesis.teacher(voice).speak(text).samples, rng, SNR_DB)
    turns = (*case.turns[:-1], Turn("user", tuple(content)))
    return replace(case, kind=_kind_of(voice), turns=turns, spoken=text)


def transcribe_prompt(index: int) -> str:
    return TRANSCRIBE_TEST_PROMPTS[index % len(TRANSCRIBE_TEST_PROMPTS)]


def _kind_of(voice: str) -> str:
    return voice.partition(":")[0]


TASKS: dict[str, Ask] = {
    "pictures": _plainly,
    "reading": _reading,
    "grounding": _plainly,
    "video": _plainly,
    "audiovisual": _plainly,
    "audiovisual_scrambled": _scrambled,
    "dictation_seen": _dictation,
    "dictation_unseen": _dictation,
    "spoken_questions": _spoken,
    "facts": _plainly,
    "refusals": _plainly,
}
SPEECH_TASKS = ("speech",)
"""Gives the figures speech, teacher and speech_heard."""

"""What is asked of a checkpoint when it is evaluated, and how its answers are scored."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch

from multimodal import checkpoint
from multimodal.media import AudioClip
from multimodal.prompt import Content, Span, Turn, VideoSpan
from multimodal.tmrope import Cursor, Tmrope
from streaming.events import ResponseDone
from streaming.session import Conversation, ResponseOptions
from training import corpus, examples, synthesis
from training.examples import TRANSCRIBE_TEST_PROMPTS, Example
from training.recognition import Recognizer, edit_distance, normalize
from training.replies import TEACHERS

RATE_HZ = 16_000
SNR_DB = 20.0
SEEN_VOICES = ("slt", "rms", "kal16", *synthesis.ESPEAK_TRAIN[::7])
TIME_TOLERANCE_SEC = 0.5
LONGEST_ANSWER = 256


@dataclass(frozen=True)
class Outcome:
    """One scored answer. A task's figure is the sum of `part` ÷ the sum of `whole`; right: nothing to complain of."""

    task: str
    kind: str
    part: float
    whole: float
    right: bool
    expected: str = ""
    answer: str = ""


@dataclass(frozen=True)
class ScrambledTmrope(Tmrope):
    """TMRoPE whose video frames have each other's time ids: every id of the clip occurs, but at the wrong frame."""

    def place(self, span: Span, cursor: Cursor) -> tuple[np.ndarray, Cursor]:
        positions, after = super().place(span, cursor)
        if isinstance(span, VideoSpan) and span.grid[0] > 1:
            steps = span.grid[0]
            video = np.flatnonzero(np.array(self.ids(span)) == self.control.video)
            times = positions[0, video].reshape(steps, -1)
            order = np.random.default_rng(steps).permutation(steps)
            positions[0, video] = times[order].reshape(-1)
        return positions, after


def plain(text: str) -> str:
    """`text` without case, final mark and double spaces: what "exact answer" compares."""
    return " ".join(text.lower().split()).strip(" .!?")


def same_answer(answer: str, accepted: Sequence[str], tolerance_sec: float = 0.0) -> bool:
    """Whether `answer` is one of `accepted`; with a tolerance, decimal numbers may differ by it."""
    found = plain(answer)
    if any(found == plain(right) for right in accepted):
        return True
    number = re.compile(r"\d+(?:\.\d+)?")
    for right in accepted if tolerance_sec else ():
        expected = plain(right)
        pairs = list(zip(number.findall(found), number.findall(expected)))
        alike = number.sub("#", found) == number.sub("#", expected)
        # "1 second" and "1.5 seconds" are the same sentence.
        alike = alike or number.sub("#", found).replace("seconds", "second") == number.sub("#", expected).replace(
            "seconds", "second"
        )
        if alike and pairs and all(abs(float(a) - float(b)) <= tolerance_sec + 1e-6 for a, b in pairs):
            return True
    return False


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (x1, y1, x2, y2)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / both if both > 0 else 0.0


def parse_boxes(answer: str) -> list[tuple[tuple[float, ...], str]]:
    """Boxes and labels of an answer in Qwen2.5-VL's JSON form; what cannot be read is no box."""
    try:
        found = json.loads(answer[answer.index("[") : answer.rindex("]") + 1])
        return [
            (tuple(float(v) for v in item["bbox_2d"]), str(item["label"]))
            for item in found
            if len(item["bbox_2d"]) == 4
        ]
    except (ValueError, KeyError, TypeError):
        return []


def box_score(answer: str, boxes: Sequence[dict]) -> tuple[float, float]:
    """(2 × right boxes, boxes answered + boxes there): their ratio over many examples is F1. A box is right at an IoU
    of 0.5 with a box of the same label that no other box has taken. Where there is nothing to box, an answer without
    boxes counts as one right box."""
    found = parse_boxes(answer)
    if not boxes and not found:
        return 2.0, 2.0
    left = [(tuple(box["bbox_2d"]), box["label"]) for box in boxes]
    right = 0
    for box, label in found:
        same = [other for other in left if plain(other[1]) == plain(label) and overlap(box, other[0]) >= 0.5]
        if same:
            left.remove(max(same, key=lambda other: overlap(box, other[0])))
            right += 1
    return 2.0 * right, float(len(found) + len(boxes))


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


class Judge:
    """A loaded checkpoint that answers examples and is scored. One for each process."""

    def __init__(self, model: str, seed: int, greedy_speech: bool = False) -> None:
        self.model = checkpoint.load(model, device="cpu")
        self.seed = seed
        if greedy_speech:
            self.model.talker_sampling = replace(self.model.talker_sampling, do_sample=False)

    @cached_property
    def recognizer(self) -> Recognizer:
        return Recognizer()

    def outcomes(self, task: str, index: int) -> list[Outcome]:
        """Outcomes of example number `index` of a task; speech tasks give several."""
        return {**TASKS, **SPEECH_TASKS}[task](self, task, index)

    def example(self, index: int, kinds: Sequence[str]) -> Example:
        voice = SEEN_VOICES[index % len(SEEN_VOICES)]
        number = 1_000_000 * (self.seed + 1) + index
        return examples.sample(kinds[index % len(kinds)], number, "test", speak=partial(synthesis.word_sound, voice))

    def rng(self, task: str, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, index, sum(map(ord, task))))

    def reply(self, turns: Sequence[Turn]) -> str:
        """The reply to the last of the user's turns; those before are answered by the checkpoint too."""
        conversation = Conversation(self.model)
        text = ""
        for turn in turns:
            if turn.role != "user":
                continue
            conversation.append(turn)
            options = ResponseOptions(speech=False, greedy=True, max_text_tokens=LONGEST_ANSWER, seed=0)
            events = list(conversation.respond(options))
            assert isinstance(events[-1], ResponseDone)
            text = events[-1].text
        return text

    def sentence(self, index: int) -> str:
        """Held-out sentence number `index`, all of its words known to the independent recognizer."""
        rng = random.Random(f"{self.seed}-{index}")
        while True:
            text = corpus.sentences(rng.randrange(1 << 40), "test", 1)[0]
            words = normalize(text)
            if 4 <= len(words) <= 16 and all(self.recognizer.knows(word) for word in words):
                return text

    @torch.inference_mode()
    def say(self, text: str, voice_name: str, seed: int) -> np.ndarray:
        """`text` in the checkpoint's voice, float32 at 24 kHz, in the windows that the application speaks in: the
        Thinker reads the text as if it were writing it."""
        from multimodal.sampler import Sampler
        from multimodal.token2wav import SpeechStream

        model, thinker, talker, token2wav = self.model, self.model.thinker, self.model.talker, self.model.token2wav
        assert talker is not None and token2wav is not None
        voice = model.voice(voice_name)
        spans: list[Span] = [*model.prompt.turn("system", [model.system_prompt])]
        spans += [*model.prompt.turn("user", [f"Please say: {text}"]), *model.prompt.open_turn("assistant", [])]
        memory, spoken = thinker.new_memory(), talker.new_memory()
        positions, cursor = thinker.tmrope.place_all(spans)
        _, rows = thinker.read(memory, spans)
        talker.read(spoken, rows, positions)
        steps = (thinker.step(memory, t, cursor.next_decoded + i) for i, t in enumerate(model.prompt.encode(text)))
        reply = (step.hidden + step.embedding for step in steps)
        sampler = talker.sampler(Sampler(model.talker_sampling, torch.Generator().manual_seed(seed)))
        noise = torch.Generator().manual_seed(seed)
        stream = SpeechStream(token2wav, voice, noise=lambda frames: token2wav.noise(frames, noise))
        limit = 60 + 12 * len(text)
        pieces = [stream.push(code) for code in talker.speak(spoken, cursor, voice.bos_token, reply, sampler, limit)]
        return np.concatenate([*(piece for piece in pieces if piece is not None), stream.finish()])


Ask = Callable[[Judge, str, int], list[Outcome]]


def _exact(judge: Judge, task: str, index: int, tolerance_sec: float = 0.0) -> list[Outcome]:
    example = judge.example(index, KINDS_OF[task])
    answer = judge.reply(example.turns[:-1])
    right = same_answer(answer, example.answers, tolerance_sec)
    return [Outcome(task, example.kind, float(right), 1.0, right, example.answers[0], answer)]


def _timed(judge: Judge, task: str, index: int) -> list[Outcome]:
    return _exact(judge, task, index, TIME_TOLERANCE_SEC)


def _scrambled(judge: Judge, task: str, index: int) -> list[Outcome]:
    thinker = judge.model.thinker
    kept = thinker.tmrope
    thinker.tmrope = ScrambledTmrope(**vars(kept))
    try:
        # The same examples as with true time ids.
        return [replace(outcome, task=task) for outcome in _timed(judge, "audiovisual", index)]
    finally:
        thinker.tmrope = kept


def _reading(judge: Judge, task: str, index: int) -> list[Outcome]:
    # Some of these examples ask for the colour of the text: those are not about reading.
    numbers = itertools.count(index, 100_000)
    example = next(e for n in numbers if "color" not in (e := judge.example(n, KINDS_OF[task])).details)
    answer = judge.reply(example.turns[:-1])
    errors, expected = min((edit_distance(right, answer), right) for right in example.answers)
    return [Outcome(task, example.kind, errors, len(expected), errors == 0, expected, answer)]


def _grounding(judge: Judge, task: str, index: int) -> list[Outcome]:
    example = judge.example(index, KINDS_OF[task])
    answer = judge.reply(example.turns[:-1])
    part, whole = box_score(answer, example.details["answer_boxes"])
    return [Outcome(task, example.kind, part, whole, part == whole, example.answers[0], answer)]


def _errors(task: str, kind: str, text: str, found: str) -> Outcome:
    """Word errors of `found` against the words of `text`."""
    words = normalize(text)
    errors = edit_distance(words, normalize(found))
    return Outcome(task, kind, errors, len(words), errors == 0, text, found)


def _dictation(judge: Judge, task: str, index: int) -> list[Outcome]:
    rng = judge.rng(task, index)
    unseen = task == "dictation_unseen"
    # Half of the unseen voices are awb, a recorded one; the others are variants of espeak-ng.
    voices = ("awb", *synthesis.ESPEAK_TEST) if unseen else SEEN_VOICES
    voice = voices[0] if unseen and index % 2 else voices[int(rng.integers(len(voices)))]
    text = corpus.sentences(int(rng.integers(1 << 40)), "test", 1)[0]
    clip = heard(synthesis.teacher(voice).speak(text).samples, rng, SNR_DB if unseen else None)
    prompt = TRANSCRIBE_TEST_PROMPTS[index % len(TRANSCRIBE_TEST_PROMPTS)]
    return [_errors(task, _kind_of(voice), text, judge.reply([Turn("user", (clip, prompt))]))]


def _spoken(judge: Judge, task: str, index: int) -> list[Outcome]:
    rng = judge.rng(task, index)
    numbers = itertools.count(index, 100_000)
    example = next(e for n in numbers if (e := judge.example(n, PICTURES)).spoken is not None)
    assert example.spoken is not None
    question = example.turns[-2]
    text = question.content[example.spoken]
    assert isinstance(text, str)
    voice = "awb" if index % 2 else synthesis.ESPEAK_TEST[int(rng.integers(len(synthesis.ESPEAK_TEST)))]
    content: list[Content] = list(question.content)
    content[example.spoken] = heard(synthesis.teacher(voice).speak(text).samples, rng, SNR_DB)
    answer = judge.reply([*example.turns[:-2], Turn("user", tuple(content))])
    right = same_answer(answer, example.answers)
    return [Outcome(task, _kind_of(voice), float(right), 1.0, right, f"{text} → {example.answers[0]}", answer)]


def _speech(judge: Judge, task: str, index: int) -> list[Outcome]:
    """A sentence in one of the checkpoint's voices, written down by PocketSphinx and by the checkpoint itself, and the
    same sentence of the voice's teacher."""
    import soxr

    text = judge.sentence(index)
    names = list(judge.model.voices)
    name = names[index % len(names)]
    taught = synthesis.teacher(TEACHERS[index % len(names)]).speak(text).samples.astype(np.float32) / 32768
    assert judge.model.token2wav is not None
    spoken = judge.say(text, name, seed=index)
    spoken = soxr.resample(spoken, judge.model.token2wav.rate_hz, RATE_HZ)
    clip = heard((spoken.clip(-1, 1) * 32767).astype(np.int16), judge.rng(task, index))
    own = judge.reply([Turn("user", (clip, TRANSCRIBE_TEST_PROMPTS[index % len(TRANSCRIBE_TEST_PROMPTS)]))])
    return [
        _errors("speech", name, text, judge.recognizer.transcribe(spoken, RATE_HZ)),
        _errors("teacher", name, text, judge.recognizer.transcribe(taught, RATE_HZ)),
        _errors("speech_heard", name, text, own),
    ]


def _kind_of(voice: str) -> str:
    return voice.partition(":")[0]


TASKS: dict[str, Ask] = {
    "pictures": _exact,
    "reading": _reading,
    "grounding": _grounding,
    "video": _timed,
    "audiovisual": _timed,
    "audiovisual_scrambled": _scrambled,
    "dictation_seen": _dictation,
    "dictation_unseen": _dictation,
    "spoken_questions": _spoken,
    "facts": _exact,
    "refusals": _exact,
}
SPEECH_TASKS: dict[str, Ask] = {"speech": _speech}
"""Gives the figures speech, teacher and speech_heard."""

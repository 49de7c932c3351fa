"""One door to every training and test example but plain dictation: `sample(kind, seed, split)`.

Randomness comes from (kind, split, seed) alone. Object combinations, wordings, told values, fonts and backgrounds
of the test split do not occur in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from multimodal.media import Picture
from multimodal.prompt import Content, Turn
from training import clips, pictures, talk
from training.beyond import out_of_world
from training.charts import chart_question
from training.facts import told_facts
from training.grounding import grounding
from training.lettering import reading
from training.soundtracks import Speak, tone_question, word_question
from training.wording import Question, Size, Split, as_people_write, choose, generator, phrase

# The words for speech tasks. Bare sound without text means: answer what is said.
TRANSCRIBE_PROMPTS = (
    "Transcribe the speech.",
    "What did I say?",
    "Write down what you hear.",
    "What is said here?",
    "Please write down what I say.",
    "Transcribe this.",
    "Take dictation.",
    "What does the recording say?",
    "Transcribe the audio.",
    "Turn this speech into text.",
)
TRANSCRIBE_TEST_PROMPTS = ("Please transcribe the speech.", "What do I say?", "Write down what I said.")


@dataclass(frozen=True, eq=False)
class Example:
    """One conversation that ends in the assistant's answer.

    turns: user and assistant in turn, no system turn; the last is the answer to learn or to score.
    spoken: index of a text part in the content of the last user turn (`turns[-2].content[spoken]`) that may be
        replaced by speech of that text, or None.
    answers: the exact answers that count as right, the canonical one first.
    details: what a score needs: boxes, times, values; "items": everything that is drawn, as `cells` describes it.
    """

    turns: tuple[Turn, ...]
    kind: str
    spoken: int | None = None
    answers: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


SHORTEST_SIDE = 84  # pixels; smaller pictures have no room for some scenes

Rng = np.random.Generator
Builder = Callable[[Rng, Split, Size | None, Speak | None], Example]


def _conversation(
    kind: str, rng: Rng, split: Split, questions: list[Question], media: Content | None = None, at: int = 0
) -> Example:
    """Turns of `questions` and their answers; the medium comes with question number `at`."""
    turns: list[Turn] = []
    spoken: int | None = None
    for i, question in enumerate(questions):
        text = as_people_write(rng, question.text, split) if question.speakable else question.text
        content: tuple[Content, ...] = (text,)
        if media is not None and i == at:
            content = (media, text) if rng.random() < 0.75 else (text, media)
        spoken = content.index(text) if question.speakable else None
        turns += [Turn("user", content), Turn("assistant", (question.answer,))]
    return Example(tuple(turns), kind, spoken, questions[-1].answers, questions[-1].details)


def _picture(kind: str, draw: Callable[[Rng, Split, Size | None], tuple[np.ndarray, Question]]) -> Builder:
    def build(rng: Rng, split: Split, size: Size | None, speak: Speak | None) -> Example:
        pixels, question = draw(rng, split, size)
        return _conversation(kind, rng, split, [question], Picture(pixels))

    return build


def _picture_chat(rng: Rng, split: Split, size: Size | None, speak: Speak | None) -> Example:
    """Follow-up questions about one picture, other talk before and between."""
    pixels, questions = pictures.picture_conversation(rng, split, size, int(rng.choice((2, 2, 3, 4))))
    for _ in range(int(rng.choice((0, 0, 1, 2)))):
        other = choose(rng, (talk.small_talk, out_of_world, talk.app_help))(rng, split)
        if "not said anything" not in other.answer:
            questions.insert(int(rng.integers(1, len(questions))), other)
    before = [talk.small_talk(rng, split)] if rng.random() < 0.2 else []
    return _conversation("picture_chat", rng, split, before + questions, Picture(pixels), len(before))


def _picture_beyond(rng: Rng, split: Split, size: Size | None, speak: Speak | None) -> Example:
    """A question about a picture, or beside it, that the model cannot answer."""
    pixels, questions = pictures.picture_conversation(rng, split, size, 1)
    thing = choose(rng, questions[0].details["objects"])["label"] if rng.random() < 0.7 else None
    question = out_of_world(rng, split, thing)
    question = replace(question, details={**question.details, "items": questions[0].details["items"]})
    if rng.random() < 0.3:
        return _conversation("picture_beyond", rng, split, [questions[0], question], Picture(pixels))
    return _conversation("picture_beyond", rng, split, [question], Picture(pixels))


def _words(kind: str, ask: Callable[[Rng, Split], Question]) -> Builder:
    def build(rng: Rng, split: Split, *_: object) -> Example:
        before = [talk.small_talk(rng, split)] if rng.random() < 0.15 else []
        if before and "not said anything" in before[0].answer:
            before = []
        return _conversation(kind, rng, split, [*before, ask(rng, split)])

    return build


def _facts(rng: Rng, split: Split, *_: object) -> Example:
    return _conversation("talk_facts", rng, split, told_facts(rng, split))


def _no_picture(rng: Rng, split: Split) -> Question:
    """A question about a picture or a clip without one."""
    if rng.random() < 0.2:
        return Question(phrase(rng, split, talk.NO_CLIP_QUESTIONS), talk.NO_CLIP)
    kind = choose(rng, tuple(pictures.PICTURES))
    return Question(pictures.question_only(kind, rng, split), talk.NO_PICTURE)


def _no_sound(rng: Rng, split: Split) -> Question:
    return Question(phrase(rng, split, talk.NO_SOUND_QUESTIONS), talk.NO_SOUND, speakable=False)


_WORDS: dict[str, Callable[[Rng, Split], Question]] = {
    "talk_small": talk.small_talk,
    "talk_help": talk.app_help,
    "talk_beyond": out_of_world,
    "talk_unclear": talk.unclear,
    "talk_no_picture": _no_picture,
    "talk_no_sound": _no_sound,
}


def _clip(kind: str, draw: Callable[[Rng, Split, Size | None], clips.Asked]) -> Builder:
    def build(rng: Rng, split: Split, size: Size | None, speak: Speak | None) -> Example:
        clip, question = draw(rng, split, size)
        return _conversation(kind, rng, split, [question], clip)

    return build


def _clip_word(rng: Rng, split: Split, size: Size | None, speak: Speak | None) -> Example:
    if speak is None:
        raise ValueError("clip_word needs speech: hand in speak, a function from a text to its sound")
    clip, question = word_question(rng, split, size, speak)
    return _conversation("clip_word", rng, split, [question], clip)


_BUILDERS: dict[str, Builder] = {
    **{kind: _picture(kind, partial(pictures.picture_question, kind)) for kind in pictures.PICTURES},
    "read_word": _picture("read_word", partial(reading, "read_word")),
    "read_line": _picture("read_line", partial(reading, "read_line")),
    "chart": _picture("chart", chart_question),
    "ground": _picture("ground", grounding),
    "picture_chat": _picture_chat,
    "picture_beyond": _picture_beyond,
    **{kind: _words(kind, ask) for kind, ask in _WORDS.items()},
    "talk_facts": _facts,
    **{kind: _clip(kind, partial(clips.clip_question, kind)) for kind in clips.SILENT},
    "clip_tone": _clip("clip_tone", tone_question),
    "clip_word": _clip_word,
}

# How often each kind should be drawn, relative to the others.
KINDS: dict[str, float] = {
    "picture_what": 1.5,
    "picture_list": 1.8,
    "picture_color": 1.5,
    "picture_where": 1.2,
    "picture_exists": 1.0,
    "picture_total": 0.6,
    "picture_describe": 1.0,
    "picture_count": 1.5,
    "picture_relation": 1.5,
    "picture_size": 0.8,
    "picture_arrow": 0.3,
    "picture_chat": 1.2,
    "picture_beyond": 0.5,
    "read_word": 4.0,
    "read_line": 4.0,
    "chart": 2.5,
    "ground": 3.5,
    "talk_small": 1.0,
    "talk_help": 0.7,
    "talk_beyond": 2.0,
    "talk_facts": 3.0,
    "talk_unclear": 0.3,
    "talk_no_picture": 0.4,
    "talk_no_sound": 0.1,
    "clip_motion": 1.0,
    "clip_when": 1.0,
    "clip_order": 1.5,
    "clip_flash": 0.7,
    "clip_tone": 2.0,
}
# Kinds that need `speak`.
SPEECH_KINDS: dict[str, float] = {"clip_word": 2.0}


def sample(kind: str, seed: int, split: Split, size: Size | None = None, speak: Speak | None = None) -> Example:
    """The example of these numbers, always the same.

    size: (height, width) of its picture, each at least SHORTEST_SIDE, or of its clip scaled to what clips may have;
        random where None.
    speak: a text to its speech, float32 [N] at 16 kHz without long silence around it; kinds of SPEECH_KINDS need it.
    """
    if kind not in _BUILDERS:
        raise ValueError(f"no kind {kind!r}: choose from {', '.join((*KINDS, *SPEECH_KINDS))}")
    if size is not None and min(size) < SHORTEST_SIDE:
        raise ValueError(f"size {size} is too small: each side wants at least {SHORTEST_SIDE} pixels")
    return _BUILDERS[kind](generator(kind, split, seed), split, size, speak)

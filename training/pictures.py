"""Pictures of objects, each drawn for the question that is asked about it.

`python -m training.pictures --sheet FILE.png` draws examples with their questions and answers to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from training.canvas import look_of
from training.objects import Thing, shapes
from training.picture_questions import (
    are,
    ask_color,
    ask_describe,
    ask_exists,
    ask_list,
    ask_total,
    ask_what,
    ask_where,
    details_of,
)
from training.scenes import (
    Scene,
    another_color,
    arrange,
    counting_scene,
    cross_scene,
    inside_scene,
    random_looks,
    random_scene,
    random_size,
    random_zones,
    twins_scene,
)
from training.wording import Question, Size, Split, article, choose, counted, in_split, phrase, plural, sentence

Rng = np.random.Generator
Asked = tuple[Scene, Question]
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
SIDES = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under", "underneath"),
}


def _count(rng: Rng, split: Split, size: Size | None) -> Asked:
    count = int(rng.choice((0, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6)))
    scene, look = counting_scene(rng, split, size, count)
    total = sum(item.name == look.thing.name for item in scene.items)
    name, number = (look.thing.name, total) if total <= 6 and rng.random() < 0.5 else (look.noun, count)
    many = plural(name)
    if rng.random() < 0.15:
        asked = number if rng.random() < 0.5 else int(rng.integers(2, 7))
        if asked > 1 and number > 0:
            text = phrase(rng, split, (f"Are there {counted(asked, name)}?", f"Do you see {counted(asked, name)}?"))
            yes = "Yes" if asked == number else "No"
            return scene, Question(
                text, f"{yes}, there {are(number)} {counted(number, name)}.", details={"count": number}
            )
    text = phrase(rng, split, (
        f"How many {many} are there?", f"How many {many} do you see?", f"How many {many} are in the picture?", f"Count the {many}.",
        f"How many {many} can you see?", f"What is the number of {many}?", f"Please count the {many}.", f"How many {many}?",
        f"Can you count the {many}?", f"How many {many} does the picture show?",
    ))  # fmt: skip
    return scene, Question(text, f"There {are(number)} {counted(number, name)}.", details={"count": number})


def _relation(rng: Rng, split: Split, size: Size | None) -> Asked:
    if rng.random() < 0.25:
        return _inside(rng, split, size)
    scene, neighbours = cross_scene(rng, split, size)
    anchor = scene.items[0]
    name = scene.reference(rng, anchor)
    direction = choose(rng, tuple(neighbours)) if rng.random() < 0.85 else choose(rng, tuple(OPPOSITE))
    said = phrase(rng, split, SIDES[direction])
    other = neighbours.get(direction)
    dice = rng.random()
    if other is None or dice < 0.5:
        text = phrase(rng, split, (
            f"What is {said} the {name}?", f"What do you see {said} the {name}?", f"Which object is {said} the {name}?",
            f"What can you see {said} the {name}?", f"What's {said} the {name}?", f"Tell me what is {said} the {name}.",
        ))  # fmt: skip
        if other is None:
            return scene, Question(text, f"There is nothing {direction} the {name}.")
        return scene, Question(text, f"{sentence(article(other.noun))} is {direction} the {name}.")
    first = scene.reference(rng, other)
    if dice < 0.75:
        truth = direction if rng.random() < 0.5 else OPPOSITE[direction]
        said = phrase(rng, split, SIDES[truth])
        text = phrase(rng, split, (f"Is the {first} {said} the {name}?", f"Do you see the {first} {said} the {name}?",
                                   f"The {first} is {said} the {name}, right?"))  # fmt: skip
        return scene, Question(text, f"{'Yes' if truth == direction else 'No'}, the {first} is {direction} the {name}.")
    text = phrase(rng, split, (
        f"Where is the {first} relative to the {name}?", f"Where is the {first} compared to the {name}?",
        f"How does the {first} lie relative to the {name}?", f"Seen from the {name}, where is the {first}?",
        f"On which side of the {name} is the {first}?",
    ))  # fmt: skip
    return scene, Question(text, f"The {first} is {direction} the {name}.")


def _inside(rng: Rng, split: Split, size: Size | None) -> Asked:
    scene = inside_scene(rng, split, size)
    holder, inner, *others = scene.items
    name, thing = scene.reference(rng, holder), scene.reference(rng, inner)
    dice = rng.random()
    if dice < 0.6:
        text = phrase(rng, split, (f"What is inside the {name}?", f"What is in the {name}?", f"What does the {name} contain?",
                                   f"Which object is inside the {name}?", f"What do you see inside the {name}?"))  # fmt: skip
        return scene, Question(text, f"{sentence(article(inner.noun))} is inside the {name}.")
    if dice < 0.8 and others:
        thing = scene.reference(rng, others[0])
        text = phrase(rng, split, (f"Is the {thing} inside the {name}?", f"Is the {thing} in the {name}?"))
        return scene, Question(text, f"No, the {thing} is not inside the {name}.")
    text = phrase(rng, split, (f"Is the {thing} inside the {name}?", f"Is the {thing} in the {name}?"))
    return scene, Question(text, f"Yes, the {thing} is inside the {name}.")


def _size(rng: Rng, split: Split, size: Size | None) -> Asked:
    """Which is bigger; with a colour where two things differ in size and colour only."""
    size = size or random_size(rng)
    while True:
        count = int(rng.choice((2, 2, 3)))
        looks = random_looks(rng, split, count)
        twins = looks[0].thing.paintable and rng.random() < 0.35
        if twins:
            looks[1] = look_of(rng, looks[0].thing, another_color(rng, looks[0].color))
            if not in_split(f"{looks[0].noun} {looks[1].noun}", split):
                continue
        sizes = [(0.42, 0.6), (0.16, 0.24), (0.16, 0.24)][:count]
        scene = arrange(rng, split, size, looks, random_zones(rng, count), sizes)
        if scene is None or scene.items[0].area < 2.2 * max(item.area for item in scene.items[1:]):
            continue
        big, small = scene.items[:2]
        first, second = scene.reference(rng, big), scene.reference(rng, small)
        if twins and rng.random() < 0.6 and count == 2:
            item, word = (big, choose(rng, ("big", "bigger", "large"))) if rng.random() < 0.5 else (
                small, choose(rng, ("small", "smaller", "little")))  # fmt: skip
            text = phrase(
                rng, split, (f"What color is the {word} {item.name}?", f"Which color does the {word} {item.name} have?")
            )
            return scene, Question(text, f"The {word} {item.name} is {item.look.color}.")
        pair = (first, second) if rng.random() < 0.5 else (second, first)
        dice = rng.random()
        if dice < 0.5 or (count == 2 and dice < 0.65):
            item, words = (first, ("bigger", "larger")) if rng.random() < 0.5 else (second, ("smaller",))
            word = choose(rng, words)
            text = phrase(rng, split, (
                f"Which is {word}, the {pair[0]} or the {pair[1]}?", f"What is {word}, the {pair[0]} or the {pair[1]}?",
                f"Is the {pair[0]} or the {pair[1]} {word}?", f"Which one is {word}: the {pair[0]} or the {pair[1]}?",
            ))  # fmt: skip
            return scene, Question(text, f"The {item} is {words[0]}.")
        if dice < 0.75:
            text = phrase(rng, split, ("What is the biggest object?", "Which object is the biggest?", "What is the largest thing?",
                                       "Which thing is the largest?"))  # fmt: skip
            return scene, Question(text, f"The {big.noun} is the biggest.")
        asked = choose(rng, ("bigger", "smaller"))
        truth = "bigger" if pair[0] == first else "smaller"
        text = phrase(
            rng,
            split,
            (f"Is the {pair[0]} {asked} than the {pair[1]}?", f"Does the {pair[0]} look {asked} than the {pair[1]}?"),
        )
        return scene, Question(
            text, f"{'Yes' if asked == truth else 'No'}, the {pair[0]} is {truth} than the {pair[1]}."
        )


def _arrow(rng: Rng, split: Split, size: Size | None) -> Asked:
    arrow: Thing = next(shape for shape in shapes() if shape.name == "arrow")
    size = size or random_size(rng)
    while True:
        turn = int(rng.integers(4))
        look = look_of(rng, arrow, turn_deg=90 * turn + int(rng.choice((0, 0, -6, 6))))
        zones = random_zones(rng, 1)
        if not in_split(f"{look.noun} {turn} {zones[0]}", split):
            continue
        scene = arrange(rng, split, size, [look], zones)
        if scene:
            text = phrase(rng, split, ("Which way does the arrow point?", "Where does the arrow point?", "In which direction does the arrow point?",
                                       "What direction is the arrow pointing?", "Is the arrow pointing left, right, up or down?"))  # fmt: skip
            return scene, Question(text, f"The arrow points {('right', 'up', 'left', 'down')[turn]}.")


GENERAL = (ask_list, ask_color, ask_where, ask_exists, ask_total)


def _about(
    asks: tuple[Callable[[Rng, Split, Scene], Question | None], ...], counts: tuple[int, ...], twins: float = 0.0
):
    """A builder that draws scenes until one of `asks` has a question about it."""

    def build(rng: Rng, split: Split, size: Size | None) -> Asked:
        while True:
            scene = twins_scene(rng, split, size) if rng.random() < twins else random_scene(rng, split, size, counts)
            question = choose(rng, asks)(rng, split, scene)
            if question:
                return scene, question

    return build


PICTURES: dict[str, Callable[[Rng, Split, Size | None], Asked]] = {
    "picture_what": _about((ask_what,), (1,)),
    "picture_list": _about((ask_list,), (0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4)),
    "picture_color": _about((ask_color,), (0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 4, 4), twins=0.2),
    "picture_where": _about((ask_where,), (1, 2, 2, 3, 4), twins=0.2),
    "picture_exists": _about((ask_exists,), (0, 1, 1, 2, 2, 2, 3, 3, 4, 4), twins=0.1),
    "picture_total": _about((ask_total,), (0, 1, 2, 3, 4, 5, 6)),
    "picture_describe": _about((ask_describe,), (1, 2, 2, 3)),
    "picture_count": _count,
    "picture_relation": _relation,
    "picture_size": _size,
    "picture_arrow": _arrow,
}


def picture_question(kind: str, rng: Rng, split: Split, size: Size | None = None) -> tuple[np.ndarray, Question]:
    """Pixels uint8 [H, W, 3] and a question of one of the kinds of PICTURES."""
    scene, question = PICTURES[kind](rng, split, size)
    return scene.pixels(rng, split), replace(question, details={**details_of(scene), **question.details})


def question_only(kind: str, rng: Rng, split: Split) -> str:
    """The words of a picture question, for conversations in which no picture was shown."""
    return PICTURES[kind](rng, split, (112, 112))[1].text


def picture_conversation(rng: Rng, split: Split, size: Size | None, count: int) -> tuple[np.ndarray, list[Question]]:
    """A picture and `count` different questions about it, for follow-ups."""
    while True:
        scene = (
            twins_scene(rng, split, size) if rng.random() < 0.15 else random_scene(rng, split, size, (1, 2, 3, 3, 4))
        )
        questions: dict[str, Question] = {}
        for _ in range(4 * count):
            question = choose(rng, (*GENERAL, ask_what, ask_describe))(rng, split, scene)
            if question and question.answer not in questions:
                questions[question.answer] = replace(question, details={**details_of(scene), **question.details})
            if len(questions) == count:
                return scene.pixels(rng, split), list(questions.values())


if __name__ == "__main__":
    from training.sheet import draw_pictures, run

    run("Draw a contact sheet of picture examples.", draw_pictures, list(PICTURES))

"""What can be asked about a scene, and the one canonical answer to each kind of question."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from training.canvas import Look, look_of
from training.scenes import PLACES, Scene, Zone, another_color, random_thing
from training.wording import Question, Split, article, choose, counted, listed, phrase, plural

Rng = np.random.Generator
CATEGORIES = {
    "shape": "shape", "animal": "animal", "food": "food", "vehicle": "vehicle", "tool": "tool", "clothes": "piece of clothing",
    "place": "building", "body": "thing", "household": "object", "nature": "thing",
}  # fmt: skip
LIST_WORDINGS = (
    "What is in the picture?", "What do you see?", "What can you see?", "What is in this picture?", "What's in the image?",
    "What does the picture show?", "List the objects.", "What objects are there?", "Which things are in the picture?",
    "What things do you see?", "Tell me what you see.", "Name everything in the picture.", "What is there?",
    "What do you see in this picture?", "What is in the photo?", "What's in front of the camera?", "Name the objects.",
    "What does this show?", "What is on the screen?", "List everything that you can see.",
)  # fmt: skip


def details_of(scene: Scene) -> dict[str, Any]:
    return {
        "size": scene.size,
        "objects": [{"label": item.noun, "box": item.box, "zone": item.zone} for item in scene.items],
        "background": scene.background.color,
        "style": scene.background.style,
        "items": scene.listing(),
    }


def _absent(rng: Rng, scene: Scene) -> Look:
    """Something that is not there; often only the colour or only the shape is wrong."""
    names, nouns = [item.name for item in scene.items], {item.noun for item in scene.items}
    painted = [item for item in scene.items if item.look.color]
    if painted and rng.random() < 0.4:
        item = choose(rng, painted)
        look = look_of(rng, item.look.thing, another_color(rng, item.look.color))
        if look.noun not in nouns:
            return look
    return look_of(rng, random_thing(rng, names))


def absent_name(rng: Rng, scene: Scene) -> str:
    look = _absent(rng, scene)
    here = any(item.name == look.thing.name for item in scene.items)
    return look.noun if here or rng.random() < 0.4 else look.thing.name


def ask_what(rng: Rng, split: Split, scene: Scene) -> Question | None:
    if len(scene.items) != 1:
        return None
    item = scene.items[0]
    kind = CATEGORIES[item.look.thing.category]
    text = phrase(rng, split, (
        "What is this?", "What is that?", "What's this?", "What am I looking at?", "What is shown here?", "What object is this?",
        "Name this object.", "What do you call this?", "Do you know what this is?", "Tell me what this is.", "Identify this.",
        "What am I holding?", "What am I showing you?", "Can you see what this is?", "What's in front of you?",
        f"What {kind} is this?", f"What kind of {kind} is this?", f"Which {kind} is this?",
    ))  # fmt: skip
    return Question(text, f"It is {article(item.noun)}.")


def ask_list(rng: Rng, split: Split, scene: Scene) -> Question | None:
    if any(item.zone is None for item in scene.items):
        return None
    if len(scene.items) > 1 and rng.random() < 0.12:
        text = phrase(
            rng,
            split,
            (
                "What is this?",
                "What is that?",
                "What am I looking at?",
                "What is shown here?",
                "What am I showing you?",
            ),
        )
    else:
        text = phrase(rng, split, LIST_WORDINGS)
    if not scene.items:
        return Question(text, "I do not see any object.")
    nouns = [article(item.noun) for item in scene.in_reading_order()]
    orders = (f"I see {listed(order)}." for order in itertools.permutations(nouns))
    return Question(text, f"I see {listed(nouns)}.", tuple(orders))


def ask_describe(rng: Rng, split: Split, scene: Scene) -> Question | None:
    if any(item.zone is None for item in scene.items) or not 0 < len(scene.items) <= 3:
        return None
    parts = [f"{article(item.noun)} {PLACES[item.zone]}" for item in scene.in_reading_order() if item.zone]
    color = scene.background.color
    if scene.background.style == "plain" and not color:
        return None  # a plain colour without a plain name
    end = f" The background is {color}." if color else ""
    text = phrase(rng, split, (
        "Describe the picture.", "Describe this picture.", "Describe what you see.", "Describe the image.", "Please describe it.",
        "Can you describe the picture?", "Give me a description of the picture.", "Describe the scene.", "Describe this for me.",
        "Tell me about this picture.", "What does the scene look like?", "Explain what is where in the picture.",
    ))  # fmt: skip
    orders = (f"I see {listed(order)}.{end}" for order in itertools.permutations(parts))
    return Question(text, f"I see {listed(parts)}.{end}", tuple(orders))


def ask_color(rng: Rng, split: Split, scene: Scene) -> Question | None:
    known = [item for item in scene.items if item.look.known_color]
    unique = [item for item in known if sum(other.name == item.name for other in scene.items) == 1]
    dice = rng.random()
    if dice < 0.12 or not scene.items:
        name = absent_name(rng, scene) if not known else random_thing(rng, [item.name for item in scene.items]).name
        text = phrase(
            rng, split, (f"What color is the {name}?", f"Which color does the {name} have?", f"Is the {name} red?")
        )
        return Question(text, f"I do not see {article(name)}.")
    if dice < 0.25 and scene.background.color:
        text = phrase(rng, split, (
            "What color is the background?", "What is the background color?", "Which color is behind the objects?",
            "What color does the background have?",
        ))  # fmt: skip
        return Question(text, f"The background is {scene.background.color}.")
    if dice < 0.45:
        colors = [item.look.known_color for item in scene.items]
        single = [item for item in known if item.look.color and colors.count(item.look.known_color) == 1]
        if single and None not in colors:
            item = choose(rng, single)
            color = item.look.color
            text = phrase(rng, split, (
                f"What is {color}?", f"Which object is {color}?", f"What is the {color} thing?", f"Which thing is {color}?",
                f"What {color} thing do you see?", f"What is the {color} object?",
            ))  # fmt: skip
            return Question(text, f"The {item.name} is {color}.")
    if not unique:
        return None
    item = choose(rng, unique)
    name, color = item.name, item.look.known_color
    if dice > 0.8:
        asked = color if rng.random() < 0.5 else another_color(rng, color)
        text = phrase(rng, split, (
            f"Is the {name} {asked}?", f"Is it {article(f'{asked} {name}')}?",
            f"Is the color of the {name} {asked}?", f"The {name} is {asked}, right?", f"Do you see that the {name} is {asked}?",
        ))  # fmt: skip
        return Question(text, f"{'Yes' if asked == color else 'No'}, the {name} is {color}.")
    options = (
        f"What color is the {name}?", f"Which color is the {name}?", f"What is the color of the {name}?", f"Tell me the color of the {name}.",
        f"What color does the {name} have?", f"The {name} has which color?", f"Can you name the color of the {name}?",
        f"What's the color of the {name}?",
    )  # fmt: skip
    if len(scene.items) == 1 and rng.random() < 0.3:
        text = phrase(
            rng, split, ("What color is it?", "What color is this?", "Which color is it?", "What color does this have?")
        )
    else:
        text = phrase(rng, split, options)
    return Question(text, f"The {name} is {color}.")


def _true_places(zone: Zone) -> list[str]:
    """What may be said of something in `zone`: in the top left is also at the top and on the left."""
    row, column = zone
    return [PLACES[zone], *([PLACES[row, 1]] if row != 1 else []), *([PLACES[1, column]] if column != 1 else [])]


def _false_places(zone: Zone) -> list[str]:
    return [place for place in PLACES.values() if place not in _true_places(zone)]


def ask_where(rng: Rng, split: Split, scene: Scene) -> Question | None:
    if rng.random() < 0.12 or not scene.items:
        name = absent_name(rng, scene)
        text = phrase(
            rng, split, (f"Where is the {name}?", f"Where do you see the {name}?", f"Where can I find the {name}?")
        )
        return Question(text, f"I do not see {article(name)}.")
    item = choose(rng, scene.items)
    if item.zone is None:
        return None
    name = scene.reference(rng, item)
    here = PLACES[item.zone]
    if rng.random() < 0.2:
        asked = choose(rng, _true_places(item.zone) if rng.random() < 0.5 else _false_places(item.zone))
        text = phrase(
            rng,
            split,
            (f"Is the {name} {asked}?", f"Is the {name} {asked} of the picture?", f"Do you see the {name} {asked}?"),
        )
        return Question(text, f"{'Yes' if asked in _true_places(item.zone) else 'No'}, the {name} is {here}.")
    rivals = [other.zone for other in scene.items if other is not item and other.zone]
    if rng.random() < 0.25 and not any(here in _true_places(zone) for zone in rivals):
        text = phrase(
            rng,
            split,
            (
                f"What is {here}?",
                f"What do you see {here}?",
                f"What is {here} of the picture?",
                f"Which object is {here}?",
            ),
        )
        return Question(text, f"The {item.noun} is {here}.")
    text = phrase(rng, split, (
        f"Where is the {name}?", f"Where's the {name}?", f"Where do you see the {name}?", f"Where in the picture is the {name}?",
        f"In which part of the picture is the {name}?", f"Where can I find the {name}?", f"Tell me where the {name} is.",
        f"What is the position of the {name}?", f"On which side is the {name}?",
    ))  # fmt: skip
    return Question(text, f"The {name} is {here}.")


def ask_exists(rng: Rng, split: Split, scene: Scene) -> Question | None:
    if scene.items and rng.random() < 0.5:
        name, yes = scene.reference(rng, choose(rng, scene.items)), True
    else:
        name, yes = absent_name(rng, scene), False
    text = phrase(rng, split, (
        f"Is there {article(name)}?", f"Is there {article(name)} in the picture?", f"Do you see {article(name)}?",
        f"Can you see {article(name)}?", f"Does the picture show {article(name)}?", f"Is {article(name)} in the picture?",
        f"Are there any {plural(name)}?", f"Do you see any {plural(name)}?", f"Is there {article(name)} here?",
        f"Does this picture contain {article(name)}?",
    ))  # fmt: skip
    return Question(
        text, f"Yes, there is {article(name)}." if yes else f"No, there is no {name}.", details={"yes": yes}
    )


def ask_total(rng: Rng, split: Split, scene: Scene) -> Question | None:
    text = phrase(rng, split, (
        "How many objects are there?", "How many things do you see?", "How many objects are in the picture?", "Count the objects.",
        "How many things are there?", "How many objects do you see?", "What is the number of objects?",
    ))  # fmt: skip
    return Question(
        text,
        f"There {are(len(scene.items))} {counted(len(scene.items), 'object')}.",
        details={"count": len(scene.items)},
    )


def are(count: int) -> str:
    return "is" if count == 1 else "are"

"""Boxes around objects, answered as Qwen2.5-VL answers: JSON, in pixels of the picture as the processor resizes it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from training.canvas import Box
from training.nano import NANO
from training.picture_questions import absent_name
from training.scenes import Item, Scene, counting_scene, random_scene, twins_scene
from training.wording import Question, Size, Split, choose, phrase, plural

Rng = np.random.Generator
PIXEL_FACTOR = 28  # patch × merge


def resized_size(size: Size) -> Size:
    """(height, width) of a picture of `size` after the checkpoint's processor."""
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    return smart_resize(*size, PIXEL_FACTOR, NANO.image_min_pixels, NANO.image_max_pixels)


def box_answer(boxes: Sequence[tuple[Box, str]]) -> str:
    return json.dumps([{"bbox_2d": list(box), "label": label} for box, label in boxes], separators=(",", ":"))


def scaled(box: Box, size: Size, resized: Size) -> Box:
    y, x = resized[0] / size[0], resized[1] / size[1]
    return round(box[0] * x), round(box[1] * y), round(box[2] * x), round(box[3] * y)


def grounding(rng: Rng, split: Split, size: Size | None) -> tuple[np.ndarray, Question]:
    """A picture, uint8 [H, W, 3], and a request for boxes: of one object, of all of a kind, or of everything."""
    dice = rng.random()
    if dice < 0.5:
        scene = twins_scene(rng, split, size) if rng.random() < 0.2 else random_scene(rng, split, size, (1, 2, 2, 3, 4))
        item = choose(rng, scene.items)
        name = scene.reference(rng, item)
        found = [(item, name)]
        if rng.random() < 0.08:
            name, found = absent_name(rng, scene), []
        text = _one(rng, split, name)
    elif dice < 0.75:
        scene, look = counting_scene(rng, split, size, int(rng.integers(1, 5)))
        alike = [item for item in scene.items if item.name == look.thing.name]
        name = look.thing.name if len(alike) <= 5 and rng.random() < 0.5 else look.noun
        found = [(item, name) for item in alike if name in (item.name, item.noun)]
        text = _several(rng, split, plural(name))
    else:
        scene = random_scene(rng, split, size, (1, 2, 3, 4))
        found = [(item, item.noun) for item in scene.items]
        text = phrase(rng, split, (
            "Detect all objects.", "Locate every object.", "Find all objects and give their boxes.", "Give the bounding boxes of all objects.",
            "Draw a box around each object.", "Mark everything you see.", "Where are the objects? Answer with boxes.",
        ))  # fmt: skip
    return _asked(rng, split, scene, found, text)


def _asked(
    rng: Rng, split: Split, scene: Scene, found: list[tuple[Item, str]], text: str
) -> tuple[np.ndarray, Question]:
    resized = resized_size(scene.size)
    boxes = sorted((scaled(item.box, scene.size, resized), label) for item, label in found)
    details = {
        "size": scene.size,
        "resized": resized,
        "items": scene.listing(),
        "style": scene.background.style,
        "boxes": [item.box for item, _ in found],
        "answer_boxes": [{"bbox_2d": list(box), "label": label} for box, label in boxes],
    }
    return scene.pixels(rng, split), Question(text, box_answer(boxes), details=details)


def _one(rng: Rng, split: Split, name: str) -> str:
    return phrase(rng, split, (
        f"Find the {name}.", f"Locate the {name}.", f"Give the bounding box of the {name}.", f"Detect the {name}.", f"Draw a box around the {name}.",
        f"Where is the {name}? Answer with a box.", f"Show me where the {name} is with a box.", f"Mark the {name}.", f"Box of the {name}.",
        f"Output the bounding box of the {name}.", f"Point out the {name} with a box.", f"Put a box around the {name}.",
    ))  # fmt: skip


def _several(rng: Rng, split: Split, names: str) -> str:
    return phrase(rng, split, (
        f"Find all {names}.", f"Locate every one of the {names}.", f"Detect all {names}.", f"Give the bounding boxes of the {names}.", f"Mark all {names}.",
        f"Draw a box around each of the {names}.", f"Where are the {names}? Answer with boxes.", f"Output the boxes of all {names}.",
    ))  # fmt: skip

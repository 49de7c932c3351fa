"""The generated worlds: repeatable, disjoint between training and tests, and true to what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from multimodal.media import Picture, VideoClip
from training import objects
from training.beyond import REFUSAL
from training.canvas import STYLES, background, extent, look_of, paste
from training.cells import CELL, COLOR_ID, LETTERS, UNKNOWN, classes, label_cells, scaled_items
from training.examples import KINDS, SPEECH_KINDS, Example, sample
from training.facts import a_fact
from training.grounding import resized_size
from training.lettering import FONTS
from training.objects import COLORS, SHAPES, debian_file, glyph_sprite, shapes, things
from training.pictures import PICTURES
from training.scenes import PLACES, random_scene
from training.sheet import hum
from training.talk import NO_CLIP, NO_PICTURE
from training.wording import NUMBERS, Split, article, generator, held_out, listed, phrase, plural

ALL_KINDS = (*KINDS, *SPEECH_KINDS)
SPLITS: tuple[Split, ...] = ("train", "test")


def needs(path: str) -> pytest.MarkDecorator:
    """These worlds are drawn from Debian packages, which a machine that does not train need not have."""
    try:
        debian_file(path)
        missing = False
    except FileNotFoundError:
        missing = True
    return pytest.mark.skipif(missing, reason=f"/{path} is not installed: {' '.join(objects.DEBIAN_PACKAGES)}")


pytestmark = [
    needs(objects.EMOJI_FONT),
    needs("usr/share/wordnet/data.noun"),
    *(needs(f"usr/share/fonts/{font}") for font in (*FONTS["train"], *FONTS["test"])),
]


def samples(
    kind: str, count: int, split: Split = "train", size: tuple[int, int] | None = (112, 140)
) -> Iterator[Example]:
    return (sample(kind, seed, split, size, hum) for seed in range(count))


def words_of(example: Example) -> list[str]:
    return [part for turn in example.turns for part in turn.content if isinstance(part, str)]


def picture_of(example: Example) -> np.ndarray:
    return next(part for turn in example.turns for part in turn.content if isinstance(part, Picture)).pixels


def clip_of(example: Example) -> VideoClip:
    return next(part for turn in example.turns for part in turn.content if isinstance(part, VideoClip))


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_seed_always_gives_the_same_example_and_another_seed_another(kind: str) -> None:
    def fingerprint(seed: int, split: Split) -> list[object]:
        example = sample(kind, seed, split, None, hum)
        parts: list[object] = []
        for part in (part for turn in example.turns for part in turn.content):
            if isinstance(part, Picture):
                parts.append(part.pixels.tobytes())
            elif isinstance(part, VideoClip):
                parts += [part.frames.tobytes(), part.audio.samples.tobytes() if part.audio else None]
            else:
                parts.append(part)
        return [*parts, example.spoken, example.answers, repr(example.details)]

    assert fingerprint(3, "train") == fingerprint(3, "train")
    assert any(fingerprint(3, "train") != fingerprint(seed, "train") for seed in (4, 5, 6))
    assert any(fingerprint(seed, "train") != fingerprint(seed, "test") for seed in (3, 4, 5))


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_turns_alternate_and_end_in_the_first_accepted_answer(kind: str) -> None:
    for split in SPLITS:
        for example in samples(kind, 12, split):
            assert example.kind == kind
            assert [turn.role for turn in example.turns] == ["user", "assistant"] * (len(example.turns) // 2)
            assert example.turns[-1].content == (example.answers[0],)
            assert all(
                text and text == text.strip() and "{" not in re.sub(r'\{"bbox', "", text) for text in words_of(example)
            )
            if example.spoken is not None:
                assert isinstance(example.turns[-2].content[example.spoken], str)


@pytest.mark.parametrize("size", [(224, 224), (168, 280), (336, 336), (112, 112), (112, 896)])
def test_pictures_have_the_size_asked_for(size: tuple[int, int]) -> None:
    for kind in (*PICTURES, "read_word", "read_line", "chart", "ground", "picture_chat", "picture_beyond"):
        for seed in range(3):
            assert picture_of(sample(kind, seed, "test", size)).shape == (*size, 3), kind


def test_there_are_enough_objects_shapes_and_colours() -> None:
    names = [thing.name for thing in things()]
    assert len(names) == len(set(names)) >= 200
    assert len(COLORS) >= 11 and len(SHAPES) >= 10
    assert not {*names} & {*SHAPES, *COLORS}
    assert all(thing.color is None or thing.color in COLORS for thing in things())
    for thing in things():
        for glyph in thing.glyphs:
            assert min(glyph_sprite(glyph).size) > 10, thing.name


def test_every_named_colour_is_nearest_to_itself_after_jitter() -> None:
    rng = generator("colors", "train", 0)
    table = {name: np.array(rgb) for name, rgb in COLORS.items()}
    for shape in shapes():
        for color in COLORS:
            look = look_of(rng, shape, color)
            nearest = min(table, key=lambda name: float(np.linalg.norm(table[name] - np.array(look.rgb))))
            assert nearest == color


def test_boxes_fit_tightly_around_what_is_drawn() -> None:
    for seed in range(60):
        rng = generator("boxes", "train", seed)
        scene = random_scene(rng, "train", (224, 280), (1, 2, 3), style="plain")
        bare = np.array(scene.background.image).astype(int)
        for item in scene.items:
            image = scene.background.image.copy()
            paste(image, item.look, item.box)
            changed = np.abs(np.array(image).astype(int) - bare).max(-1) > 24
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            left, top, right, bottom = item.box
            measured = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            assert np.abs(measured - (left, top, right, bottom)).max() <= 4, (item.noun, item.box, measured)
            width, height = extent(item.look, max(right - left, bottom - top))
            assert abs(width - (right - left)) <= 1 and abs(height - (bottom - top)) <= 1


def test_objects_stand_apart_and_inside_the_picture() -> None:
    for split in SPLITS:
        for kind in ("picture_count", "picture_list", "picture_size", "picture_total"):
            for example in samples(kind, 30, split):
                height, width = example.details["size"]
                boxes = [thing["box"] for thing in example.details["objects"]]
                for i, (left, top, right, bottom) in enumerate(boxes):
                    assert 0 <= left < right <= width and 0 <= top < bottom <= height
                    assert all(right <= a or c <= left or bottom <= b or d <= top for a, b, c, d in boxes[i + 1 :])


def test_counts_in_answers_are_the_numbers_of_boxes() -> None:
    for example in samples("picture_count", 150):
        objects_seen = [thing["label"] for thing in example.details["objects"]]
        said = re.search(r"there (?:is|are) (\w+) (.+)\.", example.answers[0], re.I)
        assert said
        number, noun = NUMBERS.index(said[1]), said[2]
        matching = [
            label
            for label in objects_seen
            if noun in (label, plural(label), label.split(" ", 1)[-1], plural(label.split(" ", 1)[-1]))
        ]
        assert len(matching) == number == example.details["count"], example.answers


def test_lists_name_every_object_once_and_accept_any_order() -> None:
    for example in samples("picture_list", 80):
        labels = [article(thing["label"]) for thing in example.details["objects"]]
        if not labels:
            assert example.answers == ("I do not see any object.",)
            continue
        assert f"I see {listed(labels)}." in example.answers
        assert len(set(example.answers)) == {1: 1, 2: 2, 3: 6, 4: 24}[len(labels)]


def test_positions_in_answers_are_where_the_boxes_are() -> None:
    checked = 0
    for example in samples("picture_where", 200):
        said = re.fullmatch(
            r"(?:Yes, |No, )?[Tt]he (.+) is (in the \w+(?: \w+)?|at the \w+|on the \w+)\.", example.answers[0]
        )
        if not said:
            assert example.answers[0].startswith("I do not see")
            continue
        height, width = example.details["size"]
        found = [
            thing
            for thing in example.details["objects"]
            if said[1] in (thing["label"], thing["label"].split(" ", 1)[-1])
        ]
        assert len(found) == 1
        left, top, right, bottom = found[0]["box"]
        row = int(np.searchsorted([0.38, 0.62], (top + bottom) / 2 / height))
        column = int(np.searchsorted([0.38, 0.62], (left + right) / 2 / width))
        assert PLACES[row, column] == said[2]
        checked += 1
    assert checked > 100


def test_relations_in_answers_hold_between_the_boxes() -> None:
    checked = 0
    for example in samples("picture_relation", 200):
        said = re.fullmatch(
            r"(?:Yes, the|No, the|The|An?) (.+) is (left of|right of|above|below) the (.+)\.", example.answers[0]
        )
        if not said:
            continue
        a, b = (
            next(t["box"] for t in example.details["objects"] if name in (t["label"], t["label"].split(" ", 1)[-1]))
            for name in (said[1], said[3])
        )
        assert {"left of": a[2] <= b[0], "right of": b[2] <= a[0], "above": a[3] <= b[1], "below": b[3] <= a[1]}[
            said[2]
        ]
        checked += 1
    assert checked > 80


def test_yes_and_no_come_about_equally_often() -> None:
    answers = [example.answers[0] for example in samples("picture_exists", 300, size=(112, 112))]
    assert 0.35 < np.mean([answer.startswith("Yes") for answer in answers]) < 0.65


def test_colours_in_answers_are_the_colours_of_the_pixels() -> None:
    rng = generator("pixels", "train", 1)
    for color, rgb in COLORS.items():
        for name in ("car", "balloon", "t-shirt"):
            thing = next(thing for thing in things() if thing.name == name)
            look = look_of(rng, thing, color, turn_deg=0)
            image = Image.new("RGB", (128, 128), (0, 255, 255))
            width, height = extent(look, 100)
            paste(image, look, (10, 10, 10 + width, 10 + height))
            pixels = np.array(image)[10 : 10 + height, 10 : 10 + width].reshape(-1, 3).astype(int)
            near = (np.abs(pixels - np.array(rgb)).max(-1) < 45).mean()
            assert near > 0.25, (name, color, near)


def test_grounding_answers_are_boxes_in_the_resized_picture() -> None:
    for split in SPLITS:
        for example in samples("ground", 60, split, None):
            boxes = json.loads(example.answers[0])
            details = example.details
            height, width = resized_size(details["size"])
            assert details["resized"] == (height, width) and height % 28 == width % 28 == 0
            assert boxes == details["answer_boxes"] and len(boxes) == len(details["boxes"])
            assert boxes == sorted(boxes, key=lambda box: (box["bbox_2d"], box["label"]))
            scale = np.array([width, height, width, height]) / np.array([*details["size"][::-1]] * 2)
            for box in details["boxes"]:
                assert min(np.abs(np.array(answer["bbox_2d"]) - box * scale).max() for answer in boxes) <= 0.5


def test_the_text_to_read_is_drawn_in_fonts_of_its_split() -> None:
    for split in SPLITS:
        for kind in ("read_word", "read_line"):
            for example in samples(kind, 40, split):
                assert example.details["font"] in FONTS[split]
                assert picture_of(example).std() > 4
    assert not {*FONTS["train"]} & {*FONTS["test"]}
    families = [{re.split(r"[-.]", font.split("/")[-1])[0] for font in FONTS[split]} for split in SPLITS]
    assert not families[0] & families[1]


def test_chart_answers_agree_with_the_values() -> None:
    for example in samples("chart", 200, size=(224, 280)):
        values = dict(zip(example.details["labels"], example.details["values"], strict=True))
        said = re.fullmatch(r"The value of (.+) is (\d+)\.", example.answers[0])
        if said:
            assert values[said[1]] == int(said[2])
        said = re.fullmatch(r"(.+) is the (highest|lowest), with (\d+)\.", example.answers[0])
        if said:
            assert values[said[1]] == int(said[3]) == (max if said[2] == "highest" else min)(values.values())
        said = re.fullmatch(r"(?:Yes|No), (.+) is (higher|lower) than (.+)\.", example.answers[0])
        if said:
            assert (values[said[1]] > values[said[3]]) == (said[2] == "higher")


def test_told_values_are_repeated_and_untold_ones_are_not_invented() -> None:
    known = unknown = 0
    for example in samples("talk_facts", 400):
        assert 2 <= len(example.turns) // 2 <= 7
        *before, answer = (turn.content[0] for turn in example.turns)
        value = example.details["value"]
        if example.details["known"]:
            known += 1
            assert isinstance(answer, str) and value in answer
            assert any(isinstance(text, str) and value.lower() in text.lower() for text in before)
        else:
            unknown += 1
            assert str(answer).startswith("You have not told me")
    assert known > 300 and unknown > 10


def test_values_and_combinations_of_the_test_split_do_not_occur_in_training() -> None:
    names = {split: {a_fact(generator("fact", split, seed), split).value for seed in range(1500)} for split in SPLITS}
    open_ended = {value for value in names["train"] & names["test"] if value.istitle() and len(value) > 3}
    closed = {*objects.COLORS} | {
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()[i] for i in range(7)
    }
    months = "January February March April May June July August September October November December".split()
    assert not {value for value in open_ended if not set(re.findall(r"[A-Za-z]+", value)) & {*closed, *months}}

    pairs = {
        split: {
            tuple(sorted(thing["label"] for thing in example.details["objects"]))
            for example in samples("picture_list", 400, split, (112, 112))
            if len(example.details["objects"]) > 1
        }
        for split in SPLITS
    }
    assert not pairs["train"] & pairs["test"]


def test_training_never_sees_the_wordings_kept_for_tests() -> None:
    options = tuple(f"wording {i}" for i in range(200))
    seen = {
        split: {phrase(generator("phrase", split, seed), split, options) for seed in range(800)} for split in SPLITS
    }
    assert not any(held_out(wording) for wording in seen["train"])
    assert {wording for wording in seen["test"] if held_out(wording)} and seen["test"] - {
        w for w in options if held_out(w)
    }


def test_questions_out_of_the_world_are_many_and_get_the_refusal() -> None:
    texts, templates = set(), set()
    for example in samples("talk_beyond", 600):
        texts.add(words_of(example)[-2].lower())
        templates.add(example.details["template"])
        assert example.answers == (REFUSAL,)
    assert len(texts) > 500 and len(templates) > 200
    assert templates & {example.details["template"] for example in samples("talk_beyond", 300, "test")} != templates


def test_a_picture_question_without_a_picture_asks_for_one() -> None:
    for example in samples("talk_no_picture", 20):
        assert all(isinstance(part, str) for turn in example.turns for part in turn.content)
        assert example.answers in ((NO_PICTURE,), (NO_CLIP,))


@pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if kind.startswith("clip")])
def test_clips_have_even_frames_at_two_a_second_and_sides_the_encoder_takes(kind: str) -> None:
    for size in (None, (336, 336), (168, 280)):
        for example in samples(kind, 12, "test", size):
            clip = clip_of(example)
            count, height, width, _ = clip.frames.shape
            assert count % 2 == 0 and 4 <= clip.duration_sec <= 11 and clip.duration_sec == count / 2
            assert height % 28 == width % 28 == 0 and max(height, width) <= 168 and min(height, width) >= 84
            assert np.array_equal(clip.times_sec, np.arange(count) / 2) and clip.fps == 2.0
            if clip.audio is not None:
                assert clip.audio.duration_sec == clip.duration_sec
    assert (clip_of(next(samples(kind, 1))).audio is not None) == (kind in ("clip_tone", "clip_word"))


def test_the_time_that_is_said_is_the_time_of_the_change() -> None:
    for example in samples("clip_when", 40):
        clip, at = clip_of(example), example.details["times_sec"][0]
        change = np.abs(np.diff(clip.frames.astype(int), axis=0)).mean((1, 2, 3))
        if np.median(change) < 0.5 * change.max():  # without strong grain
            assert (int(change.argmax()) + 1) / 2 == at
        assert f"at {'1 second' if at == 1 else f'{at:g} seconds'}." in example.answers[0]


def test_motion_goes_where_the_answer_says() -> None:
    checked = 0
    for example in samples("clip_motion", 80):
        directions = example.details["directions"]
        if len(directions) != 1:
            continue
        frames = clip_of(example).frames.astype(int)
        still = np.median(frames, axis=0)
        weight = (np.abs(frames - still).max(-1) > 40) * 1.0  # [T, H, W]
        if weight[0].sum() < 20 or weight[-1].sum() < 20:
            continue
        places = [np.argwhere(weight[i]).mean(0) for i in (0, -1)]
        down, right = places[1] - places[0]
        moved = {"to the left": -right, "to the right": right, "up": -down, "down": down}
        assert max(moved, key=lambda way: moved[way]) == directions[0]
        checked += 1
    assert checked > 30


def test_flashes_are_counted_right() -> None:
    words = ("once", "twice", "three times", "four times", "five times")
    for example in samples("clip_flash", 60):
        frames = clip_of(example).frames.astype(int)
        away = (np.abs(frames - frames[0]).max(-1) > 45).mean((1, 2))  # the first frame is before all flashes
        lit = np.flatnonzero(away > 0.01)
        assert [i / 2 for i in lit.tolist()] == example.details["times_sec"]
        assert example.answers[0].endswith(f" {words[example.details['count'] - 1]}.")
        times = example.details["times_sec"]
        assert len(times) == example.details["count"] and all(b - a >= 1.0 for a, b in pairwise(times))


@pytest.mark.parametrize("kind", ["clip_tone", "clip_word"])
def test_the_sound_lies_inside_the_time_of_the_object_that_the_answer_names(kind: str) -> None:
    named = 0
    for example in samples(kind, 60):
        details = example.details
        if "target" not in details:
            continue
        named += 1
        first, last = details["spans_sec"][details["objects"].index(details["target"])]
        clip = clip_of(example)
        assert clip.audio is not None
        start = details["times_sec"][0]
        assert first <= start < last
        samples_heard = np.abs(clip.audio.samples[int(start * 16_000) : int(last * 16_000)])
        assert samples_heard.max() > 0.1
        assert np.abs(clip.audio.samples[int(max(first, last - 0.05) * 16_000) : int(last * 16_000)]).max() < 0.1
    assert named > 40


def test_speech_is_asked_for_only_by_the_kinds_that_say_so() -> None:
    with pytest.raises(ValueError, match="speak"):
        sample("clip_word", 0, "train")
    spoken: list[str] = []
    sample("clip_word", 0, "train", speak=lambda text: spoken.append(text) or hum(text))
    assert len(spoken) >= 2
    with pytest.raises(ValueError, match="too small"):
        sample("picture_what", 0, "train", (56, 56))
    with pytest.raises(ValueError, match="no kind"):
        sample("picture_of_dorian_gray", 0, "train")


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_background_has_the_size_asked_for(style: str) -> None:
    for size in ((112, 112), (700, 300)):
        drawn = background(generator("background", "test", 5), "test", size, style=style)
        assert drawn.image.size == (size[1], size[0])
        assert (drawn.color is None) or style == "plain"


def test_words_are_put_together_rightly() -> None:
    assert [article(noun) for noun in ("cat", "orange car", "umbrella", "unicorn", "hourglass")] == [
        "a cat", "an orange car", "an umbrella", "a unicorn", "an hourglass",
    ]  # fmt: skip
    plurals = {"cat": "cats", "box": "boxes", "cherry": "cherries", "toy": "toys", "loaf of bread": "loaves of bread"}
    assert {noun: plural(noun) for noun in plurals} == plurals
    assert [plural(noun) for noun in ("red fox", "mouse", "cup of tea")] == ["red foxes", "mice", "cups of tea"]
    assert listed(["a", "b", "c"]) == "a, b and c"


DRAWN = [kind for kind in ALL_KINDS if not kind.startswith("talk")]


@pytest.mark.parametrize("kind", DRAWN)
def test_every_world_lists_what_it_draws_inside_its_pictures(kind: str) -> None:
    for example in samples(kind, 8, size=None):
        items = example.details["items"]
        if kind.startswith("clip"):
            clip = clip_of(example)
            assert len(items) == len(clip.frames) // 2 and all(pair[0]["name"] == "background" for pair in items)
            (height, width), listed_items = clip.frames.shape[1:3], [item for pair in items for item in pair]
        else:
            (height, width), listed_items = picture_of(example).shape[:2], items
        for item in listed_items:
            left, top, right, bottom = item["box"]
            edge = 0.12 * max(height, width)  # letters of a wide label, or in a turned picture, may stick out
            assert -edge <= left <= right <= width + edge and -edge <= top <= bottom <= height + edge, item
            assert item.get("name", "text") in classes() and item.get("color") in (None, *COLORS)
            assert "name" in item or len(item["character"]) == 1


def test_the_class_of_an_arrow_says_where_it_points() -> None:
    for example in samples("picture_arrow", 30):
        (arrow,) = example.details["items"][1:]
        assert arrow["name"] == "arrow " + example.answers[0].removesuffix(".").split()[-1]


def test_cells_know_the_smallest_item_they_show_its_box_and_its_letters() -> None:
    items = [
        {"name": "background", "color": "white", "box": (0, 0, 112, 84)},
        {"name": "circle", "color": "red", "box": (0, 0, 84, 84)},
        {"name": "cat", "color": None, "box": (28, 28, 56, 56)},
        {"character": "H", "box": (84, 0, 97, 20)},
        {"character": "i", "box": (99, 0, 104, 20)},
        {"character": "!", "box": (105, 0, 110, 20)},
    ]
    labels, letters = label_cells(items, 3, 4)
    names = {number: name for name, number in classes().items()}
    table = [names[kind] for kind in labels[:, 0].tolist()]
    assert table == [
        *["circle"] * 3,
        "background",
        "circle",
        "cat",
        "circle",
        "background",
        *["circle"] * 3,
        "background",
    ]
    assert labels[0, 1] == COLOR_ID["red"] and labels[3, 1] == COLOR_ID["white"] and labels[5, 1] == UNKNOWN
    assert labels[0, 2:].tolist() == [28, 28, 84, 84, 3, 4] and labels[5, 2:6].tolist() == [0, 0, 28, 28]
    assert letters[3].tolist() == [1 << LETTERS.index("H"), 1 << LETTERS.index("i") | 1 << len(LETTERS)]
    assert not letters[:3].any()
    unknown, sets = label_cells(None, 3, 4)
    assert (unknown[:, :6] == UNKNOWN).all() and (sets == -1).all() and unknown[0, 6:].tolist() == [3, 4]


def test_listed_letters_stand_where_there_is_ink() -> None:
    found = []
    for example in samples("read_word", 40, size=(168, 280)):
        pixels = picture_of(example).astype(float)
        for item in example.details["items"]:
            if "character" in item and item["character"].isalnum():
                left, top, right, bottom = (round(side) for side in item["box"])
                found.append(pixels[max(top, 0) : bottom, max(left, 0) : right].std((0, 1)).max() > 20)
    assert len(found) > 80 and np.mean(found) > 0.97


def test_nothing_is_smaller_than_the_encoder_can_see() -> None:
    for kind in ("picture_count", "picture_relation", "picture_size", "ground"):
        for example in samples(kind, 25, size=None):
            height, width = example.details["size"]
            factor = resized_size((height, width))[1] / width
            for item in scaled_items(example.details["items"][1:], factor, factor):
                left, top, right, bottom = item["box"]
                assert max(right - left, bottom - top) >= 0.6 * CELL, (kind, item)

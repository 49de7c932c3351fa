"""How answers are scored: exact sentences, times within half a second, characters, words, boxes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from training.recognition import edit_distance, normalize

TIME_TOLERANCE_SEC = 0.5
TIMED = ("video", "audiovisual", "audiovisual_scrambled")
DICTATION = ("dictation_seen", "dictation_unseen")
# British endings as Americans spell them: WordNet has both, and they sound the same.
SPELLINGS = (
    (re.compile(r"is(e|ed|es|er|ers|ing|ation|ations)$"), r"iz\1"),
    (re.compile(r"(?<=\w{3})our(s|ed|ing|able|ful|less|ite|ites)?$"), r"or\1"),
    (re.compile(r"(?<=[bct])re(s?)$"), r"er\1"),
    (re.compile(r"^grey"), "gray"),
    (re.compile(r"^disc$"), "disk"),
)


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


def spoken_words(text: str) -> list[str]:
    """The words of `text` as they are compared: numbers in words, no punctuation, one spelling of British and American
    words."""
    words = normalize(text)
    for ending, american in SPELLINGS:
        words = [ending.sub(american, word) for word in words]
    return words


def word_errors(task: str, kind: str, text: str, found: str) -> Outcome:
    """Word errors of `found` against the words of `text`."""
    words = spoken_words(text)
    errors = edit_distance(words, spoken_words(found))
    return Outcome(task, kind, errors, len(words), errors == 0, text, found)


def score(
    task: str, kind: str, answer: str, accepted: Sequence[str], boxes: Sequence[dict] = (), spoken: str = ""
) -> Outcome:
    """The outcome of one answer, by the rule of its task. accepted: answers that are right, the canonical one first;
    boxes: what grounding should find; spoken: what was asked aloud, told beside the expected answer."""
    if task in DICTATION:
        return word_errors(task, kind, accepted[0], answer)
    if task == "reading":
        errors, expected = min((edit_distance(right, answer), right) for right in accepted)
        return Outcome(task, kind, errors, len(expected), errors == 0, expected, answer)
    if task == "grounding":
        part, whole = box_score(answer, boxes)
        return Outcome(task, kind, part, whole, part == whole, accepted[0], answer)
    right = same_answer(answer, accepted, TIME_TOLERANCE_SEC if task in TIMED else 0.0)
    expected = f"{spoken} → {accepted[0]}" if spoken else accepted[0]
    return Outcome(task, kind, float(right), 1.0, right, expected, answer)

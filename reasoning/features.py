"""What a request's wording says about the work it asks for: the cues of `reasoning.cues`, weighted and added up.
Pure, and bounded by `READ_CHARS`, so that routing stays well under a millisecond."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from reasoning.cues import NUMBER_WORD, Cue, load_cues

Domain = Literal["mathematics", "logic", "code", "planning"]
DOMAINS: tuple[Domain, ...] = ("mathematics", "logic", "code", "planning")

# A task is stated at the start and asked at the end; a pasted document between them says little.
READ_CHARS = 480
STATEMENT_WEIGHT = -0.9
LONG_CHARS = 240
LONG_WEIGHT = 0.3

WORD = re.compile(r"[a-z0-9_'+#]+")
NUMBER = re.compile(rf"\d+(?:[.,]\d+)*|\b(?:{NUMBER_WORD})\b|\ba (?:third|quarter|fifth|tenth)\b")
HAN_NUMBER = re.compile(r"[零一二三四五六七八九十百千万两]+(?=[加减乘除分个只年天元岁次条斤])")
HAN = re.compile(r"[\u3400-\u9fff]")
QUESTION = re.compile(
    r"[?？]|^(?:what|which|who|how|why|when|where|is|are|does|do|can|could|should|will)\b"
    r"|[,.] how (?:many|much|far|fast|old|long)\b"  # as speech is written down, without its mark
    r"|多少|几|什么|怎么|谁|哪|为何|吗|是否|请"
)
STATEMENT = re.compile(r"(?:i|i'm|i've|my|we|he|she|they|there|it|the|that|this|let's|thanks)\b|我|他|她|这|今天|明天")
GROUNDING = re.compile(
    r"\bbounding box|\bboxes\b|\bbbox|\bcoordinates\b|\blocate\b|\bpoint (?:to|at|out)\b"
    r"|\bwhere (?:exactly )?(?:is|are)\b"
    r"|框出|标出|位置|坐标|在哪"
)
READING = re.compile(
    r"\bocr\b|\btranscribe\b|\bmarkdown\b|\bextract\b"
    r"|\b(?:read|write|type|copy)(?: out| down| off)?(?: all| every)?(?: of)?(?: the| this| that| its)?"
    r" (?:text|words?|page|document|scan|receipt|invoice|form|table|label|letter|sign|handwriting)\b"
    r"|\bwhat does (?:it|(?:the|this|that) \w+) say\b"
    r"|识别.{0,6}文字|提取|抄写|写了什么|写着什么"
)
FOLLOW_UP = re.compile(
    r"(?:and|now|then|so|but|what about|how about|what if|why|again|instead|are you sure|check|explain|double|try|"
    r"continue)\b"
    r"|那|如果|再|为什么|确定|换成|继续|然后|检查"
)
FOLLOW_UP_CHARS = 90


@dataclass(frozen=True)
class Features:
    """scores: what each feature adds. found: the words that were counted, by feature. numbers: how many the text has.

    chinese: whether it is written in Chinese. chars: its whole length.
    """

    scores: dict[str, float]
    found: dict[str, tuple[str, ...]]
    numbers: int
    chinese: bool
    chars: int


def read_features(text: str) -> Features:
    """The cues in `text`, of which the first and the last part are read."""
    plain = text.strip()
    if len(plain) > READ_CHARS:
        plain = plain[: READ_CHARS * 2 // 3] + "\n" + plain[-READ_CHARS // 3 :]
    plain = plain.lower().replace("’", "'")
    han = len(HAN.findall(plain))
    words = f" {' '.join(WORD.findall(plain))} "
    numbers = len(NUMBER.findall(plain)) + (len(HAN_NUMBER.findall(plain)) if han else 0)
    stated = not QUESTION.search(plain) and bool(STATEMENT.match(plain))
    scores: dict[str, float] = {}
    found: dict[str, tuple[str, ...]] = {}
    for cue in load_cues():
        if numbers < cue.numbers or (cue.asked and stated):
            continue
        hits = _hits(cue, plain, words, bool(han))
        if hits:
            scores[cue.feature] = scores.get(cue.feature, 0.0) + cue.weight * len(hits)
            found[cue.feature] = (*found.get(cue.feature, ()), *hits)
    if scores.get("code", 0) >= 1:  # "translate this function into Rust" is programming
        scores.pop("translation", None)
    if stated:
        scores["statement"] = STATEMENT_WEIGHT
    if len(text) > LONG_CHARS:
        scores["length"] = LONG_WEIGHT
    return Features(scores, found, numbers, han * 3 >= len(plain) > 0, len(text))


def _hits(cue: Cue, plain: str, words: str, han: bool) -> list[str]:
    """What the cue finds, at most `cue.most` pieces: plain substring searches first, patterns only near their words."""
    hits = [phrase.strip() for phrase in cue.phrases if phrase in words]
    if han:
        hits += [phrase for phrase in cue.han if phrase in plain]
    if len(hits) < cue.most:
        for pattern in cue.patterns:
            if pattern.near and not any(word in plain for word in pattern.near):
                continue
            for hit in pattern.expression.finditer(plain):
                hits.append(hit.group().strip())
                if len(hits) >= cue.most:
                    return hits
    return hits[: cue.most]

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
# What is said beside a running camera is about the picture where it looks, points, or names a colour, …
SEEN = re.compile(
    r"\b(?:see|seeing|seen|looks?|looking|watch|watching|visible|shown|shows|showing|holding|wearing|standing|sitting)\b"
    r"|\b(?:pictures?|photos?|camera|screen|scene|whiteboard|blackboard|worksheet|background|foreground)\b"
    r"|\b(?:in|on|of|from|at|off) (?:the|that|my|your) (?:\w+ )?"
    r"(?:images?|video|clip|drawing|figure|diagram|sketch|chart|slide|page|board|paper|sheet|sign|label|shirt|mirror|book)\b"
    r"|\b(?:this|these)\b(?! (?:year|month|week|weekend|morning|afternoon|evening|night|time|way|is a riddle))|\bhere\b"
    r"|\b(?:what|who|which)(?:'s| is| are| was| does)? (?:that|those)\b|\bthat one\b|\bover there\b"
    r"|\b(?:what|which) colou?r|\bcolou?r of the\b|\bdescribe\b"
    r"|\b(?:is|are|says?|stands) (?:it )?written\b|\bwhat does (?:it|the \w+) say\b|\bpoint (?:to|at)\b"
    r"|\bon (?:the|my|your) (?:left|right|top|bottom)\b|\bin (?:my|your) hands?\b"
    r"|\b(?:in front of|behind|next to) (?:me|you)\b"
    r"|看|这(?![年月周天次样])|那(?:个|些|是|张|边)|图(?!书)|照片|画面|屏幕|镜头|摄像|视频|颜色|上面|手[里上]|左边|右边|穿着|写着|写了什么"
)
# … or where it names things of the world as known, gives less than two numbers, and states nothing before it asks, …
NAMED = re.compile(
    r"\b(?:the|my|your|her|his|their) (?!(?:square|cube|root|derivative|integral|sum|product|difference|area|volume|"
    r"perimeter|circumference|hypotenuse|probability|chance|odds|average|mean|median|greatest|largest|biggest|smallest|"
    r"lowest|least|most|highest|common|remainder|value|numbers?|results?|sequence|series|time|first|second|last|next|"
    r"n|nth|letters?|best|same|following|other|whole|day|date|year|week|weekend|angles?|sides|roots?|answer|proof|statement|theorem|"
    r"fact|fewest|fastest|shortest|fibonacci|harmonic|pythagorean|prime|real|natural|empty|limit|determinant|"
    r"equations?|steps|reasoning|work|meaning|capital)\b)\w"
    r"|\bof the (?:two|three|four|five)\b|桌[子上]|墙上|地上"
)
# … or where it works with something that it does not give.
NOT_GIVEN = re.compile(
    r"\b(?:solve|explain|check|fix|evaluate|simplify|compute|calculate|work out|read|do|debug|finish|answer|integrate|"
    r"differentiate|optimi[sz]e|refactor) (?:me )?(?:it|that|(?:the|that) (?:\w+ )?"
    r"(?:equations?|problems?|puzzle|exercises?|tasks?|questions?|functions?|code|program|script|query|riddle|formula|"
    r"expression|integral|matrix|sum|calculation|sequence|series|proof))\b"
    r"|(?:解|算|做|证明|检查|修改)(?:一下|出)?(?:它|那|题|方程|代码)"
)
COUNTED = re.compile(
    r"\bhow many (?!(?:\w+ )?(?:ways|primes|days|hours|minutes|seconds|weeks|months|letters|divisors|factors)\b)"
    r"[\w ]{1,30}\b(?:are there|do (?:i|you|we) have|do you count)\b(?! (?:in|between|from|below|under|until)\b)"
)
STATES = re.compile(r"[.;。；]\s*\w")


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
    plain = _plain(text)
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


def refers_to_sight(text: str) -> bool:
    """Whether what was said beside a running camera may be about what the camera shows. Doubt counts as yes: who
    answers then sees, while a reader of words alone would have to invent the picture."""
    plain = _plain(text)
    if SEEN.search(plain):
        return True
    numbers = len(NUMBER.findall(plain))
    if numbers > 1 or STATES.search(plain):
        return False
    return bool(NAMED.search(plain) or COUNTED.search(plain) or (not numbers and NOT_GIVEN.search(plain)))


def _plain(text: str) -> str:
    """The part of a text that is read, in small letters."""
    plain = text.strip()
    if len(plain) > READ_CHARS:
        plain = plain[: READ_CHARS * 2 // 3] + "\n" + plain[-READ_CHARS // 3 :]
    return plain.lower().replace("’", "'")


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

"""Roughens a wording as people type: other words for some, slips of the fingers, little words left out or put in.

Works on wordings whose placeholders are still empty, so that no number, name or quoted word is ever touched.
"""

from __future__ import annotations

import random
import re

# Words that may stand for each other wherever they occur.
SYNONYMS = {
    "calculate": ("compute", "work out", "determine", "calc"), "compute": ("calculate", "work out", "evaluate"), "find": ("determine", "get", "find out", "figure out"),
    "determine": ("find", "work out"), "altogether": ("in total", "in all", "all together", "overall"), "total": ("overall",), "kids": ("children", "pupils"),
    "children": ("kids", "boys and girls", "youngsters"), "buys": ("gets", "purchases", "orders"), "receives": ("gets", "obtains"),
    "costs": ("is priced at", "goes for"), "cost": ("come to",), "quick": ("short", "fast"), "remain": ("are left", "stay"), "remains": ("is left",),
    "please": ("pls", "plz", "kindly"), "you": ("u", "you"), "number": ("no.", "number", "figure"), "apiece": ("each", "a piece", "per piece"), "each": ("apiece", "each one"),
    "equally": ("evenly", "fairly"), "evenly": ("equally", "fairly"), "what's": ("whats", "what is"), "What's": ("Whats", "What is", "What’s"),
    "it's": ("its", "it is"), "hours": ("hrs", "hours"), "minutes": ("mins", "min", "minutes"), "percent": ("per cent", "pct", "percent"), "together": ("altogether", "in total"),
    "and": ("&", "and"), "friends": ("buddies", "mates", "pals"), "bag": ("sack", "bag"), "probability": ("chance", "likelihood"), "chance": ("probability", "likelihood"),
    "result": ("answer", "outcome"), "answer": ("result", "solution"), "big": ("large",), "large": ("big",), "quickly": ("fast", "real quick"), "want": ("wish", "would like"),
    "function": ("func", "function"), "program": ("code", "script"), "print": ("output", "print"), "prints": ("outputs", "prints"),
}  # fmt: skip
_LITTLE = frozenset("the a an is are do does of to please that it me for in".split())
_KEYS = "qwertyuiop asdfghjkl zxcvbnm"


def reworded(text: str, rng: random.Random, share: float = 0.12) -> str:
    """In a share of all wordings one or two words exchanged for others of the same meaning."""
    if rng.random() >= share:
        return text
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if word in SYNONYMS]
    for i in rng.sample(places, min(len(places), rng.choice((1, 1, 2)))):
        words[i] = rng.choice(SYNONYMS[words[i]])
    return " ".join(words)


def slip(word: str, rng: random.Random) -> str:
    """A word with one slip of the fingers."""
    at, kind = rng.randrange(len(word) - 1), rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    near = _KEYS.find(word[at].lower())
    beside = [_KEYS[i] for i in (near - 1, near + 1) if near >= 0 and 0 <= i < len(_KEYS) and _KEYS[i] != " "]
    return word[:at] + (rng.choice(beside) if beside else word[at]) + word[at + 1 :]


FILLERS = tuple(
    "actually really exactly just maybe perhaps simply basically honestly now then please well so like right here again today quickly "
    "kindly hmm um er okay normally usually certainly clearly surely obviously finally meanwhile apparently suddenly luckily anyway "
    "still already always indeed otherwise therefore however somehow probably".split()
)
PHRASES = ("you know", "I mean", "let's see", "of course", "by the way", "in fact", "if possible", "so to speak", "once more", "first of all", "after all", "I guess", "as usual", "in other words")  # fmt: skip


def filled(text: str, rng: random.Random) -> str:
    """In 5 % of all wordings a word or two that mean nothing here put in between."""
    if rng.random() >= 0.05 or "\n" in text or '"' in text:
        return text
    words = text.split(" ")
    for _ in range(rng.choice((1, 1, 2))):
        filler = rng.choice(FILLERS) if rng.random() < 0.6 else rng.choice(PHRASES)
        words.insert(rng.randrange(len(words) + 1), rng.choice((filler, f"{filler},", f"({filler})", filler)))
    return " ".join(words)


_PLAIN = re.compile(r"[A-Za-z]{4,}[?.,!:]?")


def mistyped(text: str, rng: random.Random) -> str:
    """In 4 % of all wordings a slip or two, in 3 % a little word left out."""
    dice = rng.random()
    if dice >= 0.07:
        return text
    words = text.split(" ")
    if dice < 0.03:
        places = [i for i, word in enumerate(words) if word in _LITTLE]
        if places and len(words) > 4:
            words.pop(rng.choice(places))
        return " ".join(words)
    places = [i for i, word in enumerate(words) if _PLAIN.fullmatch(word)]
    for i in rng.sample(places, min(len(places), rng.choice((1, 1, 2)))):
        words[i] = slip(words[i], rng)
    return " ".join(words)

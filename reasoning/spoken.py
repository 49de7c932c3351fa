"""An answer as it is spoken: sentence by sentence while it streams, with formulas read out, and code and tables
announced instead of spelled. JSON at the beginning of an answer, such as boxes in a picture, is not spelled either."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from reasoning.formula import Language, spoken_formula

LONGEST_CHARS = 400  # a sentence that never ends is spoken in parts
_FENCE = "```"
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|Dr|Mr|Mrs|Ms|Prof|St|No|Fig|Eq|approx|a\.m|p\.m)|\b[A-Z]|^\s*\d+)\.$"
)
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]*_”’]*(?=\s)|[。！？；]+[”’」』）]*|\n{2,}|\n(?=\s*(?:[-*+•]|\d+[.)]|#|\|))")
_TABLE_LINE = re.compile(r"^\s*\|.*\|\s*$")
_MATH = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|\$(?=\S)([^$\n]+?)(?<=\S)\$(?!\d)", re.DOTALL)
_WORD = re.compile(r"(?:[\u3400-\u9fff]|(?:(?![\u3400-\u9fff])\w)+(?:[.,'’-]\w+)*)[^\w\s]*")
_OPENERS = ("$$", "\\[", "\\(")
_SAID = {
    "en": {
        "code": "Here is the code.",
        "output": "Here is its output.",
        "table": "Here is a table with {rows} rows.",
        "link": "link",
        "picture": "a picture",
        "places": "I have marked it in the picture.",
        "data": "Here is the answer as data.",
    },
    "zh": {
        "code": "代码如下。",
        "output": "运行结果如下。",
        "table": "下面是一张有{rows}行的表格。",
        "link": "链接",
        "picture": "图片",
        "places": "我在图片上标出来了。",
        "data": "结果是下面的数据。",
    },
}
_LONG_DECIMAL = re.compile(r"(?<![\w.])\d+\.\d{7,}(?!\.?\w)")
_DATA_OPENS = re.compile(r"\[\s*\{\s*\"|\{\s*\"")
_DATA_MAY_OPEN = re.compile(r"(?:\[\s*)?(?:\{\s*)?")
_DATA_FENCE = re.compile(r"\s*(?:```(?:json)?\s*)?")
_DATA_FENCE_MAY_OPEN = re.compile(r"\s*`{1,3}(?:j|js|jso)?")


def unspoken(text: str, whole: bool = False) -> int:
    """Characters at the beginning of an answer that are JSON, in a fence or bare, which nobody wants to hear; all of
    them while JSON is not at its end, or may still begin. whole: no more text will come."""
    if _DATA_FENCE_MAY_OPEN.fullmatch(text):
        return 0 if whole else len(text)
    fence = _DATA_FENCE.match(text)
    assert fence is not None, "it matches nothing, too"
    body = text[fence.end() :]
    if not _DATA_OPENS.match(body):
        return len(text) if _DATA_MAY_OPEN.fullmatch(body) and not whole else 0
    try:
        _, end = json.JSONDecoder().raw_decode(body)
    except (ValueError, RecursionError):
        return len(text)
    rest = body[end:].lstrip()
    if "`" in fence.group():
        rest = rest.removeprefix(_FENCE[: len(rest)]).lstrip()
    return len(text) - len(rest)


@dataclass
class SpokenText:
    """Streamed Markdown → sentences to speak. language: of the announcements and of the formulas."""

    language: Language = "en"
    _pending: str = ""
    _fence: str | None = None  # the block we are in, by its language tag
    _rows: int = 0
    _begun: bool = False  # what is at the beginning of the text is known

    @property
    def pending(self) -> int:
        """Characters of the text that belong to no sentence yet."""
        return len(self._pending)

    def push(self, text: str) -> list[str]:
        """The sentences that this text completes."""
        self._pending += text
        if not self._begun and unspoken(self._pending) == len(self._pending):
            return []
        return self._data() + self._take(last=False)

    def finish(self) -> list[str]:
        """What is left."""
        sentences = self._data(last=True) + self._take(last=True)
        self._pending, self._fence = "", None
        return sentences + self._table_end()

    def _data(self, last: bool = False) -> list[str]:
        """What is said of JSON at the beginning."""
        size = 0 if self._begun else unspoken(self._pending, last)
        data, self._pending, self._begun = self._pending[:size], self._pending[size:], True
        if not re.search(r"\w", data):
            return []
        return [_SAID[self.language]["places" if re.search(r'"(?:bbox|point)(?:_2d)?"', data) else "data"]]

    def _take(self, last: bool) -> list[str]:
        said: list[str] = []
        while True:
            if self._fence is not None:
                at = self._pending.find("\n" + _FENCE) if not self._pending.startswith(_FENCE) else 0
                if at < 0:
                    # nothing of the block is spoken; its closing fence may be cut
                    self._pending = "" if last else self._pending[-len(_FENCE) :]
                    return said
                rest = self._pending[at:].lstrip("\n")[len(_FENCE) :]
                self._fence, self._pending = None, rest.split("\n", 1)[1] if "\n" in rest else ""
                continue
            piece = self._next(last)
            if piece is None:
                return said
            said += self._speak(piece)

    def _next(self, last: bool) -> str | None:
        """The next piece to speak, cut off the pending text: a sentence, a table line, or the text before a fence."""
        text = self._pending
        fence = text.find(_FENCE)
        if fence == 0 or (fence > 0 and not text[:fence].strip()):
            line, newline, rest = text[fence:].partition("\n")
            if not newline and not last:
                return None
            self._fence, self._pending = line.strip("` \t").lower(), rest
            return _FENCE + self._fence
        body = text if fence < 0 else text[:fence]
        first = body.lstrip("\n").split("\n", 1)
        if first[0].lstrip().startswith("|"):
            if len(first) == 1 and not last and fence < 0:
                return None
            self._pending = text[len(body) - len(body.lstrip("\n")) + len(first[0]) :]
            return first[0]
        at = _sentence_end(body)
        if at is None and fence < 0 and not last:
            if len(body) <= LONGEST_CHARS:
                return None
            at = max(body.rfind(mark, 0, LONGEST_CHARS) for mark in (", ", "，", "; ", " ")) + 1 or LONGEST_CHARS
        piece = body if at is None else body[:at]
        self._pending = text[len(piece) :]
        return piece or None

    def _speak(self, piece: str) -> list[str]:
        said = _SAID[self.language]
        if _TABLE_LINE.match(piece) or (self._rows and piece.lstrip().startswith("|")):
            if not re.fullmatch(r"[\s|:\-]+", piece):
                self._rows += 1
            return []
        before = self._table_end() if piece.strip() else []
        if piece.startswith(_FENCE):
            return [*before, said["output" if piece[len(_FENCE) :] == "output" else "code"]]
        spoken = plain(piece, self.language)
        return [*before, spoken] if re.search(r"\w", spoken) else before

    def _table_end(self) -> list[str]:
        rows, self._rows = self._rows, 0
        return [_SAID[self.language]["table"].format(rows=max(1, rows - 1))] if rows else []


def _sentence_end(text: str) -> int | None:
    """Where the first whole sentence ends; None while it may go on, as in the middle of a formula."""
    formulas = [match.span() for match in _MATH.finditer(text)]
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
        if any(start < end < stop for start, stop in formulas):
            continue
        head = text[:end]
        if _inside_formula(head, formulas) or not head.strip():
            continue
        if match.group().startswith(".") and _ABBREVIATION.search(head):
            continue
        return end
    return None


def _inside_formula(head: str, formulas: list[tuple[int, int]]) -> bool:
    """Whether a formula is open at the end of `head`."""
    outside = "".join(head[i] for i in range(len(head)) if not any(start <= i < stop for start, stop in formulas))
    return any(opener in outside for opener in _OPENERS)


def heard_chars(text: str, heard: str, language: Language = "en") -> int:
    """How many characters of `text`, Markdown, were heard, where `heard` is the beginning of its spoken form: up to the
    last whole word, and of a formula all or nothing."""
    formulas = [match.span() for match in _MATH.finditer(text)]
    said, found = _letters(heard), 0
    for word in _WORD.finditer(text):
        if not any(start < word.end() < stop for start, stop in formulas):
            spoken = _letters(plain(text[: word.end()], language))
            found = word.end() if spoken and said.startswith(spoken) else found
    return found


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)


def plain(text: str, language: Language = "en") -> str:
    """One sentence of Markdown without its marks, formulas and links in their spoken form."""
    said = _SAID[language]
    text = _MATH.sub(lambda m: " " + spoken_formula(next(filter(None, m.groups())), language) + " ", text)
    text = re.sub(r"!\[([^\]]*)\]\([^)]*\)", lambda m: m.group(1) or said["picture"], text)
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"https?://\S+", said["link"], text)
    text = re.sub(r"\\boxed\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"`([^`]*)`", r"\1", text)
    text = re.sub(r"(\*\*|__|~~)(.+?)\1", r"\2", text, flags=re.DOTALL)
    text = re.sub(r"(?<![\w*])[*_](?=\S)([^*_]+?)(?<=\S)[*_](?![\w*])", r"\1", text)
    text = re.sub(r"^\s*(?:#{1,6}\s+|>\s?|[-*+•]\s+|\d+[.)]\s+)", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*[-*_]{3,}\s*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"</?[a-zA-Z][^>]{0,80}>", "", text)
    text = _LONG_DECIMAL.sub(lambda m: _sayable(m.group()), text)
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r" (?=[.,;:!?。，；：！？])|(?<=[\u3400-\u9fff]) (?=\S)|(?<=\S) (?=[\u3400-\u9fff])", "", text)


def _sayable(number: str) -> str:
    """A long decimal as somebody would say it: four decimals, or more where they would all be zero."""
    value = float(number)
    leading = -math.floor(math.log10(value)) if value else 0
    return f"{value:.{max(4, leading + 3)}f}".rstrip("0").rstrip(".")

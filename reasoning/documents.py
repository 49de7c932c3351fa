"""Pages read by a model that sees: what it is asked, and its answer as text, lines with their places, layout or fields.

Qwen2.5-VL and its successors were taught these forms: lines of text as JSON with boxes, and whole pages in "QwenVL
HTML", ordinary elements with their boxes in `data-bbox` (Qwen2.5-VL technical report, section 2.2.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Literal, get_args

from multimodal.errors import PromptError
from reasoning.boxes import Box, Sight, Size
from reasoning.json_schema import JsonSchema

Form = Literal["text", "lines", "layout", "fields"]
FORMS: tuple[Form, ...] = get_args(Form)
_QUESTIONS: dict[str, str] = {
    "text": "Write out all the text in this picture in reading order, line by line, and nothing else.",
    "lines": (
        "Spot all the text in the picture, line by line. Answer in JSON: a list of objects with "
        '"bbox_2d": [x1, y1, x2, y2] and "text_content".'
    ),
    "layout": (
        "Write this page in QwenVL Document Parser HTML: standard elements such as h1, p, ul, li and table, each with "
        'data-bbox="x1 y1 x2 y2", and div elements of class image, chart or formula.\nQwenVL HTML'
    ),
}
_HEADING = re.compile(r"h([1-6])")
_NUMBERS = re.compile(r"-?\d{1,7}(?:\.\d{1,6})?")
_VOID = frozenset({"img", "br", "hr", "input", "meta", "link", "col"})
_FRAME = frozenset({"html", "body", "main", "article", "section", "head"})


@dataclass(frozen=True)
class Block:
    """A part of a page. kind: an HTML element, or "image", "chart", "formula". markdown: what stands in it.

    box: in pixels of the original picture, None where the model gave none that lies in it.
    """

    kind: str
    markdown: str
    box: Box | None = None


def question(form: Form, schema: JsonSchema | None = None) -> str:
    """What gets a page in this form. schema: of the fields, which are asked for with one.

    Raises PromptError for fields without a schema, or the reverse.
    """
    if (form == "fields") != (schema is not None):
        raise PromptError("fields need a schema that names them, and no other form takes one: give both, or neither")
    if schema is not None:
        names = ", ".join(schema.schema.get("properties", {})) or "what the schema asks for"
        return f"Read this document and fill in these fields from it, in JSON: {names}."
    return _QUESTIONS[form]


def read_lines(answer: str, original: Size, sight: Sight) -> list[Box]:
    """Lines of text with their places, `label` being the text."""
    return [place for place in sight.places(answer, original) if isinstance(place, Box)]


def read_layout(answer: str, original: Size, sight: Sight) -> list[Block]:
    """The page's blocks in reading order, also of an answer that was cut short or stands in a fence."""
    reader = _PageReader()
    reader.feed(re.sub(r"^\s*```(?:html)?\s*|```\s*$", "", answer.strip()))
    reader.close()
    return [Block(part.kind, text, sight.box(part.box, original)) for part in reader.parts if (text := part.text())]


def markdown(blocks: Sequence[Block]) -> str:
    """The page as Markdown. Neighbouring items of a list stand on neighbouring lines."""
    text = ""
    for before, block in zip([None, *blocks], blocks):
        gap = "\n" if before is not None and before.kind == block.kind == "li" else "\n\n"
        text += (gap if text else "") + block.markdown
    return text


@dataclass
class _Part:
    kind: str
    box: tuple[float, ...]
    words: str = ""
    rows: list[list[str]] = field(default_factory=list)

    def text(self) -> str:
        """Its Markdown. A table without a head row gets an empty one, as Markdown wants one."""
        words = re.sub(r"[ \t\r\f]+", " ", self.words)
        words = re.sub(r" ?\n[ \n]*", "\n", words).strip()
        if self.rows:
            width = max(map(len, self.rows))
            rows = [[_cell(one) for one in row] + [""] * (width - len(row)) for row in self.rows]
            lines = ["| " + " | ".join(row) + " |" for row in rows]
            return "\n".join([lines[0], "|" + "---|" * width, *lines[1:]])
        if heading := _HEADING.fullmatch(self.kind):
            return f"{'#' * int(heading.group(1))} {' '.join(words.split())}" if words else ""
        if self.kind == "li":
            return f"- {words}"
        if self.kind in ("image", "chart", "img"):
            return f"*[{'chart' if self.kind == 'chart' else 'picture'}{': ' + words if words else ''}]*"
        if self.kind == "formula":
            bare = re.sub(r"^(?:\\\[|\\\(|\$+)\s*|\s*(?:\\\]|\\\)|\$+)$", "", words)
            return f"$$\n{bare}\n$$" if bare else ""
        if self.kind in ("pre", "code"):
            return f"```\n{self.words.strip()}\n```" if words else ""
        return words


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


class _PageReader(HTMLParser):
    """parts: elements with a box and text outside of them, the outermost ones; items of lists apart."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[_Part] = []
        self._open: list[str] = []
        self._within = 0  # depth of the element that the last part began with; 0 outside

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        box = tuple(map(float, _NUMBERS.findall(given.get("data-bbox", ""))[:4]))
        if tag not in _VOID:
            self._open.append(tag)
        if tag in ("tr", "td", "th") and self._within:
            part = self.parts[-1]
            part.rows += [[]] if tag == "tr" else []
            if tag != "tr" and part.rows:
                part.rows[-1].append("")
        elif tag == "br" and self._within:
            self.handle_data("\n")
        elif tag == "li" or (not self._within and tag not in _FRAME and tag not in ("ul", "ol", "br")):
            kind = given.get("class", "").split(" ")[0] if tag == "div" and given.get("class") else tag
            self.parts.append(_Part(kind, box))
            self._within = len(self._open) if tag not in _VOID else 0

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:  # whatever was left open inside ends with it
            while self._open.pop() != tag:
                pass
        if len(self._open) < self._within:
            self._within = 0

    def handle_data(self, data: str) -> None:
        if not self._within:
            if data.strip():
                self.parts.append(_Part("p", (), data))
            return
        part = self.parts[-1]
        if part.rows and part.rows[-1]:
            part.rows[-1][-1] += data
        else:
            part.words += data

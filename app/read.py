"""`read`: what is written in pictures and PDFs, as text, as lines with their places, as layout, or as fields."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from app.analysis.answerer import Answerer, AnswerFailed, BackendAnswerer, ThinkerAnswerer
from app.backends import Backends
from app.config import Config
from multimodal.decode import MediaLimits, read_picture
from multimodal.document import is_document, page_numbers, read_pages
from multimodal.errors import PromptError
from multimodal.media import Picture
from multimodal.source import Source
from reasoning.boxes import Box, Sight, Size
from reasoning.documents import FORMS, Form, markdown, question, read_layout, read_lines
from reasoning.errors import SchemaViolation
from reasoning.json_schema import JsonSchema
from reasoning.router import AUTO, THINKER


@dataclass(frozen=True)
class Page:
    """What was read of a picture. shown: for people; found: for programs. cut: the answer reached its limit."""

    shown: str
    found: dict[str, Any]
    cut: bool


@dataclass(frozen=True)
class Sheet:
    """A picture to read. number: of the page, from 1, where it is one of a document."""

    path: Path
    picture: Picture
    number: int | None = None

    @property
    def name(self) -> str:
        return f"{self.path}, page {self.number}" if self.number else str(self.path)


def read(
    files: Sequence[Path],
    form: Form,
    schema: Path | None,
    config: Config,
    *,
    pages: str | None = None,
    as_json: bool,
) -> int:
    """Print what is written in every picture and on every page, of documents only on `pages`. Returns the exit status:
    1 where a model failed at one of them."""
    if form not in FORMS:
        raise PromptError(f"{form!r} is no form of a page: choose one of {', '.join(FORMS)}")
    rules = JsonSchema.read(schema) if schema else None
    numbers = page_numbers(pages) if pages is not None else None
    asked = question(form, rules)
    status = 0
    with _reader(config) as (answerer, sight):
        if sight is None and form in ("lines", "layout"):
            raise PromptError(f"{answerer.name} gives no places in pictures: ask for text, or choose another backend")
        for sheet in _sheets(files, numbers, config.media_limits()):
            try:
                page = _page(answerer, sight, sheet.picture, form, asked, rules, config)
            except (AnswerFailed, SchemaViolation) as error:
                typer.echo(f"error: {sheet.name}: {error}", err=True)
                status = 1
                continue
            if page.cut:
                typer.echo(f"note: {sheet.name}: the page reached a limit: raise --max-tokens", err=True)
            if as_json:
                known: dict[str, Any] = {"file": str(sheet.path)} | ({"page": sheet.number} if sheet.number else {})
                known |= {"model": answerer.name, "form": form, "cut": page.cut}
                page_json = json.dumps(known | page.found, ensure_ascii=False)
                sys.stdout.write(page_json + "\n")
            else:
                sys.stdout.write(page.shown.rstrip() + "\n")
            sys.stdout.flush()
    return status


@contextmanager
def _reader(config: Config) -> Iterator[tuple[Answerer, Sight | None]]:
    """The configured backend that reads documents, or the chosen one, or the model that sees; and its sight."""
    backends = Backends.of(config)
    able = [one.name for one in backends.available() if one.ready and one.sees and "documents" in one.roles]
    name = config.backend if config.backend != AUTO else next(iter(able), THINKER)
    if name != THINKER:
        if name not in backends.entries:
            raise PromptError(
                f"there is no backend named {name}: choose one of {', '.join([THINKER, *backends.entries])}"
            )
        backend = backends.get(name)
        if not backend.sees:
            raise PromptError(f"{name} does not take pictures: choose a model that sees, such as Qwen2.5-VL")
        try:
            yield BackendAnswerer(backend), backend.sight
        finally:
            backends.close()
        return
    from app.assistant import Assistant

    assistant = Assistant(config, speech=False)
    yield ThinkerAnswerer(assistant.checkpoint), assistant.answering.sight(THINKER, assistant.checkpoint)


def _sheets(files: Sequence[Path], numbers: Sequence[int] | None, limits: MediaLimits) -> Iterator[Sheet]:
    """Every picture and page, decoded one after the other. Raises MediaError."""
    for path in files:
        if is_document(Source.of(path).head()):
            for number, picture in read_pages(path, numbers, limits):
                yield Sheet(path, picture, number)
        else:
            yield Sheet(path, read_picture(path, limits=limits))


def _page(
    answerer: Answerer,
    sight: Sight | None,
    picture: Picture,
    form: Form,
    asked: str,
    rules: JsonSchema | None,
    config: Config,
) -> Page:
    height, width = picture.pixels.shape[:2]
    answer = answerer.answer((picture, asked), config.max_tokens, config.seed or 0, rules, False)
    cut = answer.status != "completed"
    found: dict[str, Any] = {"size": [width, height]}
    if rules is not None:
        return Page(answer.text, found | {"fields": rules.parse(answer.text)}, cut)
    if form == "text" or sight is None:
        return Page(answer.text, found | {"text": answer.text}, cut)
    original = Size(width, height)
    if form == "lines":
        lines: list[dict[str, Any]] = [
            {"text": line.label, "box": _corners(line)} for line in read_lines(answer.text, original, sight)
        ]
        # A model that was not taught the form answers in plain text, which has no places.
        lines = lines or [{"text": line.strip(), "box": None} for line in answer.text.splitlines() if line.strip()]
        return Page("\n".join(line["text"] for line in lines), found | {"lines": lines}, cut)
    blocks = read_layout(answer.text, original, sight)
    listed = [{"kind": one.kind, "markdown": one.markdown, "box": _corners(one.box)} for one in blocks]
    return Page(markdown(blocks), found | {"blocks": listed}, cut)


def _corners(box: Box | None) -> list[float] | None:
    """Left, top, right, bottom in pixels of the file."""
    return None if box is None else [round(value, 1) for value in (box.left, box.top, box.right, box.bottom)]

"""Pages: what a model that sees is asked, how its answer becomes text with places, and `read` on the command line."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

from app.cli import app
from app.config import BUILT_IN_MODELS
from multimodal.errors import PromptError
from reasoning.boxes import Box, Sight, Size
from reasoning.documents import Block, markdown, question, read_layout, read_lines
from reasoning.json_schema import JsonSchema
from tests.scripted_server import Reply, answer, scripted

PAGE = Size(560, 1120)
SIGHT = Sight("resized", 28, 4 * 28**2, 280 * 560)  # sees the page at half its size
FIELDS = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
LAYOUT = """```html
<html><body>
<h2 data-bbox="28 14 252 42">Bill &amp; receipt</h2>
<p data-bbox="28 56 252 84">Two lines<br/>of   text</p>
<ul data-bbox="28 90 252 150"><li data-bbox="28 90 252 120">bread</li><li>milk</li></ul>
<table data-bbox="28 160 252 300"><thead><tr><th>item</th><th>price</th></tr></thead>
<tbody><tr><td>bread | loaf</td><td>2.50</td></tr><tr><td>milk</td></tr></tbody></table>
<div class="formula" data-bbox="0 0 28 28"><img src="x"/>\\(a^2\\)</div>
<div class="image" data-bbox="28 310 252 500"><img data-bbox="0 0 1 1"/></div>
<p data-bbox="9 9">no box</p>
loose words
<p data-bbox="28 500 252 520">Thank y"""


def test_a_page_becomes_blocks_with_places_in_pixels_of_the_file() -> None:
    blocks = read_layout(LAYOUT, PAGE, SIGHT)
    assert blocks[:2] == [
        Block("h2", "## Bill & receipt", Box(56.0, 28.0, 504.0, 84.0)),
        Block("p", "Two lines\nof text", Box(56.0, 112.0, 504.0, 168.0)),
    ]
    assert [block.kind for block in blocks] == ["h2", "p", "li", "li", "table", "formula", "image", "p", "p", "p"]
    assert blocks[3].box is None and blocks[6].box == Box(56.0, 620.0, 504.0, 1000.0)
    assert markdown(blocks) == (
        "## Bill & receipt\n\nTwo lines\nof text\n\n- bread\n- milk\n\n"
        "| item | price |\n|---|---|\n| bread \\| loaf | 2.50 |\n| milk |  |\n\n"
        "$$\na^2\n$$\n\n*[picture]*\n\nno box\n\nloose words\n\nThank y"
    )


@pytest.mark.parametrize(
    "text", ["", "no html at all", "<table><tr><td>x", "</p></p><p", "<li>a<li>b</ul>", "<p>" * 5000]
)
def test_no_answer_is_too_broken_to_be_read(text: str) -> None:
    blocks = read_layout(text, PAGE, SIGHT)
    assert all(block.markdown and block.box is None for block in blocks)


def test_lines_of_text_come_with_their_places() -> None:
    text = '[{"bbox_2d": [28, 28, 140, 56], "text_content": "TOTAL"}, {"bbox_2d": [1, 2, 3], "text_content": "?"}]'
    assert read_lines(text, PAGE, SIGHT) == [Box(56.0, 56.0, 280.0, 112.0, "TOTAL")]


def test_fields_need_a_schema_and_nothing_else_takes_one() -> None:
    assert "total" in question("fields", JsonSchema(FIELDS)) and question("layout").endswith("QwenVL HTML")
    for form, schema in (("fields", None), ("text", JsonSchema(FIELDS))):
        with pytest.raises(PromptError, match="schema"):
            question(form, schema)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "bill.png"
    Image.fromarray(np.full((1120, 560, 3), 255, np.uint8)).save(path)
    return path


def read(page: Path, *flags: str, replies: list[Reply] | None = None) -> tuple[int, str, str, list[dict]]:
    """(exit status, output, errors, what the server got)."""
    with scripted(*(replies or [])) as server:
        backends = f"qwen2.5-vl-7b-instruct@{server.url}"
        ran = CliRunner().invoke(app, ["read", str(page), "--backends", backends, *flags])
        return ran.exit_code, ran.stdout, ran.stderr, [body for _, _, body in server.requests]


def test_read_asks_the_backend_that_reads_documents(page: Path) -> None:
    status, said, _, asked = read(page, replies=[answer("Bill\n", "2.50")])
    assert (status, said) == (0, "Bill\n2.50\n")
    sent, text = asked[0]["messages"][1]["content"]
    assert text["text"] == question("text")
    picture = Image.open(io.BytesIO(base64.b64decode(sent["image_url"]["url"].partition(",")[2])))
    assert picture.size == (560, 1120)
    html = '<p data-bbox="0 0 280 560">Hello</p>'
    status, said, _, _ = read(page, "--as", "layout", "--json", replies=[answer(html)])
    found = json.loads(said)
    assert found["blocks"] == [{"kind": "p", "markdown": "Hello", "box": [0.0, 0.0, 280.0, 560.0]}]
    assert (found["size"], found["model"], found["cut"]) == ([560, 1120], "qwen2.5-vl-7b-instruct", False)
    lines = '[{"bbox_2d": [0, 0, 56, 28], "text_content": "Hello"}'
    status, said, noted, _ = read(page, "--as", "lines", replies=[answer(lines, finish="length")])
    assert (status, said) == (0, "Hello\n") and "reached a limit" in noted


def pdf(path: Path, *colors: str, size: tuple[int, int] = (100, 140)) -> Path:
    """A page of each colour, of `size` points."""
    pages = [Image.new("RGB", size, color) for color in colors]
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=72)
    return path


def test_the_pages_of_a_pdf_are_read_one_by_one_as_far_as_they_are_named(tmp_path: Path) -> None:
    paper = pdf(tmp_path / "paper.pdf", "red", "lime", "blue")
    status, said, _, asked = read(paper, "--json", replies=[answer("one"), answer("two"), answer("three")])
    pages = [json.loads(line) for line in said.splitlines()]
    assert status == 0
    assert [(page["page"], page["text"], page["file"]) for page in pages] == [
        (1, "one", str(paper)),
        (2, "two", str(paper)),
        (3, "three", str(paper)),
    ]
    assert pages[0]["size"] == [278, 389], "200 dots an inch"
    status, said, _, asked = read(paper, "--pages", "3, 1", replies=[answer("three"), answer("one")])
    assert (status, said) == (0, "three\none\n")
    sent = [one["messages"][-1]["content"][0]["image_url"]["url"].partition("base64,")[2] for one in asked]
    middle = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))[50, 50] for data in sent]
    assert [np.argmax(pixel) for pixel in middle] == [2, 0], "blue, then red"


@pytest.mark.parametrize(
    ("pages", "says"),
    [("4", "has no page 4: it has 3"), ("0", "names no pages"), ("2-1", "names no pages"), ("x", "1-3,7")],
)
def test_pages_that_are_not_there_are_an_error_of_one_line(tmp_path: Path, pages: str, says: str) -> None:
    status, said, noted, asked = read(pdf(tmp_path / "paper.pdf", "red", "red", "red"), "--pages", pages)
    assert (status, said, asked) == (2, "", []) and says in noted and noted.count("\n") == 1


def test_a_model_that_gives_no_places_still_gives_the_lines(page: Path) -> None:
    _, said, _, _ = read(page, "--as", "lines", "--json", replies=[answer("Bill\n\n2.50\n")])
    assert json.loads(said)["lines"] == [{"text": "Bill", "box": None}, {"text": "2.50", "box": None}]


@pytest.mark.skipif(not (BUILT_IN_MODELS / "omni-nano" / "config.json").is_file(), reason="omni-nano is not there")
def test_the_built_in_model_reads_printed_words(tmp_path: Path) -> None:
    words = ("house", "garden", "bread", "table", "window")
    for word in words:
        picture = Image.new("RGB", (224, 112), "white")
        ImageDraw.Draw(picture).text((20, 30), word, fill="black", font=ImageFont.load_default(44))
        picture.save(tmp_path / f"{word}.png")
    files = [str(tmp_path / f"{word}.png") for word in words]
    said = CliRunner().invoke(app, ["read", *files]).stdout.split()
    right = sum(one == word for one, word in zip(said, words, strict=True))
    assert right >= 2, said


def test_fields_are_checked_against_the_schema(page: Path, tmp_path: Path) -> None:
    (tmp_path / "fields.json").write_text(json.dumps(FIELDS))
    flags = ("--schema", str(tmp_path / "fields.json"))
    status, said, _, asked = read(page, *flags, "--json", replies=[answer('{"total": 2.5}')])
    assert status == 0 and json.loads(said)["fields"] == {"total": 2.5}
    assert asked[0]["response_format"]["json_schema"]["schema"] == FIELDS
    status, said, noted, _ = read(page, *flags, replies=[answer('{"total": "much"}')])
    assert (status, said) == (1, "") and "does not fit the schema" in noted


def test_ask_tells_where_the_chosen_backend_found_something(page: Path, tiny_checkpoint: Path) -> None:
    found = '[{"bbox_2d": [280, 0, 560, 560], "label": "cup"}]'
    with scripted(answer(found)) as server:
        flags = ["--model", str(tiny_checkpoint), "--backends", f"qwen2.5-vl-7b-instruct@{server.url}", "--json"]
        ran = CliRunner().invoke(
            app, ["ask", "Where is the cup? Give me its bounding box.", "--image", str(page), *flags]
        )
        (_, headers, _) = server.requests[0]
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["route"]["backend"] == "qwen2.5-vl-7b-instruct"
    assert told["places"] == [
        {"kind": "box", "left": 280.0, "top": 0.0, "right": 560.0, "bottom": 560.0, "label": "cup"}
    ]
    assert headers["authorization"] == "Bearer none"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--as", "poem"], "no form"),
        (["--as", "fields"], "schema"),
        (["--backend", "nobody"], "no backend named nobody"),
        (["--schema", "missing.json"], "cannot be read"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(flags: list[str], says: str, page: Path) -> None:
    status, _, noted, asked = read(page, *flags)
    assert status == 2 and says in noted and not asked


def test_a_failing_server_is_an_error_of_one_line(page: Path) -> None:
    status, said, noted, _ = read(page, replies=[Reply(status=401)])
    assert (status, said) == (1, "") and noted.count("\n") == 1 and "refused the key" in noted


def test_without_a_backend_the_model_that_sees_reads(page: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "fields.json").write_text(json.dumps(FIELDS))
    ran = CliRunner().invoke(
        app,
        ["read", str(page), "--model", str(tiny_checkpoint), "--schema", str(tmp_path / "fields.json"), "--json"],
    )
    # Random weights write some number; that it is one is the constraint's doing.
    assert ran.exit_code in (0, 1), ran.output
    if ran.exit_code == 0:
        assert isinstance(json.loads(ran.stdout)["fields"]["total"], int | float)
    else:
        assert "the answer is not whole JSON" in ran.stderr

"""The server's sentences about what went wrong, and the page's table of them in other languages, say the same."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from multimodal import source

ROOT = Path(__file__).resolve().parent.parent
TABLES = json.loads((ROOT / "app" / "web" / "static" / "problems.json").read_text(encoding="utf-8"))
# What a person at the page can meet: uploads, questions, imports.
MET = (
    "app/web/decoder.py",
    "app/web/uploads.py",
    "app/web/engine.py",
    "app/web/replies.py",
    "app/history/media_folder.py",
    "app/history/export.py",
    "multimodal/source.py",
    "multimodal/decode.py",
    "multimodal/document.py",
    "multimodal/video.py",
    "multimodal/soundtrack.py",
    "multimodal/frames.py",
)
# Raised there, and never met by somebody who hands the page a file: names on a command line, parts of clips, files of
# a kind that is known before, and sentences put together of others.
NEVER_MET = (
    "media may not refer to other files",
    "{} cannot be opened: check its permissions",
    "{} does not exist or may not be looked at: check the name",
    "{} is a directory: name one file in it",
    "{} is no regular file: save the media to a file first",
    "{} is a web address: download it first and hand over the file",
    "there is no part of a video from {} s to {} s: give 0 ≤ start < end",
    "{} ends at {} s: start before that",
    "{} has no frame there: choose a longer part, or export it again",
    "{} is a picture, not a video: hand it over as a picture",
    "{} is a picture, not sound: hand it over as a picture",
    "{} is {}, not a picture: hand it over as what it is, or give a PNG or JPEG",
    "{} has no sound track: hand it over as video or picture",
    "{} has sound but no pictures: hand it over as sound",
    "{} names no pages: write for example 1-3,7",
    "{} has no page {}: it has {}",
    "{} pages of {} are wanted, and {}",
    "{} is {}",
    "page {} of {}",
    "{} {}, not a picture, sound or video: hand over PNG, JPEG, WebP, GIF, BMP, WAV, FLAC, MP3, OGG, MP4, MKV, WebM, "
    "MOV, AVI or TS",
)


def shape(node: ast.AST) -> str:
    """A text as written, {} for every value in it; "" for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
    return ""


def sentences(path: str, raised: bool = False) -> set[str]:
    """Every text in a module; raised: only what is given to what it raises."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    nodes = ast.walk(tree)
    if raised:
        calls = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call))
        nodes = (argument for call in calls for argument in call.args)
    return {found for node in nodes if " " in (found := shape(node))}


@pytest.mark.parametrize("path", MET)
def test_whatever_a_person_may_meet_is_in_the_table(path: str) -> None:
    met = sentences(path, raised=True) - set(NEVER_MET)
    for language, lines in TABLES.items():
        missing = met - {re.sub(r"{\d}", "{}", line) for line in lines}
        assert not missing, (language, missing)


def test_the_table_has_only_what_the_server_says_with_the_same_values() -> None:
    known = {found for room in ("app", "multimodal", "streaming") for file in (ROOT / room).rglob("*.py") for found in
             sentences(str(file.relative_to(ROOT)))}  # fmt: skip
    known |= {"{} is " + what for _, what in source._FOREIGN}
    known |= {one.replace("{} {}", "{} is of an unknown kind") for one in NEVER_MET}
    for lines in TABLES.values():
        for line, said in lines.items():
            assert re.sub(r"{\d}", "{}", line) in known, line
            places = re.findall(r"{(\d)}", line)
            assert places == [str(number) for number in range(len(places))], line
            assert set(re.findall(r"{(\d)}", said)) <= set(places), said

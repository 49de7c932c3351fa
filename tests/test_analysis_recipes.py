"""The recipes of docs/analyze.md, run as they are written."""

from __future__ import annotations

import glob
import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from tests.media_files import tone, write_video
from tests.scripted_server import answer, scripted

DOCS = Path(__file__).resolve().parent.parent / "docs" / "analyze.md"
RECIPES = re.findall(r"^    ((?:find .*\| )?\.venv/bin/python -m app analyze .*)$", DOCS.read_text(), re.M)[1:]
SCHEMA = {
    "type": "object",
    "properties": {"vehicles": {"type": "array", "items": {"enum": ["car", "bus"]}, "maxItems": 3}},
    "required": ["vehicles"],
    "additionalProperties": False,
}


def test_the_recipes_were_found() -> None:
    assert len(RECIPES) == 7


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the recipes name."""
    root = tmp_path_factory.mktemp("recipes")
    for name, frames in (("cameras/a.mp4", 40), ("lectures/b.mp4", 60), ("clips/c.mp4", 30), ("clips/d.mp4", 30)):
        (root / name).parent.mkdir(exist_ok=True)
        write_video(root / name, frames, 10, sound=tone(frames / 10, 48_000))
    (root / "archive").mkdir()
    write_video(root / "archive" / "e.mkv", 20, 10)
    (root / "vehicles.json").write_text(json.dumps(SCHEMA))
    return root


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_does_what_it_says(
    recipe: str, place: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent.parent))
    monkeypatch.setenv("TANDEM_MODEL", str(tiny_checkpoint))
    listed, _, line = recipe.rpartition("| ")
    words = shlex.split(line)[3:]
    arguments = [path for word in words for path in (sorted(glob.glob(word)) if "*" in word else [word])]
    stdin = "\n".join(glob.glob("archive/*.mkv")) if listed else None
    if "--backend" in arguments:
        with scripted(answer("A road.")) as server:
            ran = CliRunner().invoke(app, [*arguments, "--base-url", server.url], input=stdin)
    else:
        ran = CliRunner().invoke(app, [*arguments, "--max-tokens", "40"], input=stdin)
    assert ran.exit_code == 0, (ran.stderr, ran.exception)
    if "--dry-run" in arguments:
        assert json.loads(ran.stdout)["media_sec"] == pytest.approx(10, abs=0.3)
        return
    out = Path(arguments[arguments.index("--out") + 1]) if "--out" in arguments else Path("results.jsonl")
    records = [json.loads(text) for text in out.read_text().splitlines()]
    assert records and all(record["status"] == "ok" for record in records)
    if "--schema" in arguments:
        assert all(record["data"].keys() == {"vehicles"} for record in records)
    for ending in ("html", "csv", "parquet"):
        assert out.with_suffix(f".{ending}").exists() == any(ending in word.split(",") for word in arguments)

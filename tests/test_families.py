"""What `models` says about the families, and `fim` from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.config import Config
from app.families import families, parameters
from tests.family_checkpoints import write_checkpoint


@pytest.mark.parametrize(
    ("name", "billions"),
    [("Qwen/Qwen2.5-0.5B-Instruct", 0.5), ("Qwen/Qwen3-30B-A3B", 30), ("Qwen/QwQ-32B", 32), ("qwen-max", 0)],
)
def test_sizes_are_read_from_names(name: str, billions: float) -> None:
    assert parameters(name) == billions * 1e9


def test_every_family_says_what_can_be_run_and_asked(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "models" / "my-coder", "Qwen2ForCausalLM")
    rows = {row.profile.name: row for row in families(Config(data_dir=tmp_path), {"DASHSCOPE_API_KEY": "x"})}
    assert len(rows) == 12
    assert rows["qwen2.5-coder"].here == ("my-coder",)
    assert "dashscope" in rows["qwen2.5-max"].asked
    assert "dashscope" not in families(Config(data_dir=tmp_path), {})[5].asked
    assert not any("72B" in name for name in rows["qwen2.5"].fits)


def test_models_and_doctor_list_what_only_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_checkpoint(tmp_path / "models" / "moe-nano", "Qwen3MoeForCausalLM")
    monkeypatch.setenv("TANDEM_DATA_DIR", str(tmp_path))
    listed = CliRunner().invoke(app, ["models"]).stdout
    assert "usable, to reason beside another" in listed
    told = CliRunner().invoke(app, ["doctor", "--model", str(folder)])
    assert told.exit_code == 1 and "only reasons" in told.stdout and "python tool" in told.stdout
    monkeypatch.setenv("TANDEM_BACKENDS", f"{folder}, qwen-max@nowhere")
    told = CliRunner().invoke(app, ["doctor", "--model", "no-such-model"])
    assert "moe-nano, for reasoning" in told.stdout and "qwen-max cannot be asked" in told.stdout
    (folder / "model.safetensors").write_bytes(b"cut")
    assert "cut off" in CliRunner().invoke(app, ["models"]).stdout


def test_models_prints_both_tables() -> None:
    ran = CliRunner().invoke(app, ["models"])
    assert ran.exit_code == 0 and "QwQ-32B" in ran.stdout and "qwen3-moe stands in" in ran.stdout


@pytest.fixture(scope="module")
def coder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "tiny-coder", "Qwen2ForCausalLM", seed=3)


def test_fim_prints_a_middle_or_writes_it(coder: Path, tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text("def double(x):\n\nprint(double(4))\n")
    flags = ["--coder", str(coder), "--max-tokens", "12"]
    ran = CliRunner().invoke(app, ["fim", f"{file}:2", *flags])
    if ran.exit_code == 2:  # random weights may begin with the end
        assert "wrote nothing" in ran.stderr
        return
    assert ran.exit_code == 0 and ran.stdout.strip(), ran.output
    assert file.read_text() == "def double(x):\n\nprint(double(4))\n"
    assert CliRunner().invoke(app, ["fim", f"{file}:2", *flags, "--write"]).exit_code == 0
    text = file.read_text()
    assert text.startswith("def double(x):\n") and text.endswith("\nprint(double(4))\n") and len(text) > 32


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("nowhere.py:1", "cannot be read"),
        ("code.py", "give a file and a line"),
        ("code.py:99", "line 99 is not in the file"),
    ],
)
def test_fim_says_what_is_wrong(place: str, says: str, coder: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "code.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(app, ["fim", place, "--coder", str(coder)])
    assert ran.exit_code == 2 and says in ran.stderr


def test_fim_without_a_coder_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1\n")
    ran = CliRunner().invoke(app, ["fim", f"{tmp_path}/code.py:1"])
    assert ran.exit_code == 2 and "--coder" in ran.stderr

"""Settings: defaults < file < environment < flags, and nothing unknown or out of range goes unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import DEFAULT_MODEL, Config, ConfigError, resolve
from multimodal.errors import MediaError


def config_file(folder: Path, text: str) -> dict[str, str]:
    """Environment that names a configuration file holding `text`."""
    path = folder / "tandem.toml"
    path.write_text(text)
    return {"TANDEM_CONFIG": str(path)}


def test_without_any_setting_the_built_in_model_answers_and_speaks() -> None:
    config = resolve({}, {"TANDEM_CONFIG": "/dev/null"})
    assert config.model == DEFAULT_MODEL
    assert config.speech and config.voice is None and config.seed is None


def test_each_layer_overrides_the_one_before(tmp_path: Path) -> None:
    environ = config_file(
        tmp_path, 'model = "file"\nvoice = "file"\nseed = 1\n[limits]\naudio_sec = 1\nvideo_frames = 4'
    )
    environ |= {"TANDEM_VOICE": "variable", "TANDEM_SEED": "2", "TANDEM_LIMITS_AUDIO_SEC": "2.5"}
    config = resolve({"seed": 3, "voice": None}, environ)
    assert (config.model, config.voice, config.seed) == ("file", "variable", 3)
    limits = config.media_limits()
    assert (limits.audio_sec, limits.video_frames) == (2.5, 4)


@pytest.mark.parametrize(("text", "meant"), [("1", True), ("true", True), ("No", False), ("off", False)])
def test_switches_in_the_environment_are_words(text: str, meant: bool) -> None:
    assert resolve({}, {"TANDEM_SPEECH": text}).speech is meant


def test_paths_know_the_home_folder() -> None:
    assert resolve({}, {"TANDEM_DATA_DIR": "~/tandem-data"}).data_dir == Path.home() / "tandem-data"


@pytest.mark.parametrize(
    "environ",
    [
        {"TANDEM_MODLE": "x"},
        {"TANDEM_SEED": "many"},
        {"TANDEM_SEED": "-1"},
        {"TANDEM_SEED": "1.5"},
        {"TANDEM_THREADS": "-2"},
        {"TANDEM_MAX_TOKENS": "0"},
        {"TANDEM_MAX_TOKENS": "8193"},
        {"TANDEM_MAX_SPEECH_SEC": "nan"},
        {"TANDEM_SPEECH": "perhaps"},
        {"TANDEM_MODEL": ""},
    ],
)
def test_a_variable_that_is_unknown_or_out_of_range_is_named(environ: dict[str, str]) -> None:
    (variable,) = environ
    with pytest.raises(ConfigError, match=variable.removeprefix("TANDEM_").lower()):
        resolve({}, environ)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('modle = "x"', "modle is not a setting"),
        ("model = 3", "model is 3"),
        ("seed = true", "seed is True"),
        ("seed = 1.5", "seed is 1.5"),
        ("limits = 3", "limits is not a table"),
        ("router = 3", "router is not a table"),
        ("model =", "not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve({}, config_file(tmp_path, text))


def test_a_configuration_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        resolve({}, {"TANDEM_CONFIG": str(tmp_path / "missing.toml")})


def test_limits_are_checked_by_name_and_value() -> None:
    with pytest.raises(ConfigError, match=r"limits\.audio_seconds"):
        Config(limits={"audio_seconds": 3}).media_limits()
    with pytest.raises(MediaError, match="audio_sec"):
        Config(limits={"audio_sec": -3}).media_limits()


def test_thresholds_of_the_router_come_from_a_table_or_variables(tmp_path: Path) -> None:
    environ = config_file(tmp_path, "[router]\nheavy = 2\nvisual = 0.4") | {"TANDEM_ROUTER_HEAVY": "1.5"}
    thresholds = resolve({}, environ).thresholds()
    assert (thresholds.heavy, thresholds.visual, thresholds.follow_up) == (1.5, 0.4, 1.0)
    for wrong in ({"heavier": 1}, {"heavy": -1}, {"heavy": "much"}, {"heavy": float("nan")}):
        with pytest.raises(ConfigError, match="router"):
            Config(router=wrong).thresholds()


def test_stages_share_the_cores_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert Config().stage_threads == 1
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert Config().stage_threads == 5
    assert Config(threads=2).stage_threads == 2

"""A name or a folder becomes a working checkpoint, or one line that says what is wrong and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from multimodal import checkpoint as checkpoint_module
from multimodal.checkpoint import SPEECH_SYSTEM_PROMPT, built_in_names, load, resolve
from multimodal.errors import CheckpointError, VoiceError
from multimodal.prompt import Turn
from multimodal.sampler import Sampling
from multimodal.token2wav import OdeSettings
from streaming.events import SpeechChunk
from streaming.session import Conversation, ResponseOptions

# transformers reports mismatched sizes and unknown model types on its log, beside the error.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint to be damaged."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def edit(file: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def write(file: str, content: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / file).write_text(content)

    return change


def cut(pattern: str) -> Callable[[Path], None]:
    """Keep the first half of the first file that matches."""

    def change(folder: Path) -> None:
        path = sorted(folder.glob(pattern))[0]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def remove(pattern: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for path in sorted(folder.glob(pattern)):
            path.unlink()

    return change


def drop_talker_weights(folder: Path) -> None:
    for shard in folder.glob("*.safetensors"):
        save_file({k: v for k, v in load_file(shard).items() if "talker" not in k}, shard, {"format": "pt"})


def shrink_hidden_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["thinker_config"]["text_config"]["hidden_size"] = 32
    (folder / "config.json").write_text(json.dumps(config))


def voices(content: Any) -> Callable[[Path], None]:
    return lambda folder: torch.save(content, folder / "spk_dict.pt")


def test_a_folder_becomes_a_checkpoint(tiny_checkpoint: Path) -> None:
    loaded = load(tiny_checkpoint)
    assert loaded.name == "tiny" and loaded.folder == str(tiny_checkpoint)
    assert loaded.talker is not None and loaded.token2wav is not None
    assert list(loaded.voices) == ["Ada", "Ben"]
    assert loaded.system_prompt == "You are Tandem."
    assert loaded.device == torch.device("cpu") and loaded.dtype == torch.float32
    names = loaded.tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert loaded.stop == frozenset(names)
    assert loaded.token2wav.ode == OdeSettings("rk4", 12, 0.5)
    assert loaded.token2wav.rate_hz == 24_000
    assert not loaded.thinker_sampling.do_sample
    # The reference's defaults for the Talker, where the checkpoint states none.
    assert loaded.talker_sampling == Sampling(True, 0.9, 40, 0.8, 1.05)
    assert not any(module.training for module in (loaded.thinker.model, loaded.talker.model, loaded.token2wav.dit))


def test_the_modules_are_those_that_transformers_loads_from_the_folder(tiny_checkpoint: Path) -> None:
    from transformers import Qwen2_5OmniForConditionalGeneration

    loaded = load(tiny_checkpoint)
    assert loaded.talker is not None and loaded.token2wav is not None
    expected = Qwen2_5OmniForConditionalGeneration.from_pretrained(tiny_checkpoint)
    for ours, theirs in [
        (loaded.thinker.model, expected.thinker),
        (loaded.talker.model, expected.talker),
        (loaded.token2wav.dit, expected.token2wav.code2wav_dit_model),
        (loaded.token2wav.vocoder, expected.token2wav.code2wav_bigvgan_model),
    ]:
        wanted = theirs.state_dict()
        assert ours.state_dict().keys() == wanted.keys()
        assert all(torch.equal(value, wanted[name]) for name, value in ours.state_dict().items())


def test_voices_are_found_by_name_whatever_its_case(tiny_checkpoint: Path) -> None:
    loaded = load(tiny_checkpoint)
    assert loaded.voice(None) is loaded.voice("ADA") is loaded.voices["Ada"]
    assert loaded.voice("ben") is loaded.voices["Ben"]
    with pytest.raises(VoiceError, match="no voice 'Zoe': choose one of Ada, Ben"):
        loaded.voice("Zoe")


def test_without_speech_neither_talker_nor_token2wav_is_loaded(tiny_checkpoint: Path) -> None:
    loaded = load(tiny_checkpoint, speech=False)
    assert loaded.talker is None and loaded.token2wav is None and loaded.voices == {}
    with pytest.raises(VoiceError, match="--no-speech"):
        loaded.voice(None)


def test_a_checkpoint_that_never_speaks_needs_no_voices(copy: Path) -> None:
    edit("config.json", enable_audio_output=False)(copy)
    remove("spk_dict.pt")(copy)
    assert load(copy).talker is None


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_dtype_can_be_chosen_and_token2wav_stays_in_float32(tiny_checkpoint: Path, dtype: str) -> None:
    loaded = load(tiny_checkpoint, dtype=dtype, device="cpu")
    assert loaded.talker is not None and loaded.token2wav is not None
    wanted = getattr(torch, dtype)
    assert loaded.dtype == loaded.thinker.model.dtype == loaded.talker.model.dtype == wanted
    for part in (loaded.token2wav.dit, loaded.token2wav.vocoder):
        assert {value.dtype for value in part.parameters()} == {torch.float32}
    if dtype == "float16":
        return  # not every CPU operation exists in it
    conversation = Conversation(loaded)
    conversation.append(Turn("user", ("Hello",)))
    events = list(conversation.respond(ResponseOptions(greedy=True, seed=1, max_text_tokens=4, max_codes=14)))
    sound = [event.samples for event in events if isinstance(event, SpeechChunk)]
    assert sound and np.isfinite(np.concatenate(sound)).all()


def test_talker_and_token2wav_settings_come_from_the_generation_config(copy: Path) -> None:
    talker = {"do_sample": True, "temperature": 0.5, "top_k": 7, "top_p": 0.6, "repetition_penalty": 1.2}
    changes = {"talker": talker, "token2wav": {"solver": "euler", "evaluations": 5, "guidance_scale": 0.0}}
    edit("generation_config.json", do_sample=True, temperature=0.6, top_p=0.9, eos_token_id=3, **changes)(copy)
    loaded = load(copy)
    assert loaded.token2wav is not None
    assert loaded.talker_sampling == Sampling(**talker)
    assert loaded.token2wav.ode == OdeSettings("euler", 5, 0.0)
    assert replace(loaded.thinker_sampling, top_k=0) == Sampling(do_sample=True, temperature=0.6, top_p=0.9)
    assert loaded.stop == {3, loaded.prompt.control.im_end}


def test_the_text_only_default_system_prompt_gives_way_to_the_one_that_lets_it_speak(copy: Path) -> None:
    template = copy / "chat_template.jinja"
    own = template.read_text()
    template.write_text(own.replace("You are Tandem.", "You are a helpful assistant."))
    assert load(copy, speech=False).system_prompt == SPEECH_SYSTEM_PROMPT
    template.write_text(own.replace("You are Tandem.", "You are a parrot."))
    assert load(copy, speech=False).system_prompt == "You are a parrot."
    template.write_text("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}")
    assert load(copy, speech=False).system_prompt == SPEECH_SYSTEM_PROMPT


# --- names ------------------------------------------------------------------------------------------


def test_built_in_names_are_the_omni_checkpoints_that_ship(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "BUILT_IN", tmp_path)
    assert built_in_names() == []
    shutil.copytree(tiny_checkpoint, tmp_path / "omni-test")
    (tmp_path / "text-test").mkdir()
    (tmp_path / "text-test" / "config.json").write_text('{"model_type": "qwen3_moe"}')
    assert built_in_names() == ["omni-test"]
    assert resolve("omni-test") == str(tmp_path / "omni-test")
    assert load("omni-test", speech=False).name == "omni-test"
    with pytest.raises(CheckpointError, match="built in are omni-test"):
        resolve("omni-other")


def test_a_hub_id_is_handed_on_but_a_folder_wins(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("Qwen/Qwen2.5-Omni-7B") == "Qwen/Qwen2.5-Omni-7B"
    monkeypatch.chdir(tiny_checkpoint.parent.parent)
    relative = f"{tiny_checkpoint.parent.name}/{tiny_checkpoint.name}"
    assert resolve(relative) == relative and load(relative, speech=False).name == "tiny"


def refusal(source: Any, **options: Any) -> str:
    """The one line a refused checkpoint gives."""
    with pytest.raises(CheckpointError) as caught:
        load(source, **options)
    line = str(caught.value)
    assert line and "\n" not in line and "\x1b" not in line and "Traceback" not in line
    return line


@pytest.mark.parametrize("name", ["omni-giga", "", "./nowhere", "/no/such/folder", "a/b/c"])
def test_an_unknown_name_is_answered_with_what_there_is(name: str) -> None:
    assert "no model named" in (line := refusal(name)) and "Qwen/Qwen2.5-Omni-7B works too" in line


def test_a_hub_id_that_cannot_be_reached_is_named() -> None:
    assert "Nobody/No-Such-Model" in refusal("Nobody/No-Such-Model")


def test_a_folder_without_config_and_a_file_are_told_apart(tmp_path: Path) -> None:
    assert "no config.json in this folder" in refusal(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"1")
    assert "is a file" in refusal(tmp_path / "weights.bin")


# --- damaged or foreign files -----------------------------------------------------------------------

DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "another model type": (edit("config.json", model_type="qwen2"), "is a qwen2 checkpoint, not Qwen2.5-Omni"),
    "no model type": (write("config.json", "{}"), "not Qwen2.5-Omni"),
    "no sizes": (write("config.json", '{"model_type": "qwen2_5_omni"}'), "no thinker_config"),
    "config.json is a list": (write("config.json", "[1]"), "cannot load"),
    "config.json is empty": (write("config.json", ""), "not a valid JSON"),
    "config.json cut short": (cut("config.json"), "not a valid JSON"),
    "sizes of another model": (shrink_hidden_size, "cannot load"),
    "a shard is missing": (remove("model-00002*"), "model-00002"),
    "a shard cut short": (cut("model-00002*"), "cannot load"),
    "a shard is empty": (write("model-00001-of-00006.safetensors", ""), "cannot load"),
    "no weights": (remove("model*"), "model.safetensors"),
    "weights left out of the shards": (drop_talker_weights, "files lack"),
    "the index cut short": (cut("model.safetensors.index.json"), "cannot load"),
    "no voices file": (remove("spk_dict.pt"), "spk_dict.pt"),
    "the voices file cut short": (cut("spk_dict.pt"), "spk_dict.pt"),
    "the voices file holds code": (voices({"Ada": Path("/")}), "more than tensors"),
    "a voice of another model": (
        voices({"Ada": {"bos_token": 1, "cond": torch.zeros(1, 3), "ref_mel": torch.zeros(1, 60, 80)}}),
        "the voice Ada does not fit",
    ),
    "a voice without its parts": (voices({"Ada": {}}), "the voice Ada does not fit"),
    "no tokenizer": (remove("tokenizer*"), "cannot load"),
    "the tokenizer cut short": (cut("tokenizer.json"), "cannot load"),
    "no preprocessor": (remove("preprocessor_config.json"), "cannot load"),
    "an unknown solver": (edit("generation_config.json", token2wav={"solver": "heun"}), "choose rk4 or euler"),
    "an unknown solver option": (edit("generation_config.json", token2wav={"steps": 3}), "generation_config.json"),
    "an unknown sampling option": (edit("generation_config.json", talker={"heat": 3}), "heat"),
    "a temperature of zero": (edit("generation_config.json", do_sample=True, temperature=0.0), "temperature 0.0"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_answered_with_one_line(copy: Path, damage: str) -> None:
    change, expected = DAMAGE[damage]
    change(copy)
    assert expected in refusal(copy)


def test_options_that_cannot_be_met_are_refused(tiny_checkpoint: Path) -> None:
    assert "choose one of float32, bfloat16, float16" in refusal(tiny_checkpoint, dtype="int8")
    assert "choose cpu or cuda" in refusal(tiny_checkpoint, device="gpu0")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(tiny_checkpoint: Path) -> None:
    assert "choose cpu" in refusal(tiny_checkpoint, device="cuda")

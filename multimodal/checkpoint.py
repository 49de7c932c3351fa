"""A name or a folder → the modules of a Qwen2.5-Omni checkpoint, through transformers' own loading code.

Names: `omni-nano` (built in, models/omni-nano), a folder, or an id on a model hub such as Qwen/Qwen2.5-Omni-7B.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from multimodal.audio import AudioEncoder
from multimodal.errors import CheckpointError, TandemError, VoiceError
from multimodal.linear import use_onednn
from multimodal.prompt import ControlIds, PromptFormat
from multimodal.sampler import Sampling
from multimodal.talker import Talker
from multimodal.thinker import Thinker
from multimodal.tmrope import Tmrope
from multimodal.token2wav import OdeSettings, Token2Wav, Voice
from multimodal.vision import VisionEncoder

BUILT_IN = Path(__file__).resolve().parent.parent / "models"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# The released Qwen2.5-Omni speaks only under this system prompt (its model card); its chat template carries a
# text-only default instead, which is how such a checkpoint is told apart.
TEXT_ONLY_DEFAULT = "You are a helpful assistant."
SPEECH_SYSTEM_PROMPT = (
    "You are Qwen, a virtual human developed by the Qwen Team, Alibaba Group, capable of perceiving auditory and "
    "visual inputs, as well as generating text and speech."
)


@dataclass(eq=False)
class Checkpoint:
    """Everything loaded from one folder. talker and token2wav are None where speech is off or not there."""

    name: str
    folder: str
    thinker: Thinker
    talker: Talker | None
    token2wav: Token2Wav | None
    voices: dict[str, Voice]
    tokenizer: Any
    prompt: PromptFormat
    system_prompt: str
    stop: frozenset[int]
    thinker_sampling: Sampling
    talker_sampling: Sampling
    device: torch.device
    dtype: torch.dtype

    def voice(self, name: str | None) -> Voice:
        """The named voice, or the checkpoint's first."""
        if not self.voices:
            raise VoiceError(f"{self.name} has no voices: ask for text only with --no-speech")
        if name is None:
            return next(iter(self.voices.values()))
        by_lower = {known.lower(): voice for known, voice in self.voices.items()}
        if name.lower() not in by_lower:
            raise VoiceError(f"{self.name} has no voice {name!r}: choose one of {', '.join(self.voices)}")
        return by_lower[name.lower()]


def resolve(source: str | Path) -> str:
    """A folder path or hub id that transformers can load; CheckpointError says what is wrong with anything else."""
    text = str(source)
    for folder in () if not text else (Path(text).expanduser(), BUILT_IN / text):
        if folder.is_dir():
            if not (folder / "config.json").is_file():
                raise CheckpointError(f"{text}: no config.json in this folder; point --model at a checkpoint's folder")
            return str(folder)
    if text and Path(text).exists():
        raise CheckpointError(f"{text} is a file: --model wants a checkpoint's folder, a built-in name or a hub id")
    if text.count("/") == 1 and not text.startswith((".", "/", "~")):
        return text
    known = ", ".join(built_in_names()) or "none in this installation"
    raise CheckpointError(
        f"no model named {text!r}: built in are {known}; a folder or a hub id such as Qwen/Qwen2.5-Omni-7B works too"
    )


def built_in_names() -> list[str]:
    """Names of the checkpoints that ship with Tandem and answer as an omni model."""
    found = []
    for config in sorted(BUILT_IN.glob("*/config.json")):
        if json.loads(config.read_text()).get("model_type") == "qwen2_5_omni":
            found.append(config.parent.name)
    return found


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def load(source: str | Path, *, device: str | None = None, dtype: str | None = None, speech: bool = True) -> Checkpoint:
    """Load a checkpoint. device: cuda or cpu (chosen if None); dtype: float32, bfloat16 or float16 (on a CPU
    float32, elsewhere the file's own). Token2Wav always runs in float32, as the reference requires."""
    where = resolve(source)
    place = _device(device or default_device())
    if dtype is not None and dtype not in DTYPES:
        raise CheckpointError(f"dtype {dtype!r}: choose one of {', '.join(DTYPES)}")
    chosen = DTYPES[dtype] if dtype else (torch.float32 if place.type == "cpu" else "auto")
    try:
        model, processor = _read(str(source), where, chosen, speech)
        return _assemble(str(source), where, model.to(place).eval(), processor, place)
    except TandemError:
        raise
    except Exception as error:  # whatever the libraries that read a stranger's files raise about them
        reason = _first_line(error).rstrip(".")
        raise CheckpointError(f"cannot load {source}: {reason}; repair it or choose another model") from error


def _device(name: str) -> torch.device:
    try:
        place = torch.device(name)
    except RuntimeError:
        raise CheckpointError(f"device {name!r}: choose cpu or cuda") from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise CheckpointError(f"device {name!r}: torch finds no GPU here; choose cpu")
    return place


def _read(source: str, where: str, dtype: Any, speech: bool) -> tuple[Any, Any]:
    """transformers' model, with its speaker_map, and processor."""
    from transformers import Qwen2_5OmniConfig, Qwen2_5OmniForConditionalGeneration, Qwen2_5OmniProcessor
    from transformers.utils import logging
    from transformers.utils.hub import cached_file

    # Checked on the file itself: transformers fills whatever is not there with the sizes of the 7B model.
    written, _ = Qwen2_5OmniConfig.get_config_dict(where)
    kind = written.get("model_type")
    if kind != "qwen2_5_omni":
        raise CheckpointError(f"{source} is a {kind or 'nameless'} checkpoint, not Qwen2.5-Omni: choose another model")
    if absent := [part for part in ("thinker_config", "talker_config", "token2wav_config") if part not in written]:
        raise CheckpointError(f"cannot load {source}: its config.json has no {absent[0]}; download it again")
    config = Qwen2_5OmniConfig.from_pretrained(where)
    config.enable_audio_output = bool(speech and config.enable_audio_output)
    processor = Qwen2_5OmniProcessor.from_pretrained(where)
    logging.disable_progress_bar()
    # Past the class's own from_pretrained, which cannot tell which weights were missing and drew those at random.
    omni = Qwen2_5OmniForConditionalGeneration
    loaded: Any = super(omni, omni).from_pretrained(where, config=config, dtype=dtype, output_loading_info=True)
    model, info = loaded
    if absent := sorted(set(info["missing_keys"]) & {name for name, _ in model.named_parameters()}):
        raise CheckpointError(
            f"cannot load {source}: its files lack {len(absent)} weights, such as {absent[0]}; download it again"
        )
    if model.has_talker:
        try:
            model.load_speakers(cached_file(where, "spk_dict.pt"))
        except Exception as error:
            raise CheckpointError(
                f"cannot load {source}: spk_dict.pt, its voices, is missing, damaged or holds more than tensors; "
                "download it again or ask for text only with --no-speech"
            ) from error
    return model, processor


def _assemble(name: str, where: str, model: Any, processor: Any, place: torch.device) -> Checkpoint:
    config = model.config
    tokenizer = processor.tokenizer
    control = ControlIds.read(tokenizer, config.thinker_config)
    settings = model.generation_config.to_dict() if model.generation_config else {}
    audio = AudioEncoder(model.thinker.model.audio_tower, processor.feature_extractor)
    vision = VisionEncoder(model.thinker.model.visual, processor.image_processor)
    use_onednn(model)
    thinker = Thinker(model.thinker, audio, vision, Tmrope.read(control, config.thinker_config))
    talker, token2wav, voices = None, None, {}
    if model.has_talker:
        token2wav = Token2Wav(model.token2wav.float(), _ode_settings(settings))
        talker = Talker(model.talker, thinker.embed_tokens, token2wav.last_code)
        voices = {key: token2wav.voice(key, entry) for key, entry in model.speaker_map.items()}
    eos = settings.get("eos_token_id")
    stop = {control.im_end, *(eos if isinstance(eos, list) else [eos] if eos is not None else [])}
    return Checkpoint(
        name=Path(name).name if os.path.isdir(where) else name,
        folder=where,
        thinker=thinker,
        talker=talker,
        token2wav=token2wav,
        voices=voices,
        tokenizer=tokenizer,
        prompt=PromptFormat(tokenizer, control),
        system_prompt=_system_prompt(processor),
        stop=frozenset(stop),
        thinker_sampling=_sampling(settings),
        talker_sampling=Sampling(do_sample=True, temperature=0.9, top_k=40, top_p=0.8, repetition_penalty=1.05)
        if "talker" not in settings
        else Sampling(**settings["talker"]),
        device=place,
        dtype=thinker.model.dtype,
    )


def _ode_settings(settings: dict[str, Any]) -> OdeSettings:
    try:
        return OdeSettings(**settings.get("token2wav", {}))
    except TypeError as error:
        raise CheckpointError(f"generation_config.json, token2wav: {_first_line(error)}") from error


def _sampling(settings: dict[str, Any]) -> Sampling:
    keys = ("do_sample", "temperature", "top_k", "top_p", "repetition_penalty")
    return Sampling(**{key: settings[key] for key in keys if settings.get(key) is not None})


def _system_prompt(processor: Any) -> str:
    """The default system turn of the checkpoint's own chat template, or the one its speech was trained with."""
    template = processor.chat_template or processor.tokenizer.chat_template
    rendered = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}], chat_template=template, tokenize=False
    )
    head, found, rest = rendered.partition("<|im_start|>system\n")
    default = rest.split("<|im_end|>", 1)[0] if found and not head.strip() else TEXT_ONLY_DEFAULT
    return SPEECH_SYSTEM_PROMPT if default == TEXT_ONLY_DEFAULT else default


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__

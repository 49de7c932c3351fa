"""Puts the trained parts together into a checkpoint folder that transformers loads.

    python -m training.export --thinker runs/thinker/thinker.safetensors --talker runs/talker/talker.safetensors \\
        --dit runs/dit/dit.safetensors --vocoder runs/vocoder/vocoder.safetensors --voices runs/dit/voices.pt \\
        --base models/omni-nano --out models/omni-nano

A part that is not given comes from the folder `--base`, or without one from seeded random weights. Everything is
stored in bfloat16 except the vocoder, which stays in float32: it is under 3 MB, and rounding it can be heard.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multimodal.blueprint import SPECIAL_TOKENS, Blueprint
from multimodal.checkpoint_files import write_model, write_processor_files
from training.nano import NANO, VOICES
from training.pieces import piece_files, read_pieces

SPEECH_TOKENS = SPECIAL_TOKENS[SPECIAL_TOKENS.index("<tts_pad>") :]
"""The tokens whose rows of the Thinker's embedding table only the Talker reads: the rows of `speech_tokens`."""
EMBEDDING = "thinker.model.language_model.embed_tokens.weight"
PREFIXES = {
    "thinker": "thinker.",
    "talker": "talker.",
    "dit": "token2wav.code2wav_dit_model.",
    "vocoder": "token2wav.code2wav_bigvgan_model.",
}
KEPT_FLOAT32 = PREFIXES["vocoder"]


def write_part(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors to one safetensors file, moved into place when complete."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}, partial)
    partial.replace(path)


def read_part(path: Path, part: str, blueprint: Blueprint = NANO) -> dict[str, Tensor]:
    """The tensors of one part, under their names inside the part's own module, float32 on the CPU.

    path: a safetensors file or a folder of its pieces (see `pieces`), the names with or without the part's prefix in the
    whole model, or an exported folder.
    The talker's part has `speech_tokens` [7, D] beside, in the order of SPEECH_TOKENS, where the source has it.
    """
    prefix = PREFIXES[part]
    if (path / "config.json").exists():
        whole = load(path).state_dict()
        weights = {name.removeprefix(prefix): value for name, value in whole.items() if name.startswith(prefix)}
        if part == "talker":
            ids = blueprint.special_ids()
            weights["speech_tokens"] = whole[EMBEDDING][[ids[token] for token in SPEECH_TOKENS]]
        return weights
    return {name.removeprefix(prefix): value for name, value in read_pieces(piece_files(path, part)).items()}


def load(folder: Path) -> Any:
    """transformers' whole model from an exported folder, in float32."""
    from transformers import Qwen2_5OmniForConditionalGeneration
    from transformers.utils import logging

    logging.disable_progress_bar()
    return Qwen2_5OmniForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


def random_voices(blueprint: Blueprint) -> dict[str, dict[str, Tensor]]:
    """Seeded stand-ins for voices that are not trained yet."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: {
            "cond": torch.randn(1, blueprint.speaker_emb, generator=generator),
            "ref_mel": torch.randn(1, 200, blueprint.mel_dim, generator=generator) - 4.0,
        }
        for name in VOICES
    }


def assemble(blueprint: Blueprint, parts: Mapping[str, Mapping[str, Tensor]], seed: int = 0) -> Any:
    """The whole model with the parts' weights in it; parts are named as PREFIXES' keys, missing ones stay random.

    Raises ValueError where a part lacks a parameter or has one of another shape. What a part has beyond its module
    (heads that only training uses) is left out and printed.
    """
    from transformers import Qwen2_5OmniForConditionalGeneration

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5OmniForConditionalGeneration(blueprint.config())
    state = model.state_dict()
    needed = {name for name, _ in model.named_parameters()}
    speech_tokens: Tensor | None = None
    for part, weights in parts.items():
        prefix = PREFIXES[part]
        given = {prefix + name: value for name, value in weights.items()}
        if part == "talker":
            speech_tokens = given.pop(prefix + "speech_tokens", None)
        missing = [name for name in needed if name.startswith(prefix) and name not in given]
        wrong = [name for name in given if name in state and state[name].shape != given[name].shape]
        if missing or wrong:
            raise ValueError(f"the {part} does not fit: missing {missing[:3]}, of another shape {wrong[:3]}")
        extra = sorted(name for name in given if name not in state)
        if extra:
            print(json.dumps({"stage": "export", "part": part, "left_out": extra}), flush=True)
        for name in given.keys() & state.keys():
            state[name].copy_(given[name])
    if speech_tokens is not None:
        ids = blueprint.special_ids()
        state[EMBEDDING][[ids[token] for token in SPEECH_TOKENS]] = speech_tokens.to(state[EMBEDDING])
    for name, parameter in model.named_parameters():
        if not name.startswith(KEPT_FLOAT32):
            parameter.data = parameter.data.to(torch.bfloat16)
    return model


def export(folder: Path, blueprint: Blueprint, model: Any, voices: Mapping[str, Any], tokenizer: Any) -> None:
    """Write the checkpoint beside `folder`, check that it loads to the same numbers, and move it into `folder`.

    voices: name → {"cond", "ref_mel"}; `bos_token` is added in the order of the names where it is missing.
    tokenizer: the `tokenizers.Tokenizer` of the text, without special tokens. Other files of `folder` stay.
    """
    ids = blueprint.special_ids()
    table = {name: {"bos_token": ids[f"<tts_voice_{i}>"], **voice} for i, (name, voice) in enumerate(voices.items())}
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    write_processor_files(partial, blueprint, tokenizer)
    generation = (partial / "generation_config.json").read_text()
    write_model(partial, model, table)
    (partial / "generation_config.json").write_text(generation)  # save_pretrained writes a default one over it
    check(partial, model)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("model*.safetensors*"):
        stale.unlink()
    for file in partial.iterdir():
        file.chmod(0o644)
        file.replace(folder / file.name)
    partial.rmdir()


def check(folder: Path, model: Any) -> None:
    """Assert that transformers loads `folder` to the very tensors of `model`, and its tokenizer and voices too."""
    from transformers import AutoTokenizer

    loaded, expected = load(folder).state_dict(), model.state_dict()
    assert loaded.keys() == expected.keys(), sorted(loaded.keys() ^ expected.keys())[:5]
    different = [name for name in expected if not torch.equal(loaded[name], expected[name].float())]
    assert not different, f"loaded otherwise than written: {different[:5]}"
    text = "Two red circles, <|im_end|> and 3:45."
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for part in PREFIXES:
        parser.add_argument(
            f"--{part}", type=Path, help=f"the {part}'s safetensors file, or a folder of its pieces, or an exported one"
        )
    parser.add_argument("--voices", type=Path, help="torch file: voice → cond, ref_mel")
    parser.add_argument("--tokenizer", type=Path, default=Path(__file__).parent / "tokenizer" / "tokenizer.json")
    parser.add_argument("--base", type=Path, help="exported folder that gives the parts not named")
    parser.add_argument("--out", type=Path, default=Path("models/omni-nano"))
    options = parser.parse_args()

    from tokenizers import Tokenizer

    given = {part: path for part in PREFIXES if (path := getattr(options, part) or options.base)}
    voices = options.voices or (options.base and options.base / "spk_dict.pt")
    if voices:
        table = torch.load(voices, map_location="cpu", weights_only=True)
    else:
        table = random_voices(NANO)
    model = assemble(NANO, {part: read_part(path, part) for part, path in given.items()})
    export(options.out, NANO, model, table, Tokenizer.from_file(str(options.tokenizer)))
    files = sorted(options.out.iterdir())
    report = {
        "stage": "export", "folder": str(options.out), "parts": {part: str(path) for part, path in given.items()},
        "random": sorted(PREFIXES.keys() - given.keys()), "voices": list(table),
        "mb": round(sum(file.stat().st_size for file in files) / 1e6, 2),
        "largest_mb": round(max(file.stat().st_size for file in files) / 1e6, 2),
    }  # fmt: skip
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()

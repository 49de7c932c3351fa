"""Put moe-nano's checkpoint folder together, check it, and write its model card.

python -m training.moe_export DIR models/moe-nano
python -m training.moe_evaluate models/moe-nano           measures, and writes the figures into the card
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from training.moe_chat import TOKENIZER_FILE, chat_tokenizer, control_ids

SHARD = "15MB"
BEGIN, END = "<!-- figures begin -->", "<!-- figures end -->"
CARD = f"""# moe-nano

A small mixture-of-experts language model for step-by-step reasoning with a Python tool, offline, on a CPU. It has the
architecture of Qwen3-MoE in transformers' own class and files (Qwen3MoeForCausalLM); sizes, tokenizer and weights are
ours, trained from nothing on generated problems by `training/moe.py`. It shares no weights with any other model.

    from transformers import AutoModelForCausalLM, AutoTokenizer
    model = AutoModelForCausalLM.from_pretrained("models/moe-nano")

## Measured

{BEGIN}
Not measured yet.
{END}

`python -m training.moe_evaluate models/moe-nano` measures all of it again, on problems that training never saw.

## What it can do

Arithmetic with whole numbers, decimals and fractions; comparisons; percentages; powers, roots, primes and divisors;
linear equations; sequences; word problems; rates, averages, areas, chances; dates, times, units, binary and Roman
numerals; letters and words; orders and syllogisms; small Python functions, and what short programs print. English
only. It thinks between `<think>` and `</think>`, calls the tool `python(code)` where one is offered, and ends with a
sentence that can be read aloud.

It knows nothing of the world, and is trained to say so. Problems unlike the generated ones are often misread: the tool
then computes the wrong thing exactly. Check what matters.

## Parts

8 layers, 256 wide, 4 heads (2 for keys and values), 16 experts a layer of which each token goes to 2, 2,048 tokens with
digits apart, a context of 2,048; 19.4 M parameters in bfloat16.

## Made of

Generated text only (`training/moe_*.py`): templates, lists of English words and numbers. No text from elsewhere.
"""


def write_checkpoint(folder: Path, model: Any, tokenizer_file: Path = TOKENIZER_FILE) -> None:
    """Weights in bfloat16 shards, tokenizer with its chat template, and how to sample; each file replaced whole."""
    from transformers import GenerationConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    control = control_ids(model.config.vocab_size)
    weights = {name: value.detach().to("cpu", torch.bfloat16).clone() for name, value in model.state_dict().items()}
    copy = type(model)._from_config(model.config, dtype=torch.bfloat16)
    copy.load_state_dict(weights)
    # Sampling among one token is greedy decoding, for readers that never take "no sampling" from a thinking model.
    copy.generation_config = GenerationConfig(
        do_sample=True, top_k=1, temperature=1.0, top_p=1.0,
        eos_token_id=[control["<|im_end|>"], control["<|endoftext|>"]], pad_token_id=control["<|endoftext|>"],
    )  # fmt: skip
    copy.save_pretrained(partial, max_shard_size=SHARD)
    chat_tokenizer(tokenizer_file).save_pretrained(partial)
    for stale in folder.glob("model*.safetensors*"):
        if not (partial / stale.name).exists():
            stale.unlink()
    for file in sorted(partial.iterdir()):
        file.chmod(0o644)
        os.replace(file, folder / file.name)
    partial.rmdir()


def load(folder: Path) -> Any:
    """transformers' model in float32."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def export(source: Path, folder: Path) -> None:
    """Copy the checkpoint that training left in `source`, check it, and add the card where there is none."""
    load(source)  # a torn folder fails here
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("model*.safetensors*"):
        stale.unlink()
    for file in source.iterdir():
        if file.suffix in (".json", ".jinja", ".safetensors"):
            shutil.copyfile(file, folder / f".{file.name}")
            os.replace(folder / f".{file.name}", folder / file.name)
    if not (folder / "README.md").exists():
        (folder / "README.md").write_text(CARD)


def write_figures(folder: Path, figures: str) -> None:
    """Put the figures between the markers of the card."""
    path = folder / "README.md"
    text = path.read_text() if path.exists() else CARD
    head, _, rest = text.partition(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{figures}\n{END}{rest.partition(END)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder that training.moe wrote")
    parser.add_argument("folder", type=Path, help="where the checkpoint goes")
    options = parser.parse_args()
    export(options.source, options.folder)
    sizes = {file.name: round(file.stat().st_size / 1e6, 2) for file in sorted(options.folder.iterdir())}
    print(json.dumps({"folder": str(options.folder), "mb": round(sum(sizes.values()), 2), "files": sizes}))


if __name__ == "__main__":
    main()

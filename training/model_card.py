"""The model card of omni-nano: what it is, what it was made of, what it can do, and the figures of the last evaluation."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures begin -->", "<!-- figures end -->"

CARD = """# omni-nano

A small multimodal model that sees, hears, answers and speaks, offline, on two CPU cores. It has the architecture of
Qwen2.5-Omni in transformers' own classes and files; sizes, tokenizer, codec and weights are ours, trained from nothing
on synthetic data by `training/`. It shares no weights with any other model.

    from transformers import Qwen2_5OmniForConditionalGeneration
    model = Qwen2_5OmniForConditionalGeneration.from_pretrained("models/omni-nano")

## Measured

On generated data that training never saw: other sentences, object combinations, fonts, told values, backgrounds and,
where it says so, voices. `python -m training.evaluate` measures all of it again. About a hundred cases of other seeds are
kept in `tests/cases`, and `make test` asks that no answer becomes worse than `python -m training.cases measure tests/cases` found.

{figures}

## Parts

{parts}

The weights are stored in bfloat16, except the vocoder and the two voices' reference mels, which are float32.

## What it can do

- **Hear** English: write down sentences of an open vocabulary, and answer spoken questions about what it sees. It was
  trained on synthetic voices only; with human speech, strong accents, music or several people at once it will often
  fail.
- **See** pictures: colours, shapes, everyday objects as an emoji font draws them, sizes, positions, relations, counts to
  six, printed words and short lines, bar charts, and boxes as Qwen2.5-VL gives them
  (`[{{"bbox_2d": [x1, y1, x2, y2], "label": …}}]`, pixels of the picture). Photographs of the real world are beyond it.
- **Watch** short clips at 2 frames a second: direction of motion, what appears or disappears and when, order, flashes;
  with sound, what was shown while a word was said or a tone rang.
- **Talk**: greetings, who it is and what it can do, how to use Tandem and load a bigger model, facts told earlier in the
  conversation, follow-up questions.
- **Speak** English in two voices, {voices}.

It knows nothing of the world. Asked about anything else it is trained to say so and to name the way to a bigger model;
it has no judgement, and no guard against misuse beyond that. Do not rely on it where a wrong answer does harm.

## Made of

| what | from | licence, as its Debian package states it |
|---|---|---|
| voices slt, rms, kal16 (taught), awb (tests only) | flite, Carnegie Mellon University | permissive, BSD-like (CMU) |
| voices ked and hts-slt (hearing) | festival, festvox-kdlpc16k, festvox-us-slt-hts | permissive (CSTR, University of Edinburgh; CMU), parts BSD-3-clause |
| further voices for hearing | espeak-ng | GPL-3 or later; only its speech was used, nothing of it is shipped |
| objects | Noto Color Emoji (fonts-noto-color-emoji), Google | SIL OFL 1.1 (fonts), Apache-2.0 |
| sentences and words | WordNet 3.0, Princeton University (wordnet-base) | WordNet 3.0 licence |
| printed text | DejaVu (Bitstream Vera), Open Sans, Roboto (Apache-2.0), Lato, Carlito, Cabin, Comic Neue, EB Garamond, \
Quattrocento, Inconsolata (OFL), Caladea (Apache-2.0 / OFL), Fanwood (MIT), Liberation (GPL-2 with font exception), \
FreeFont (GPL-3 with font exception) | only pictures of their letters were used |

The independent recognizer of the figures is CMU PocketSphinx (BSD) with the US English model of its wheel.

WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved.
"""


def write_card(
    folder: Path, bars: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, Mapping[str, Any]], seed: int
) -> None:
    """Write the figures between the markers of `folder`/README.md; the whole card where there is none yet."""
    path = folder / "README.md"
    figures = f"{BEGIN}\n{table(bars, tasks, seed)}\n{END}"
    text = path.read_text() if path.exists() else ""
    if BEGIN in text and END in text:
        head, _, rest = text.partition(BEGIN)
        text = head + figures + rest.partition(END)[2]
    else:
        text = CARD.format(figures=figures, parts=parts(folder), voices=voices(folder))
    path.write_text(text)


def table(bars: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, Mapping[str, Any]], seed: int) -> str:
    """Markdown of the bars, each with what must and what should be reached, and of the kinds within the tasks."""
    lines = ["| task | measured | must | goal | reached |", "|---|---|---|---|---|"]
    for name, bar in bars.items():
        lines.append(f"| {name} | **{bar['value']:.3f}** | {bar['must']:g} | {bar['goal']:g} | {bar['reached']} |")
    speech = [f"{name} {tasks[name]['figure']:.3f}" for name in ("speech", "teacher") if name in tasks]
    if speech:
        lines += ["", f"Word error rates behind the independent recognizer's line: {', '.join(speech)}."]
    detailed = {name: found["kinds"] for name, found in tasks.items() if "kinds" in found}
    if detailed:
        lines += ["", "| task | by kind |", "|---|---|"]
        lines += [
            f"| {name} | {', '.join(f'{k} {v:.3f}' for k, v in kinds.items())} |" for name, kinds in detailed.items()
        ]
    most = max((found["examples"] for found in tasks.values()), default=0)
    lines += ["", f"{datetime.date.today().isoformat()}, seed {seed}, up to {most} examples a task."]
    return "\n".join(lines)


def parts(folder: Path) -> str:
    """Markdown of the parts, their sizes and parameters, read from the folder."""
    from safetensors import safe_open

    counts: dict[str, int] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:  # type: ignore[no-untyped-call]
            for name in weights.keys():
                size = 1
                for side in weights.get_slice(name).get_shape():
                    size *= side
                part = next(part for part, prefixes in _PARTS.items() if name.startswith(prefixes))
                counts[part] = counts.get(part, 0) + size
    config = json.loads((folder / "config.json").read_text())
    thinker, talker, token2wav = config["thinker_config"], config["talker_config"], config["token2wav_config"]
    text, audio, vision = thinker["text_config"], thinker["audio_config"], thinker["vision_config"]
    dit, vocoder = token2wav["dit_config"], token2wav["bigvgan_config"]
    shapes = {
        "Thinker, language model": f"{text['num_hidden_layers']} layers × {text['hidden_size']}, vocabulary {text['vocab_size']}",
        "Thinker, hearing": f"{audio['encoder_layers']} layers × {audio['d_model']}, 25 tokens a second",
        "Thinker, sight": f"{vision['depth']} layers × {vision['hidden_size']}, patches of {vision['patch_size']} pixels",
        "Talker": f"{talker['num_hidden_layers']} layers × {talker['hidden_size']}, {talker['tts_codec_pad_token_id'] - 1} codes, 25 a second",
        "Token2Wav, flow matching": f"{dit['num_hidden_layers']} layers × {dit['hidden_size']}",
        "Token2Wav, vocoder": f"BigVGAN, {vocoder['upsample_initial_channel']} channels, 24 kHz",
    }
    lines = ["| part | shape | parameters |", "|---|---|---|"]
    lines += [f"| {part} | {shape} | {counts.get(part, 0) / 1e6:.2f} M |" for part, shape in shapes.items()]
    size_mb = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    return "\n".join([*lines, f"| together | {size_mb:.0f} MB in files | {sum(counts.values()) / 1e6:.2f} M |"])


_PARTS: dict[str, tuple[str, ...]] = {
    "Thinker, hearing": ("thinker.audio_tower.",),
    "Thinker, sight": ("thinker.visual.",),
    "Thinker, language model": ("thinker.",),
    "Talker": ("talker.",),
    "Token2Wav, flow matching": ("token2wav.code2wav_dit_model.",),
    "Token2Wav, vocoder": ("token2wav.code2wav_bigvgan_model.",),
}


def voices(folder: Path) -> str:
    import torch

    names = list(torch.load(folder / "spk_dict.pt", weights_only=True))
    return " and ".join(names)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the card of a folder anew; its figures are kept.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("models/omni-nano"))
    folder = parser.parse_args().folder
    path = folder / "README.md"
    text = path.read_text() if path.exists() else ""
    kept = (
        BEGIN + text.partition(BEGIN)[2].partition(END)[0] + END
        if BEGIN in text
        else f"{BEGIN}\nNot measured yet.\n{END}"
    )
    path.write_text(CARD.format(figures=kept, parts=parts(folder), voices=voices(folder)))


if __name__ == "__main__":
    main()

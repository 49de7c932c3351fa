"""Measure moe-nano on problems that training never saw, and write the figures into its card.

    python -m training.moe_evaluate models/moe-nano --count 990

`unseen`: trained wordings, new instances; `paraphrase`: wordings never trained on as well; `first`: of these the ones
held out since the first run, for comparison with it; `without the tool`: what can be reasoned out. Greedy, the tool
being real Python.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import torch

import multimodal  # noqa: F401  (repairs torchvision before transformers)
from training.moe_chat import Encoder, chat_tokenizer, control_ids
from training.moe_export import load, write_figures
from training.moe_grammar import Split
from training.moe_problems import MAKERS, draw, is_right, result
from training.moe_progress import Answered, answers, examined, shares

BARS: dict[Split, float] = {"unseen": 0.95, "paraphrase": 0.85}
SPLITS: tuple[Split, ...] = ("unseen", "paraphrase", "first")


def without_tool(count: int, seed: int) -> list[Any]:
    """Unseen problems that have a way to the answer without a program."""
    rng, problems = random.Random(f"direct-{seed}"), []
    while len(problems) < count:
        problem = draw(rng, "unseen")
        if (problem.direct or problem.code is None) and problem.function is None:
            problems.append(problem)
    return problems


@torch.no_grad()
def expert_use(model: Any, given: list[Answered], encoder: Encoder) -> dict[str, Any]:
    """How evenly the experts are used on what was written: the least and the most used one, 1 being even, and dead ones."""
    counts = torch.zeros(model.config.num_hidden_layers, model.config.num_experts)
    for one in given[:200]:
        ids = encoder.encode(
            f"<|im_start|>user\n{one.problem.question}<|im_end|>\n<|im_start|>assistant\n{one.written}"
        )
        routed = model(torch.tensor([ids]), output_router_logits=True).router_logits
        for layer, logits in enumerate(routed):
            chosen = logits.topk(model.config.num_experts_per_tok, -1).indices.flatten()
            counts[layer] += torch.bincount(chosen.cpu(), minlength=model.config.num_experts)
    even = counts / counts.sum(1, keepdim=True) * model.config.num_experts
    return {"least": round(float(even.min()), 3), "most": round(float(even.max()), 3), "dead": int((even < 0.1).sum())}


def table(figures: dict[str, Any]) -> str:
    """The figures as the card shows them."""
    splits = figures["splits"]
    kinds = sorted({kind for split in splits.values() for kind in split} - {"all"})
    lines = ["| problems | " + " | ".join(splits) + " |", "|---" * (len(splits) + 1) + "|"]
    for kind in ["all", *kinds]:
        cells = [f"{100 * split[kind]:.1f} %" if kind in split else "" for split in splits.values()]
        lines.append(f"| {'**all**' if kind == 'all' else kind} | " + " | ".join(cells) + " |")
    use = figures["experts"]
    lines += ["", f"{figures['count']} problems a column, seed {figures['seed']}; first: in wordings that were held out from the first training on. "
              f"Experts: the least used one of any layer gets {use['least']} of an even share, "
              f"the most used one {use['most']}; {use['dead']} get less than a tenth."]  # fmt: skip
    return "\n".join(lines)


def evaluate(folder: Path, count: int, seed: int, device: str = "cpu", show: int = 0) -> dict[str, Any]:
    from transformers import AutoTokenizer

    model, encoder, control = load(folder).to(device), Encoder(), control_ids()
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == chat_tokenizer().get_vocab(), "another tokenizer"
    marks = (encoder, control["<|im_end|>"], control["<|endoftext|>"])
    figures: dict[str, Any] = {"count": count, "seed": seed, "splits": {}}
    kept: list[Answered] = []
    for split in SPLITS:
        given = list(answers(model, examined(split, count, seed), *marks))
        figures["splits"][split] = shares(given)
        for one in [one for one in given if not one.right][:show]:
            print(
                json.dumps(
                    {split: one.problem.question, "written": one.written, "gold": one.problem.gold}, ensure_ascii=False
                ),
                flush=True,
            )
        kept = kept or given
    given = list(answers(model, without_tool(count, seed), *marks, tool=False))
    figures["splits"]["unseen, without the tool"] = shares(given)
    figures["experts"] = expert_use(model.cpu(), kept, encoder)
    figures["bars"] = {split: figures["splits"][split]["all"] >= bar for split, bar in BARS.items()}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=990, help="problems of each split")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--show", type=int, default=0, help="so many wrong answers of each split")
    options = parser.parse_args()
    # The problems' own answers have to pass first: a figure above what is possible, or below it, would mean nothing.
    rng = random.Random(options.seed)
    assert all(is_right(p, p.final(result(p))) for make in MAKERS for p in (draw(rng, "unseen", make),))
    figures = evaluate(options.folder, options.count, options.seed, options.device, options.show)
    write_figures(options.folder, table(figures))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

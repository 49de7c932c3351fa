"""Linear layers and attention of omni-nano's sizes: `multimodal.linear` and `multimodal.attention` against torch's own.

    python -m benchmarks.linear

One thread, the best of several rounds, both sides by turns. Prints one JSON line.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.report import hardware, print_line
from multimodal.attention import attend
from multimodal.linear import linear

ROUNDS = 7
PRODUCTS = ((576, 256, 768), (576, 768, 256), (3490, 384, 1024), (3490, 1024, 384))  # rows, in, out


def best(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """Processor seconds of either, the best of `ROUNDS`."""
    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        pair = []
        for work in (ours, theirs):
            started = time.process_time()
            work()
            pair.append(time.process_time() - started)
        times.append((pair[0], pair[1]))
    return min(a for a, _ in times), min(b for _, b in times)


def main() -> None:
    about = hardware()
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    with torch.inference_mode():
        for rows, width, out in PRODUCTS:
            x, weight = torch.randn(rows, width), torch.randn(out, width)
            ours, theirs = best(partial(linear, x, weight), partial(F.linear, x, weight))
            results[f"product_{rows}x{width}x{out}"] = told(2 * rows * width * out, ours, theirs)
        for name, heads, kept, length, causal in (("prefill", 6, 2, 3490, True), ("frame", 4, 4, 576, False)):
            query = torch.randn(1, heads, length, 64)
            key, value = torch.randn(1, kept, length, 64), torch.randn(1, kept, length, 64)
            whole = partial(F.scaled_dot_product_attention, is_causal=causal, enable_gqa=heads > kept)
            ours, theirs = best(partial(attend, query, key, value, None, causal), partial(whole, query, key, value))
            results[f"attention_{name}"] = told(4 * heads * length**2 * 64 // (2 if causal else 1), ours, theirs)
    print_line("linear", results, about)


def told(operations: int, ours: float, theirs: float) -> dict[str, float]:
    return {
        "gflops": round(operations / ours / 1e9, 1),
        "torch_gflops": round(operations / theirs / 1e9, 1),
        "ratio": round(theirs / ours, 2),
    }


if __name__ == "__main__":
    main()

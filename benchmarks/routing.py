"""The router's time and its errors on the labelled prompts, and what Tandem adds to a backend's stream.

The stream comes from a scripted server on this machine that sends a token every `--gap-ms`; the same request is read
with the bare `openai` client, through Tandem's backend, and as a whole routed answer whose text the Thinker of a seeded
random checkpoint reads meanwhile, in turns. Prints one JSON line.

    python -m benchmarks.routing [--rounds 7] [--tokens 200] [--gap-ms 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.report import hardware, print_line
from reasoning.backend import AnswerDelta, Options
from reasoning.messages import Message
from reasoning.openai_backend import OpenAiBackend, Remote
from reasoning.profiles import load_profiles
from reasoning.router import Available, Request, route
from tests.scripted_server import END, Reply, chunk, scripted

PROMPTS = Path(__file__).resolve().parent.parent / "tests" / "router_prompts.jsonl"
MOE = Available("moe-nano", frozenset({"reasoning"}))
LONG = "The minutes of the meeting follow. " * 3000 + "What is 347 times 29?"


def router(rounds: int) -> dict[str, Any]:
    """Precision and recall on both halves; microseconds a request, of processor time, the best of the rounds."""
    rows = [json.loads(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]
    measured: dict[str, Any] = {}
    for split in ("tuned", "held_out"):
        pairs = [(row["heavy"], _ask(row["text"], row).heavy) for row in rows if row["split"] == split]
        both = sum(wanted and got for wanted, got in pairs)
        measured[split] = {
            "prompts": len(pairs),
            "precision": round(both / sum(got for _, got in pairs), 4),
            "recall": round(both / sum(wanted for wanted, _ in pairs), 4),
        }
    times = sorted(_best_us(row["text"], row, rounds) for row in rows)
    measured["median_us"] = round(statistics.median(times), 1)
    measured["p99_us"] = round(times[int(len(times) * 0.99)], 1)
    measured["long_text_us"] = round(_best_us(LONG, {}, rounds), 1)
    return measured


def _ask(text: str, row: dict[str, Any]) -> Any:
    return route(Request(text, tuple(row.get("attachments", ())), available=(MOE,)))


def _best_us(text: str, row: dict[str, Any], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time_ns()
        _ask(text, row)
        best = min(best, (time.process_time_ns() - started) / 1000)
    return best


def overhead(rounds: int, tokens: int, gap_ms: float) -> dict[str, float]:
    """Time to the first token and tokens a second, bare client against backend, medians over the rounds."""
    from openai import OpenAI

    body = [*(chunk(content="word ") for _ in range(tokens)), chunk(finish="stop"), END]
    reply = Reply(body, pause_sec=gap_ms / 1000)
    bare: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    with scripted(*[reply] * (2 * rounds + 2)) as server:
        client = OpenAI(base_url=server.url, api_key="none", max_retries=0)
        backend = OpenAiBackend(Remote("qwen-max", server.url), load_profiles().of_remote("qwen-max"))
        for number in range(rounds + 1):
            for read, kept in ((_read_bare, bare), (_read_ours, ours)):
                result = read(client if read is _read_bare else backend)
                if number:  # the first of each opens its connection
                    kept.append(result)
        backend.close()
        client.close()
    first = [statistics.median(first for first, _ in runs) * 1000 for runs in (bare, ours)]
    rate = [tokens / statistics.median(total for _, total in runs) for runs in (bare, ours)]
    return {
        "first_token_bare_ms": round(first[0], 2),
        "first_token_tandem_ms": round(first[1], 2),
        "first_token_added_ms": round(first[1] - first[0], 2),
        "tokens_per_sec_bare": round(rate[0], 1),
        "tokens_per_sec_tandem": round(rate[1], 1),
        "throughput_ratio": round(rate[1] / rate[0], 4),
    }


def answer_overhead(rounds: int, tokens: int, gap_ms: float) -> dict[str, float]:
    """As `overhead`, bare client against a whole answer: routed, told, and read by the Thinker, without speech."""
    import tempfile

    import torch
    from openai import OpenAI

    from app.answering import Answering
    from app.backends import Backends
    from multimodal.checkpoint import load
    from multimodal.checkpoint_files import write_random_checkpoint
    from multimodal.prompt import Turn
    from streaming.events import TextDelta
    from streaming.session import Conversation, ResponseOptions

    torch.set_num_threads(1)
    body = [*(chunk(content="word. " if i % 12 == 11 else "word ") for i in range(tokens))]
    reply = Reply([*body, chunk(finish="stop"), END], pause_sec=gap_ms / 1000)
    bare: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, scripted(*[reply] * (2 * rounds + 2)) as server:
        checkpoint = load(write_random_checkpoint(Path(folder) / "tiny"))
        client = OpenAI(base_url=server.url, api_key="none", max_retries=0)
        profile = load_profiles().of_remote("qwen-max")
        backends = Backends([])
        backends.add(OpenAiBackend(Remote("qwen-max", server.url), profile), profile)
        answering = Answering(backends)
        for number in range(rounds + 1):
            pair = [_read_bare(client)]
            conversation = Conversation(checkpoint)
            conversation.append(Turn("user", ("Prove that 17 is prime, step by step.",)))
            started, first, last = time.perf_counter(), 0.0, 0.0
            for event in answering.respond(conversation, ResponseOptions(speech=False), "qwen-max"):
                if isinstance(event, TextDelta):
                    last = time.perf_counter() - started
                    first = first or last
            pair.append((first, last))
            if number:
                bare.append(pair[0])
                ours.append(pair[1])
        backends.close()
        client.close()
    first_ms = [statistics.median(first for first, _ in runs) * 1000 for runs in (bare, ours)]
    rate = [tokens / statistics.median(total for _, total in runs) for runs in (bare, ours)]
    return {
        "first_token_bare_ms": round(first_ms[0], 2),
        "first_token_added_ms": round(first_ms[1] - first_ms[0], 2),
        "throughput_ratio": round(rate[1] / rate[0], 4),
    }


def _read_bare(client: Any) -> tuple[float, float]:
    started, first = time.perf_counter(), 0.0
    stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}], stream=True)
    for item in stream:
        if item.choices and item.choices[0].delta.content and not first:
            first = time.perf_counter() - started
    return first, time.perf_counter() - started


def _read_ours(backend: Any) -> tuple[float, float]:
    started, first = time.perf_counter(), 0.0
    for event in backend.stream([Message("user", ("?",))], Options()):
        if isinstance(event, AnswerDelta) and not first:
            first = time.perf_counter() - started
    return first, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--gap-ms", type=float, default=5.0)
    options = parser.parse_args()
    about = hardware()
    stream = overhead(options.rounds, options.tokens, options.gap_ms)
    answer = answer_overhead(options.rounds, options.tokens, options.gap_ms)
    print_line("routing", {"router": router(options.rounds), "stream": stream, "answer": answer}, about)


if __name__ == "__main__":
    main()

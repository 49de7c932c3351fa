"""`--dry-run`: what a run would read and cost, from headers, and how long it would take, from one window tried out."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.analysis.answerer import AnswerFailed
from app.analysis.decoder import Decoder
from app.analysis.item import Analyst, ask
from app.analysis.manifest import Item
from app.analysis.plan import ItemPlan, extent, plan
from multimodal.errors import TandemError


def dry_run(items: Sequence[Item], analyst: Analyst) -> dict[str, Any]:
    """Plans of all items, and the estimate; nothing is written."""
    plans: list[ItemPlan] = []
    rows: list[dict[str, Any]] = []
    for item in items:
        try:
            planned = _planned(item, analyst)
            plans.append(planned)
            rows.append(
                {
                    "id": item.id,
                    "duration_sec": round(planned.end_sec - planned.start_sec, 3),
                    "windows": len(planned.windows),
                    "frames": planned.frames,
                    "sound": planned.audio,
                    "tokens": planned.tokens,
                    "problem": None,
                }
            )
        except TandemError as error:
            rows.append({"id": item.id, "problem": " ".join(str(error).split())})
    tokens = sum(planned.tokens for planned in plans)
    seconds = sum(planned.end_sec - planned.start_sec for planned in plans)
    told: dict[str, Any] = {"items": rows, "media_sec": round(seconds, 3), "tokens": tokens, "estimated_sec": None}
    rates = _calibrate(plans, analyst)
    if rates is not None:
        per_media, per_token = rates
        told["estimated_sec"] = round((seconds * per_media + tokens * per_token) / analyst.options.jobs, 1)
    return told


def _planned(item: Item, analyst: Analyst) -> ItemPlan:
    if item.problem:
        raise TandemError(item.problem)
    options = analyst.options
    decoder = Decoder(item.source, analyst.limits, analyst.decode_threads, options.timeout)
    try:
        outline = decoder.outline()
        cuts = decoder.cuts(*extent(item, outline)) if options.window == "scenes" else ()
        return plan(item, outline, cuts, options, analyst.answerer, analyst.limits)
    finally:
        decoder.close()


def _calibrate(plans: Sequence[ItemPlan], analyst: Analyst) -> tuple[float, float] | None:
    """(seconds of decoding for a second of media, seconds of answering for a prompt token) of one window."""
    for planned in plans:
        window = planned.windows[0]
        if window.sampled is None:
            continue
        decoder = Decoder(planned.item.source, analyst.limits, analyst.decode_threads, analyst.options.timeout)
        try:
            decoder.outline()
            started = time.monotonic()
            decoder.ask("window", window.budget, planned.audio, window.start_sec, window.read_to_sec)
            clip = decoder.answer()
            decoded = time.monotonic()
            ask(analyst, (clip, planned.question), analyst.options.seed, analyst.schema)
            answered = time.monotonic()
        except (TandemError, AnswerFailed):
            continue
        finally:
            decoder.close()
        return (decoded - started) / (window.end_sec - window.start_sec), (answered - decoded) / max(1, window.tokens)
    return None


def print_estimate(told: dict[str, Any]) -> None:
    """A table on standard error, one JSON object on standard output."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("item", "seconds", "windows", "frames", "sound", "tokens"):
        table.add_column(heading, overflow="fold", justify="left" if heading == "item" else "right")
    for row in told["items"]:
        if row["problem"]:
            table.add_row(escape(row["id"]), escape(row["problem"]))
            continue
        values = (
            f"{row['duration_sec']:.1f}",
            row["windows"],
            row["frames"],
            "yes" if row["sound"] else "no",
            row["tokens"],
        )
        table.add_row(escape(row["id"]), *map(str, values))
    console = Console(stderr=True)
    console.print(table)
    time_told = "unknown" if told["estimated_sec"] is None else f"{told['estimated_sec']:.0f} s"
    console.print(f"{told['media_sec']:.0f} s of media, {told['tokens']} tokens, estimated time {time_told}")
    print(json.dumps(told, ensure_ascii=False))

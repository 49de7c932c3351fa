"""`route`: say who would answer a request, and why, without loading a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, cast, get_args

import typer
from rich.console import Console
from rich.table import Table

from app.config import ConfigError, resolve
from reasoning.router import AUTO, Asked, Available, Medium, Request, Role, Route
from reasoning.router import route as decide

_DEFAULT = (Available("moe-nano", frozenset({"reasoning"}), languages=frozenset({"en"})),)
_ROLES = get_args(Role)
_MEDIA = get_args(Medium)


def route(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The request.")],
    attach: Annotated[list[str] | None, typer.Option(metavar="KIND", help="image, audio or video. Repeats.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The request before it in the conversation.")
    ] = None,
    choice: Annotated[str, typer.Option("--backend", metavar="NAME", help="auto, thinker or a backend.")] = AUTO,
    available: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ROLE", help="A backend and what it is for; by default moe-nano=reasoning. Repeats."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Explain which backend a request goes to."""
    try:
        thresholds = resolve().thresholds()
    except ConfigError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    attachments = tuple(_one_of(kind, _MEDIA, "--attach") for kind in attach or ())
    backends = tuple(_backend(entry) for entry in available) if available else _DEFAULT
    history: tuple[Asked, ...] = ()
    if after is not None:
        history = (Asked(after, decide(Request(after, available=backends), thresholds).heavy),)
    decided = decide(Request(text, cast(tuple[Medium, ...], attachments), history, choice, backends), thresholds)
    if as_json:
        told = {name: value for name, value in asdict(decided).items() if name != "why"}
        typer.echo(json.dumps(told | {"reason": decided.reason}, ensure_ascii=False))
    else:
        print_route(decided, Console())


def print_route(decided: Route, console: Console) -> None:
    """The decision in one line, then what each feature added."""
    console.print(f"[bold]{decided.backend}[/bold]: {decided.reason}", highlight=False)
    console.print(f"score {decided.score:.2f}, confidence {decided.confidence:.2f}", highlight=False)
    if decided.features:
        table = Table("feature", "adds")
        for name, value in sorted(decided.features.items(), key=lambda entry: -abs(entry[1])):
            table.add_row(name, f"{value:+.2f}")
        console.print(table)


def _backend(entry: str) -> Available:
    name, _, role = entry.partition("=")
    kept = cast(Role, _one_of(role or "reasoning", _ROLES, "--available"))
    return Available(name, frozenset({kept}), sees=kept in ("vision", "grounding", "documents"))


def _one_of(value: str, known: tuple[str, ...], flag: str) -> str:
    if value not in known:
        raise typer.BadParameter(f"{flag} {value}: choose one of {', '.join(known)}")
    return value

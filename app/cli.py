"""Commands and flags. What a command does is in the module of its name, imported when it runs: `--help` must not
wait for torch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand

from app.analysis.command import analyze, report
from app.config import MOST_TOKENS, Config, ConfigError, resolve
from app.route import route

EXIT_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
MEDIA_FLAGS = ("image", "audio", "video")

app = typer.Typer(
    name="tandem",
    help="A multimodal assistant: it sees, hears, thinks and speaks, on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class MediaOrder(TyperCommand):
    """A command that knows the order of its media flags: options of the same name are collected together, and the
    order between different names is lost otherwise. `ctx.meta["media"]`: [(flag name, value), …] as typed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        values, _, order = self.make_parser(ctx).parse_args(list(args))
        waiting = {name: iter(values.get(name) or ()) for name in MEDIA_FLAGS}
        ctx.meta["media"] = [(one.name, next(waiting[one.name])) for one in order if one.name in waiting]
        return super().parse_args(ctx, args)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """What the user can mend ends in one line on standard error and exit status 2; Ctrl-C in 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        if isinstance(error, ConfigError) or _is_user_error(error):
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
            sys.exit(EXIT_USER_ERROR)
        raise


def _is_user_error(error: Exception) -> bool:
    """Without importing `multimodal` for an error that cannot have come from there."""
    errors = sys.modules.get("multimodal.errors")
    return errors is not None and isinstance(error, cast(Any, errors).TandemError)


# Flags of more than one command.
Model = Annotated[str | None, typer.Option("--model", metavar="MODEL", help="A name, a checkpoint folder or a hub id.")]
NoSpeech = Annotated[bool, typer.Option("--no-speech", help="Text only; the Talker is not loaded.")]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", min=1, max=MOST_TOKENS, metavar="N", help="Longest answer, in text tokens."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Makes sampling repeatable.")]
Greedy = Annotated[bool, typer.Option("--greedy", help="Always the likeliest token, in text and speech.")]
Backend = Annotated[
    str | None, typer.Option("--backend", metavar="NAME", help="Who answers: auto, thinker, or one of --backends.")
]
BackendList = Annotated[
    str | None, typer.Option("--backends", metavar="LIST", help="Who may reason: names, folders, MODEL@SERVER.")
]
Device = Annotated[str | None, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1, …")]
Dtype = Annotated[str | None, typer.Option("--dtype", metavar="NAME", help="float32, bfloat16 or float16.")]


def _settings(flags: Mapping[str, Any]) -> Config:
    """The settings with the flags of `ask` or `web` as they were typed; a flag that was not typed says nothing."""
    names = ("model", "voice", "max_tokens", "seed", "backend", "backends", "device", "dtype", "data_dir")
    chosen = {name: flags.get(name) for name in names}
    return resolve({**chosen, "greedy": flags["greedy"] or None, "speech": False if flags["no_speech"] else None})


@app.command(cls=MediaOrder)
def ask(
    ctx: typer.Context,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="The question; '-' reads it from standard input."),
    ] = None,
    image: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A picture. Repeats.")] = None,
    audio: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A sound file. Repeats.")] = None,
    video: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A video, with its sound. Repeats.")] = None,
    speak: Annotated[Path | None, typer.Option(metavar="FILE", help="Speak the answer into this WAV file.")] = None,
    voice: Annotated[str | None, typer.Option(metavar="NAME", help="The voice; `models` lists them.")] = None,
    model: Model = None,
    no_speech: NoSpeech = False,
    max_tokens: MaxTokens = None,
    seed: Seed = None,
    greedy: Greedy = False,
    backend: Backend = None,
    backends: BackendList = None,
    device: Device = None,
    dtype: Dtype = None,
    conversation: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Go on with the conversation in this file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object on a line of its own.")] = False,
) -> None:
    """Answer a question about text, pictures, sounds and videos; media keep the order in which they are typed."""
    with user_errors():
        config = _settings(ctx.params)
        from app.ask import Question, answer

        question = Question.collect(text, ctx.meta["media"], speak=speak, conversation=conversation, config=config)
        status = answer(question, config, as_json=as_json)
    raise typer.Exit(status)


@app.command()
def web(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(metavar="N", help="The port; without it, 7860 or the next free.")] = None,
    open_to_network: Annotated[
        bool, typer.Option("--open-to-network", help="Let other machines in; nobody is asked for a password.")
    ] = False,
    data_dir: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where conversations are kept.")] = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Keep nothing after the end.")] = False,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    record: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Record every call into this folder, sound and pictures too.")
    ] = None,
    model: Model = None,
    voice: Annotated[
        str | None, typer.Option(metavar="NAME", help="The voice until one is chosen on the page.")
    ] = None,
    no_speech: NoSpeech = False,
    max_tokens: MaxTokens = None,
    seed: Seed = None,
    greedy: Greedy = False,
    backend: Backend = None,
    backends: BackendList = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Serve the page: conversations with pictures, sounds, videos and speech, kept on this machine."""
    with user_errors():
        from app.web.command import WebOptions, serve

        options = WebOptions(host, port, open_to_network, ephemeral, browser, record)
        serve(_settings(ctx.params), options)


@app.command()
def replay(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that `web --record` has made.")],
    model: Model = None,
) -> None:
    """Run a recorded call through the engine again and print what differs; exit status 1 where something does."""
    with user_errors():
        from app.realtime.replay import check, print_replay

        check(bundle)
        same = print_replay(bundle, resolve({"model": model}), model is not None)
    raise typer.Exit(0 if same else EXIT_FAILED)


@app.command()
def models(model: Model = None) -> None:
    """List the checkpoints on this machine, with their sizes and voices."""
    with user_errors():
        from app.models import print_models

        print_models(resolve({"model": model}))


@app.command()
def fim(
    place: Annotated[str, typer.Argument(metavar="FILE:LINE", help="Where to fill in; lines count from 1.")],
    coder: Annotated[
        str | None, typer.Option(metavar="CODER", help="A Qwen2.5-Coder model: a folder, a hub id, MODEL@SERVER.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Put it into the file instead of printing it.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1, max=MOST_TOKENS, metavar="N", help="Longest piece of code.")] = 256,
    device: Device = None,
) -> None:
    """Fill a gap in a source file with a Qwen2.5-Coder model."""
    with user_errors():
        from app.fim import fill_in

        fill_in(place, resolve({"backends": coder, "device": device}), write=write, max_tokens=max_tokens)


@app.command()
def read(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Pictures of pages, signs, receipts; PDFs.")],
    form: Annotated[
        str, typer.Option("--as", metavar="FORM", help="text, lines (with places), layout (Markdown), or fields.")
    ] = "text",
    schema: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON schema of the fields.")] = None,
    pages: Annotated[str | None, typer.Option(metavar="1-3,7", help="Pages of the PDFs; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a page, places included.")] = False,
    model: Model = None,
    backend: Backend = None,
    backends: BackendList = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, max=MOST_TOKENS, metavar="N", help="Longest page, in text tokens.")
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, …")] = None,
) -> None:
    """Read what is written in pictures and PDFs, with a Qwen2.5-VL backend where one is configured."""
    with user_errors():
        from app.read import read as read_files

        flags = {"model": model, "backend": backend, "backends": backends, "max_tokens": max_tokens, "device": device}
        wanted = cast(Any, "fields" if schema is not None and form == "text" else form)
        status = read_files(files, wanted, schema, resolve(flags), pages=pages, as_json=as_json)
    raise typer.Exit(status)


@app.command()
def doctor(model: Model = None) -> None:
    """Check versions, devices, memory and checkpoints, and say what to do about what is not right."""
    with user_errors():
        from app.doctor import print_report

        healthy = print_report(resolve({"model": model}))
    raise typer.Exit(0 if healthy else EXIT_FAILED)


app.command()(route)
app.command()(analyze)
app.command()(report)

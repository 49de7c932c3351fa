"""`analyze` and `report`: flags → settings → run → exit status."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from app.analysis.manifest import collect, in_shard
from app.analysis.options import (
    AnalysisError,
    AnalysisOptions,
    check_output,
    parse_formats,
    parse_number,
    parse_shard,
    parse_window,
)
from app.config import Config, resolve

EXIT_OK, EXIT_FAILED_ITEMS, EXIT_NOTHING, EXIT_INTERRUPTED = 0, 3, 4, 130

_FILE_KINDS: dict[str, type] = {  # of the flags that have no default to tell it
    **dict.fromkeys(("prompt", "task", "model", "backend", "device", "dtype"), str),
    "paths": list,
    "lists": list,
    "schema": Path,
    "out": Path,
    "overlap": float,
    "max_frames": int,
}


def analyze(
    ctx: typer.Context,
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH…", help="Files, folders or patterns.")] = None,
    lists: Annotated[
        list[str] | None,
        typer.Option("-a", metavar="LIST", help="A list of paths or a manifest; '-': standard input."),
    ] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="The question about each video.")] = None,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="What to do; see docs/analyze.md.")] = None,
    schema: Annotated[Path | None, typer.Option(metavar="FILE", help="Answers are JSON of this schema.")] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The results, as JSON lines.")] = Path("results.jsonl"),
    format: Annotated[str, typer.Option(metavar="LIST", help="jsonl,csv,parquet,srt,vtt,html")] = "jsonl",
    fps: Annotated[str, typer.Option(metavar="N|auto", help="Frames looked at in a second.")] = "auto",
    window: Annotated[str, typer.Option(metavar="SEC|scenes|whole", help="What is looked at in one piece.")] = "30",
    overlap: Annotated[float | None, typer.Option(metavar="SEC", help="What neighbouring windows share.")] = None,
    max_frames: Annotated[int | None, typer.Option(metavar="N", help="Most frames of one video.")] = None,
    audio: Annotated[str, typer.Option(metavar="auto|on|off", help="Whether the sound is heard.")] = "auto",
    model: Annotated[str | None, typer.Option(metavar="MODEL", help="A name, a folder or a hub id.")] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="NAME", help="A server of docs/reasoning.md, openai, or local.")
    ] = None,
    base_url: Annotated[str, typer.Option(metavar="URL", help="Where the backend's server is.")] = "",
    jobs: Annotated[int, typer.Option(metavar="N", help="Videos worked on at once.")] = 1,
    retries: Annotated[int, typer.Option(metavar="N", help="More tries after a failure by chance.")] = 1,
    timeout: Annotated[float, typer.Option(metavar="SEC", help="Longest time to decode one window.")] = 300.0,
    resume: Annotated[bool, typer.Option("--resume/--overwrite", help="Go on where the last run ended.")] = True,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try what failed again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it costs.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1, max=8192, metavar="N", help="Longest answer about a window.")] = 512,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another seed, other sampled answers.")] = 0,
    shard: Annotated[str, typer.Option(metavar="I/N", help="Only the I-th of N parts.")] = "1/1",
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Flags from a TOML file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json_progress: Annotated[bool, typer.Option("--json-progress", help="Progress as JSON lines.")] = False,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, …")] = None,
    dtype: Annotated[str | None, typer.Option(metavar="NAME", help="float32, bfloat16 or float16.")] = None,
) -> None:
    """Answer a question about every video of a folder, with times; goes on where it was interrupted."""
    from app.cli import user_errors

    with user_errors():
        given = {name: value for name, value in ctx.params.items() if _typed(ctx, name)}
        values = {**ctx.params, **flags_from_file(config, ctx.params), **given}
        status = run(values)
    raise typer.Exit(status)


def _typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def flags_from_file(path: Path | None, known: dict[str, Any]) -> dict[str, Any]:
    """Flags from a TOML file, by their long names."""
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AnalysisError(f"{path}: cannot be used ({error}); correct it") from None
    table = {name.replace("-", "_"): value for name, value in table.items()}
    if "a" in table:
        table["lists"] = table.pop("a")
    for name in table.keys() - (known.keys() - {"config"}):
        raise AnalysisError(f"{path}: {name} is not a flag of analyze; correct it")
    for name, value in table.items():
        wanted = _FILE_KINDS.get(name, type(known[name]))
        if wanted is str and isinstance(value, int | float) and not isinstance(value, bool):
            table[name] = str(value)
        elif wanted is Path and isinstance(value, str):
            table[name] = Path(value)
        elif wanted is list and isinstance(value, list) and all(isinstance(one, str) for one in value):
            pass
        elif wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
            table[name] = float(value)
        elif type(value) is not wanted or wanted is list:
            raise AnalysisError(f"{path}: {name} = {value!r} is not what the flag takes; correct it")
    return table


def run(values: dict[str, Any]) -> int:
    """The exit status: 0 all ok, 3 some items failed, 4 nothing could be done."""
    found = collect(values["paths"] or [], values["lists"] or [], sys.stdin.buffer)
    formats = parse_formats(values["format"])
    schema = None
    if values["schema"] is not None:
        from reasoning.json_schema import JsonSchema

        schema = JsonSchema.read(values["schema"])
    task = values["task"] or ("qa" if values["prompt"] else "caption")
    if values["audio"] not in ("auto", "on", "off"):
        raise AnalysisError(f"--audio {values['audio']}: choose auto, on or off")
    if schema is not None and task in ("transcript", "count", "events"):
        raise AnalysisError(f"--schema does not go with --task {task}: ask for the fields with --prompt")
    options = AnalysisOptions(
        task=task,
        prompt=values["prompt"],
        schema=schema.schema if schema else None,
        fps=None if values["fps"] == "auto" else parse_number("--fps", values["fps"]),
        window=parse_window(values["window"]),
        overlap=values["overlap"],
        max_frames=values["max_frames"],
        audio=values["audio"],
        max_tokens=values["max_tokens"],
        seed=values["seed"],
        retries=values["retries"],
        timeout=values["timeout"],
        jobs=values["jobs"],
        shard=parse_shard(values["shard"]),
    )
    items = [item for item in found.items if in_shard(item, options.shard)]
    for complaint in found.complaints:
        typer.echo(f"note: {complaint}", err=True)
    config = resolve({"model": values["model"], "device": values["device"], "dtype": values["dtype"], "speech": False})
    if not values["dry_run"]:
        check_output(values["out"])
    from app.analysis.estimate import dry_run, print_estimate
    from app.analysis.item import Analyst
    from app.analysis.item import analyze as analyze_item
    from app.analysis.journal import Journal
    from app.analysis.progress import Progress
    from app.analysis.run import Run

    mode = "quiet" if values["quiet"] else "json" if values["json_progress"] else "lines"
    mode = "bar" if mode == "lines" and sys.stderr.isatty() else mode
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    journal = None
    if not values["dry_run"]:  # before the model is loaded, so that a second run is refused at once
        who = f"{values['backend'] or 'thinker'} {values['base_url']} {config.model}"
        journal = Journal(
            values["out"], options.fingerprint(who), overwrite=not values["resume"], retry_failed=values["retry_failed"]
        )
    try:
        todo = [item for item in items if journal is None or item.id not in journal.done]
        if not items and found.complaints:
            return EXIT_NOTHING
        if not todo and journal is not None:
            return _finish(items, journal, None, formats, len(found.complaints))
        answerer = _answerer(values, config, threads)
        if options.task == "transcript" and not answerer.hears:
            raise AnalysisError(f"{answerer.name} does not hear: leave out --backend to transcribe")
        try:
            limits = config.media_limits()
            if journal is None:
                analyst = Analyst(options, answerer, limits, _Nothing(), schema, threads)
                print_estimate(dry_run(items, analyst))
                return EXIT_OK
            progress = Progress(mode, len(todo))
            loop = Run(lambda item: analyze_item(item, analyst), journal, progress, options.jobs, options.retries)
            analyst = Analyst(options, answerer, limits, journal, schema, threads, loop.tell)
            try:
                outcome = loop.all(todo)
            finally:
                progress.close()
        finally:
            answerer.close()
        return _finish(items, journal, outcome.stopped, formats, len(found.complaints))
    finally:
        if journal is not None:
            journal.close()


class _Nothing:
    def window(self, item: str, sha256: str, number: int) -> None:
        return None

    def keep_window(self, item: str, sha256: str, number: int, answer: dict[str, Any]) -> None:
        pass


def _answerer(values: dict[str, Any], config: Config, threads: int) -> Any:
    from app.analysis.answerer import BackendAnswerer, ThinkerAnswerer

    if values["backend"] is None:
        import torch

        from app.assistant import Assistant

        checkpoint = Assistant(config, speech=False).checkpoint
        torch.set_num_threads(threads)
        return ThinkerAnswerer(checkpoint)
    if values["model"] is None:
        raise AnalysisError("--backend needs the name of its model: give --model")
    if values["backend"] == "local":
        from reasoning.local_backend import LocalBackend

        backend: Any = LocalBackend.load(config.model, device=config.device, dtype=config.dtype)
    elif values["backend"] == "openai":
        from reasoning.openai_backend import OpenAiBackend, Remote
        from reasoning.profiles import load_profiles

        if not values["base_url"]:
            raise AnalysisError("--backend openai needs the address of its API: give --base-url http://…/v1")
        remote = Remote(config.model, values["base_url"], os.environ.get("OPENAI_API_KEY", ""))
        backend = OpenAiBackend(remote, load_profiles().of_remote(config.model))
    else:
        from reasoning.openai_backend import OpenAiBackend

        backend = OpenAiBackend.preset(config.model, values["backend"], values["base_url"])
    if not backend.sees:
        raise AnalysisError(f"{config.model} does not take pictures: choose a model that sees, such as Qwen2.5-VL")
    return BackendAnswerer(backend)


def _finish(items: list[Any], journal: Any, stopped: str | None, formats: tuple[str, ...], complaints: int) -> int:
    """Write the other formats, name the failures on standard error, and give the exit status."""
    if len(formats) > (formats == ("jsonl",)):
        from app.analysis.report import write_reports

        write_reports(journal.path, formats)
    wanted = {item.id for item in items}
    statuses = [status for name, status in journal.done.items() if name in wanted]
    failed = statuses.count("error")
    if stopped is not None:
        typer.echo(f"error: {stopped}", err=True)
    if failed:
        typer.echo(f"{failed} of {len(items)} items failed; {journal.path} says why", err=True)
    if stopped is not None or (items and failed == len(items)):
        return EXIT_NOTHING
    return EXIT_FAILED_ITEMS if failed or complaints else EXIT_OK


def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.jsonl", help="What analyze has written.")],
    format: Annotated[str, typer.Option(metavar="LIST", help="csv,parquet,srt,vtt,html")] = "html",
) -> None:
    """Write results as a page, a table or subtitles, beside them."""
    from app.cli import user_errors

    with user_errors():
        from app.analysis.report import write_reports

        for path in write_reports(results, parse_formats(format)):
            print(path)

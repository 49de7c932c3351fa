"""Results → tables, subtitles and a page, beside the JSONL file; each is written whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from app.analysis.options import AnalysisError
from app.durable_file import replaced

_COLUMNS = (
    *("id", "source", "sha256", "status", "duration_sec", "prompt", "answer", "model"),
    *("frames", "effective_fps", "truncated", "error_type", "error_message", "segments"),
)

MOMENT_SEC = 2.0  # how long a subtitle of one moment stays


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a results file, in its order. Raises AnalysisError for what is none."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return  # a run is writing it, or was killed while it did
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    record = None
                if not isinstance(record, dict) or not record.keys() >= {"id", "status", "segments", "coverage"}:
                    raise AnalysisError(f"{path}, line {number}: not a record of analyze; correct the name")
                yield record
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be read ({error.strerror}); check the name") from None


def write_reports(path: Path, formats: Sequence[str]) -> list[Path]:
    """Write the formats other than jsonl. Returns the files, for subtitles the folders, that came to be."""
    writers: dict[str, Callable[[Path], Path]] = {
        "csv": _write_csv,
        "parquet": _write_parquet,
        "srt": lambda results: _write_subtitles(results, "srt", srt),
        "vtt": lambda results: _write_subtitles(results, "vtt", vtt),
        "html": _write_page,
    }
    try:
        return [writers[name](path) for name in formats if name != "jsonl"]
    except OSError as error:
        raise AnalysisError(f"{error.filename or path}: cannot be written ({error.strerror}); make room") from None


def _write(path: Path, data: bytes) -> Path:
    with replaced(path) as file:
        file.write(data)
    return path


def _row(record: dict[str, Any]) -> dict[str, Any]:
    error = record.get("error") or {}
    flat = {
        **{key: record.get(key) for key in _COLUMNS if key in record},
        **{key: record["coverage"][key] for key in ("frames", "effective_fps", "truncated")},
        "error_type": error.get("type"),
        "error_message": error.get("message"),
        "segments": json.dumps(record["segments"], ensure_ascii=False),
    }
    return {key: flat.get(key) for key in _COLUMNS}


def _write_csv(path: Path) -> Path:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, _COLUMNS)
    table.writeheader()
    for record in records(path):
        table.writerow({key: _cell(value) for key, value in _row(record).items()})
    return _write(path.with_suffix(".csv"), text.getvalue().encode("utf-8", "backslashreplace"))


def _cell(value: Any) -> Any:
    """A spreadsheet would run a text that begins like a formula."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _write_parquet(path: Path) -> Path:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise AnalysisError("Parquet needs pyarrow: pip install pyarrow, or leave parquet out of --format") from None
    moment = [("start_sec", pyarrow.float64()), ("end_sec", pyarrow.float64()), ("text", pyarrow.string())]
    kinds = {"duration_sec": pyarrow.float64(), "effective_fps": pyarrow.float64(), "frames": pyarrow.int64()}
    kinds |= {"truncated": pyarrow.bool_(), "segments": pyarrow.list_(pyarrow.struct(moment))}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in _COLUMNS])
    rows = []
    for record in records(path):
        segments = [{name: segment.get(name) for name, _ in moment} for segment in record["segments"]]
        rows.append({**_row(record), "segments": segments})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), buffer)
    return _write(path.with_suffix(".parquet"), buffer.getvalue())


def _write_subtitles(path: Path, ending: str, layout: Callable[[Sequence[dict[str, Any]]], str]) -> Path:
    """A folder with one file an item that has segments."""
    folder = path.with_name(f"{path.stem}.{ending}")
    folder.mkdir(exist_ok=True)
    for record in records(path):
        if record["segments"]:
            _write(folder / f"{file_stem(record['id'])}.{ending}", layout(record["segments"]).encode())
    return folder


def file_stem(name: str) -> str:
    """A file name for an id: readable, without folders, and different for different ids."""
    stem = re.sub(r"[^\w.-]+", "_", name).strip("._") or "item"
    return f"{stem[-80:]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def srt(segments: Sequence[dict[str, Any]]) -> str:
    """SubRip: numbered cues, no markup."""
    cues = []
    for number, segment in enumerate(_shown(segments), 1):
        span = f"{_clock(segment['start_sec'], ',')} --> {_clock(segment['end_sec'], ',')}"
        cues.append(f"{number}\n{span}\n{_cue_text(segment['text'])}\n")
    return "\n".join(cues)


def vtt(segments: Sequence[dict[str, Any]]) -> str:
    """WebVTT, with what would be markup escaped."""
    cues = ["WEBVTT\n"]
    for segment in _shown(segments):
        text = _cue_text(segment["text"]).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{_clock(segment['start_sec'], '.')} --> {_clock(segment['end_sec'], '.')}\n{text}\n")
    return "\n".join(cues)


def _shown(segments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Segments with text; a moment is on screen for two seconds."""
    shown = []
    for one in segments:
        if one["text"].strip():
            end = one["end_sec"] if one["end_sec"] > one["start_sec"] else one["start_sec"] + MOMENT_SEC
            shown.append({**one, "end_sec": end})
    return shown


def _cue_text(text: str) -> str:
    """A blank line would end the cue, and an arrow would begin one."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip()).replace("-->", "→")


def _clock(seconds: float, mark: str) -> str:
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d}{mark}{whole % 1000:03d}"


def _write_page(path: Path) -> Path:
    from app.analysis.page import page

    return _write(path.with_suffix(".html"), page(path.stem, list(records(path)), path.parent).encode())

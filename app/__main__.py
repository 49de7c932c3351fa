"""`python -m app`: the command line."""

from __future__ import annotations

import io
import sys

from app.cli import app


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 must not stop an answer
    app(prog_name="python -m app")


if __name__ == "__main__":
    main()

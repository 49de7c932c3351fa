"""A run of the analysis loop with a deterministic stand-in for the item function, to be killed at any point.

python -m tests.analysis_process RESULTS COMPUTED: RESULTS as of analyze; COMPUTED gets a line for every window that is
computed, so that a test can count what was computed twice.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from app.analysis.journal import Journal
from app.analysis.manifest import Item
from app.analysis.progress import Progress
from app.analysis.run import Run

ITEMS, WINDOWS, JOBS = 8, 5, 2


def main() -> None:
    results, computed = Path(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    journal = Journal(results, "settings")
    items = [Item(f"clip {n}", Path(f"{n}.mp4")) for n in range(ITEMS)]

    def analyze(item: Item) -> dict[str, Any]:
        answers = []
        for number in range(WINDOWS):
            answer = journal.window(item.id, "content", number)
            if answer is None:
                time.sleep(0.003)
                os.write(computed, f"{item.id}/{number}\n".encode())
                answer = {"text": hashlib.sha256(f"{item.id}{number}".encode()).hexdigest() * 20}
                journal.keep_window(item.id, "content", number, answer)
            answers.append(answer["text"])
            loop.tell(item, number + 1, WINDOWS, 1.0)
        return {"id": item.id, "status": "ok", "answer": " ".join(answers), "duration_sec": 1.0, "error": None}

    loop = Run(analyze, journal, Progress("quiet", len(items)), JOBS)
    print("started", flush=True)
    loop.all(items)
    journal.close()
    print("finished", flush=True)


if __name__ == "__main__":
    main()

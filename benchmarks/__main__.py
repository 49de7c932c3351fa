"""Runs the benchmarks one after another, each in a process of its own; each prints JSON lines.

python -m benchmarks [NAME …]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    folder = Path(__file__).resolve().parent
    known = sorted(path.stem for path in folder.glob("*.py") if path.stem[0] != "_" and path.stem != "report")
    names = sys.argv[1:] or known
    if unknown := [name for name in names if name not in known]:
        print(f"no benchmark named {unknown[0]}: there are {', '.join(known)}", file=sys.stderr)
        return 2
    return max(subprocess.run([sys.executable, "-m", f"benchmarks.{n}"], cwd=folder.parent).returncode for n in names)


if __name__ == "__main__":
    sys.exit(main())

"""Weights as small files: pieces of at most 15 MB, in bfloat16, that are easily moved and kept.

python -m training.pieces runs/thinker/thinker.safetensors kept --part thinker
python -m training.pieces runs/vocoder/vocoder.safetensors kept --part vocoder --float32
python -m training.export --thinker kept --talker kept --dit kept --vocoder kept --voices kept/voices.pt --tokenizer kept/tokenizer.json
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

PIECE_BYTES = 15_000_000


def write_pieces(folder: Path, part: str, weights: Mapping[str, Tensor], float32: bool = False) -> list[Path]:
    """Write `weights` as `folder`/PART-0.safetensors, PART-1 … in place of earlier ones, each whole; returns the paths."""
    from safetensors.torch import save_file

    pieces: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in sorted(weights.items()):
        value = value.detach().cpu()
        value = value.to(torch.bfloat16) if value.is_floating_point() and not float32 else value
        if size + value.nbytes > PIECE_BYTES and pieces[-1]:
            pieces.append({})
            size = 0
        pieces[-1][name] = value.contiguous().clone()
        size += value.nbytes
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{part}-{i}.safetensors" for i in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        save_file(piece, path.with_name(f".{path.name}"), metadata={"format": "pt"})
    for path in paths:
        path.with_name(f".{path.name}").chmod(0o644)
        path.with_name(f".{path.name}").replace(path)
    for stale in set(folder.glob(f"{part}-*.safetensors")) - set(paths):
        stale.unlink()
    return paths


def piece_files(path: Path, part: str) -> list[Path]:
    """The safetensors files of one part: `path` itself, or in a folder those named PART-…, or where there are none, all."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob(f"{part}-*.safetensors")) or sorted(path.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(
            f"{path} has no weights of the {part}: give a safetensors file or a folder of its pieces"
        )
    return files


def read_pieces(files: Sequence[Path]) -> dict[str, Tensor]:
    """All tensors of the files, float32 on the CPU. Raises ValueError where two files hold the same name."""
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for file in files:
        piece = load_file(file)
        both = sorted(weights.keys() & piece.keys())
        if both:
            raise ValueError(f"{file} repeats {both[0]}: give the pieces of one part only")
        weights |= {name: value.float() for name, value in piece.items()}
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a safetensors file")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", required=True, help="how the pieces are named: thinker, talker, dit, vocoder …")
    parser.add_argument("--float32", action="store_true", help="do not round to bfloat16")
    options = parser.parse_args()
    for path in write_pieces(options.folder, options.part, read_pieces([options.source]), options.float32):
        print(f"{path} {path.stat().st_size}")


if __name__ == "__main__":
    main()

"""Make torchvision importable beside a CPU build of torch.

The package index carries torchvision linked against CUDA torch only. Beside a CPU torch its binary does not
load, and its Python part then stops at `operator torchvision::nms does not exist`. Declaring the two operator
schemas lets the import pass; nothing in Tandem calls them. Where the binary loads, nothing is done.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

_KEEP: list[Any] = []  # a torch.library.Library unregisters its operators when it is collected


def declare_missing_operators() -> None:
    """Declare `torchvision::nms` and `qnms` if a plain `import torchvision` fails for want of them."""
    if _KEEP or "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return
    for name in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEEP.append(library)


declare_missing_operators()

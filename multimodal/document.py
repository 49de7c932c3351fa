"""Pages of a PDF → pictures, drawn by PDFium. Limits are checked before a page is drawn; scripts, forms' actions and
whatever a document refers to outside of itself are never run or opened. PDFium must not be called from two threads at
once: that is the caller's business."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multimodal.errors import MediaTooLarge, MediaUnreadable
from multimodal.limits import DEFAULT_LIMITS, MediaLimits
from multimodal.media import Picture
from multimodal.source import Source

POINTS_PER_INCH = 72
DOTS_PER_INCH = 200
"""What small print is still read at; a page that would be too large at it is drawn smaller."""
_RANGE = re.compile(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*")


def is_document(head: bytes) -> bool:
    """Whether a file that begins with `head` is a PDF."""
    return re.match(rb"\s*%PDF-", head) is not None


def page_numbers(text: str) -> list[int]:
    """The pages that "1-3, 7" names, in its order, each once. Raises MediaUnreadable for anything else."""
    numbers: dict[int, None] = {}
    for piece in text.split(","):
        found = _RANGE.fullmatch(piece)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last:
            raise MediaUnreadable(f"{text!r} names no pages: write for example 1-3,7")
        numbers |= dict.fromkeys(range(first, last + 1))
    return list(numbers)


def count_pages(source: Path | bytes, limits: MediaLimits = DEFAULT_LIMITS) -> int:
    """Raises MediaUnreadable for what is damaged, locked or empty, MediaTooLarge above `document_bytes`."""
    with _opened(source, limits) as (document, _):
        return len(document)


def read_pages(
    source: Path | bytes, pages: Sequence[int] | None = None, limits: MediaLimits = DEFAULT_LIMITS
) -> Iterator[tuple[int, Picture]]:
    """Number, from 1, and picture of the named pages, of all if None, one after the other.

    Raises as `count_pages`; and MediaTooLarge, before the first, for more pages than `document_pages`, MediaUnreadable
    for a page that is not there or cannot be drawn.
    """
    with _opened(source, limits) as (document, name):
        count = len(document)
        wanted = list(range(1, count + 1) if pages is None else pages)
        if missing := [number for number in wanted if not 1 <= number <= count]:
            raise MediaUnreadable(f"{name} has no page {missing[0]}: it has {count}")
        if len(wanted) > limits.document_pages:
            most = f"{limits.document_pages} are read at once: name some of them"
            raise MediaTooLarge(f"{len(wanted)} pages of {name} are wanted, and {most}")
        for number in wanted:
            yield number, _drawn(document, number, name, limits)


def read_page(source: Path | bytes, number: int, limits: MediaLimits = DEFAULT_LIMITS) -> Picture:
    """Page `number`, from 1. Raises as `read_pages`."""
    ((_, picture),) = read_pages(source, [number], limits)
    return picture


@contextlib.contextmanager
def _opened(source: Path | bytes, limits: MediaLimits) -> Iterator[tuple[Any, str]]:
    from pypdfium2 import PdfDocument, PdfiumError

    found = Source.of(source)
    found.check_size(limits.document_bytes, "a document")
    with found.open() as file:
        data = file.read()
    try:
        document = PdfDocument(data)
    except PdfiumError as error:
        if "password" in str(error).lower():
            raise MediaUnreadable(f"{found.name} is locked with a password: hand over a copy without it") from None
        raise _damaged(found.name) from None
    try:
        if not len(document):
            raise MediaUnreadable(f"{found.name} has no pages: export it again")
        yield document, found.name
    finally:
        document.close()


def _drawn(document: Any, number: int, name: str, limits: MediaLimits) -> Picture:
    from pypdfium2 import PdfiumError

    try:
        page = document[number - 1]
        width, height = page.get_size()  # points, upright
        if not (1 <= width < math.inf and 1 <= height < math.inf) or not (
            1 / limits.picture_side_ratio <= width / height <= limits.picture_side_ratio
        ):
            raise MediaUnreadable(f"page {number} of {name} has no usable size: export it again")
        scale = min(DOTS_PER_INCH / POINTS_PER_INCH, math.sqrt(limits.page_pixels / (width * height)))
        bitmap = page.render(scale=scale, rev_byteorder=True)
        pixels = np.array(bitmap.to_numpy()[:, :, :3])  # [H, W, 3], red first, our own copy
        bitmap.close()
        page.close()
    except PdfiumError:
        raise _damaged(f"page {number} of {name}") from None
    return Picture(pixels)


def _damaged(what: str) -> MediaUnreadable:
    return MediaUnreadable(f"{what} is damaged or cut short: export or download it again")

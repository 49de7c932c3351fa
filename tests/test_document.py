"""Pages of PDFs: what is drawn, how large, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multimodal.decode import read_picture
from multimodal.document import DOTS_PER_INCH, count_pages, is_document, page_numbers, read_page, read_pages
from multimodal.errors import MediaError, MediaNotFound, MediaTooLarge, MediaUnreadable
from multimodal.limits import DEFAULT_LIMITS

LOCKED = b"""%%PDF-1.4
1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj
2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj
3 0 obj <</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>> endobj
4 0 obj <</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>> endobj
trailer <</Root 1 0 R/Encrypt 4 0 R/ID[<00><00>]>>
%%%%EOF
""" % (b"41" * 32, b"42" * 32)


def pdf(path: Path, *pages: Image.Image) -> Path:
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=72)
    return path


def plain(color: str, size: tuple[int, int] = (72, 144)) -> Image.Image:
    return Image.new("RGB", size, color)


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    return pdf(tmp_path / "paper.pdf", plain("red"), plain("blue", (144, 72)))


def test_pages_are_drawn_upright_in_their_colours_at_reading_size(paper: Path) -> None:
    assert count_pages(paper) == 2 and count_pages(paper.read_bytes()) == 2
    (first, red), (second, blue) = read_pages(paper)
    assert (first, second) == (1, 2)
    assert red.pixels.shape == (2 * DOTS_PER_INCH, DOTS_PER_INCH, 3) and red.pixels.dtype == np.uint8
    assert blue.pixels.shape == (DOTS_PER_INCH, 2 * DOTS_PER_INCH, 3)
    assert np.abs(red.pixels.reshape(-1, 3).mean(0) - (255, 0, 0)).max() < 4
    assert np.abs(blue.pixels.reshape(-1, 3).mean(0) - (0, 0, 255)).max() < 4
    assert np.array_equal(read_page(paper, 2).pixels, blue.pixels)


def test_a_page_too_large_for_its_pixels_is_drawn_smaller(paper: Path) -> None:
    picture = read_page(paper, 1, replace(DEFAULT_LIMITS, page_pixels=5000))
    height, width = picture.pixels.shape[:2]
    assert 4000 < height * width <= 5200 and height / width == pytest.approx(2, abs=0.1)


def test_what_is_no_whole_open_document_is_refused_in_one_line(paper: Path, tmp_path: Path) -> None:
    bad: dict[str, tuple[bytes, type[MediaError], str]] = {
        "locked.pdf": (LOCKED, MediaUnreadable, "locked with a password"),
        "cut.pdf": (b"%PDF-1.7\n" + bytes(100), MediaUnreadable, "damaged or cut short"),
        "empty.pdf": (b"", MediaUnreadable, "is empty"),
    }
    for name, (data, error, says) in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(error, match=says) as found:
            count_pages(tmp_path / name)
        assert name in str(found.value) and "\n" not in str(found.value)
    with pytest.raises(MediaNotFound):
        count_pages(tmp_path / "missing.pdf")
    with pytest.raises(MediaTooLarge, match="MiB"):
        count_pages(paper, replace(DEFAULT_LIMITS, document_bytes=10))
    with pytest.raises(MediaTooLarge, match=r"2 pages of paper\.pdf are wanted, and 1 are read at once"):
        next(read_pages(paper, limits=replace(DEFAULT_LIMITS, document_pages=1)))
    with pytest.raises(MediaUnreadable, match="has no page 3: it has 2"):
        next(read_pages(paper, [1, 3]))
    with pytest.raises(MediaUnreadable, match="a PDF document: read it with"):
        read_picture(paper)
    pdf(tmp_path / "line.pdf", plain("red", (2000, 2)))
    with pytest.raises(MediaUnreadable, match=r"page 1 of line\.pdf has no usable size"):
        read_page(tmp_path / "line.pdf", 1)


@pytest.mark.parametrize(("text", "numbers"), [("3", [3]), ("1-3, 7", [1, 2, 3, 7]), ("5,1-2,5", [5, 1, 2])])
def test_pages_are_named_by_numbers_and_ranges(text: str, numbers: list[int]) -> None:
    assert page_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "0", "-1", "3-1", "1,,2", "a", "1-2-3", "1;2"])
def test_other_words_name_no_pages(text: str) -> None:
    with pytest.raises(MediaUnreadable, match="names no pages"):
        page_numbers(text)


def test_a_document_is_known_by_its_first_bytes() -> None:
    assert is_document(b"%PDF-1.7\n") and is_document(b"\n%PDF-1.4")
    assert not is_document(b"\x89PNG %PDF-") and not is_document(b"text about %PDF-")

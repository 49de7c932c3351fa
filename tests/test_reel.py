"""A reel goes on from one part of a video to the next, and every part is what it is when it is read alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimodal import reel
from multimodal.errors import MediaUnreadable
from multimodal.limits import DEFAULT_LIMITS
from multimodal.reel import Reel
from multimodal.source import Source
from multimodal.video import read_video
from tests.media_files import SMALL, tone, write_video
from tests.test_video import CODECS

DENSE = replace(SMALL, fps=8.0)
PARTS: dict[str, list[tuple[float, float]]] = {
    "neighbours": [(n / 2, (n + 1) / 2 - 1 / 90) for n in range(12)],
    "with gaps": [(0.0, 0.4), (0.5, 0.6), (2.1, 2.5), (2.6, 2.7), (5.3, 5.9)],
    "of a few frames": [(1 + n / 10, 1 + n / 10 + 0.09) for n in range(12)],
    "overlapping": [(n / 2, n / 2 + 1) for n in range(8)],
    "backwards": [(4.0, 5.0), (1.0, 2.0), (2.02, 3.0), (1.0, 2.0)],
}


def alike(path: Path | bytes, parts: Sequence[tuple[float, float]], threads: int | None = None, **options: Any) -> None:
    with closing(Reel(Source.of(path), threads)) as one:
        for start, end in parts:
            both = [
                read_video(path, DENSE, DEFAULT_LIMITS, False, start or None, end, **given)
                for given in ({}, {"reel": one})
            ]
            alone, swept = both
            assert np.array_equal(alone.times_sec, swept.times_sec), (start, end)
            assert np.array_equal(alone.frames, swept.frames), (start, end)
            assert alone.complete == swept.complete


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("name", CODECS)
def test_parts_are_the_same_as_read_alone(name: str, parts: str, tmp_path: Path) -> None:
    codec, options, _ = CODECS[name]
    path = write_video(tmp_path / name, 180, 30, codec=codec, options=options)
    alike(path, PARTS[parts])


@pytest.mark.parametrize("threads", [1, 3])
def test_pyramids_of_frames_that_lean_on_each_other_and_late_ones_are_kept(threads: int, tmp_path: Path) -> None:
    options = {"preset": "medium", "x264-params": "keyint=250:bframes=7:b-adapt=0:b-pyramid=normal:ref=4:scenecut=0"}
    path = write_video(tmp_path / "pyramid.mp4", 240, 30, options=options)
    for shift in range(5):  # so that parts begin and end with frames of every kind
        alike(path, [(n / 3 + shift / 30, (n + 1) / 3 + shift / 30 - 1 / 90) for n in range(20)], threads)


def test_a_variable_rate_and_a_turned_picture_stay_so(tmp_path: Path) -> None:
    times = np.cumsum([0, *np.random.default_rng(0).integers(8, 120, 99)]).tolist()
    path = write_video(tmp_path / "v.mp4", times_ms=times, rotation=90, options=CODECS["h264.mkv"][1])
    alike(path, [(n / 2, (n + 1) / 2 - 0.001) for n in range(12)])


def test_damage_is_told_by_the_part_it_belongs_to(tmp_path: Path) -> None:
    path = write_video(tmp_path / "d.mp4", 300, 30, options=CODECS["h264.mkv"][1], sound=tone(10, 48_000))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    first = start + (len(data) - start) // 3
    data[first : first + len(data) // 12] = np.random.default_rng(1).bytes(len(data) // 12)
    parts = [(n / 2, (n + 1) / 2 - 1 / 90) for n in range(20)]
    told = []
    with closing(Reel(Source.of(bytes(data)))) as one:
        for start, end in parts:
            for given in ({}, {"reel": one}):
                try:
                    clip = read_video(bytes(data), DENSE, DEFAULT_LIMITS, False, start or None, end, **given)
                    told.append((clip.complete, clip.times_sec.tolist(), clip.frames.tobytes()))
                except MediaUnreadable as error:
                    told.append(str(error))
    assert told[::2] == told[1::2]
    assert [one[0] is True for one in told[::2]].count(True) in range(5, 20)


def test_neighbours_decode_no_packet_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "long.mp4", 240, 30, options={"preset": "veryfast", "g": "240"})
    fed: list[int] = []
    decode = reel.decode_packet
    monkeypatch.setattr(reel, "decode_packet", lambda packet, health: fed.append(packet.dts) or decode(packet, health))
    with closing(Reel(Source.of(path))) as one:
        for n in range(8):
            read_video(path, DENSE, DEFAULT_LIMITS, False, n or None, n + 1 - 1 / 90, reel=one)
    assert len(fed) == len(set(fed)) and 200 < len(fed) <= 240

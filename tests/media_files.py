"""Media made when a test runs: pictures, sounds and clips whose content says which frame or moment it is."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image

from multimodal.sampling import FrameBudget

_BITS = 12
_FAST = {"preset": "ultrafast", "g": "15"}
MILLISECOND = Fraction(1, 1000)

SMALL = FrameBudget(min_pixels=28 * 28, max_pixels=192 * 96)  # about the size that `numbered_frame` has
B_FRAMES = {"preset": "veryfast", "x264-params": "keyint=20:bframes=3:scenecut=0"}


_KEY = "000102030405060708090a0b0c0d0e0f"
ENCRYPTED = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": _KEY, "encryption_kid": _KEY}  # of write_video


def tone(seconds: float, rate_hz: int = 16_000, hz: float = 440.0, level: float = 0.5) -> np.ndarray:
    """float32 [N]"""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def click_track(seconds: float, rate_hz: int, at_sec: Sequence[float]) -> np.ndarray:
    """Silence with a 5 ms burst of 1 kHz at each time, float32 [N]."""
    samples = np.zeros(round(seconds * rate_hz), np.float32)
    burst = tone(0.005, rate_hz, 1000.0, 0.9)
    for at in at_sec:
        first = round(at * rate_hz)
        samples[first : first + len(burst)] = burst[: len(samples) - first]
    return samples


def sound_bytes(samples: np.ndarray, rate_hz: int, format: str = "WAV", subtype: str | None = None) -> bytes:
    """A sound file of float32 [N] or [N, channels]."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=format, subtype=subtype)
    return file.getvalue()


def picture_bytes(pixels: np.ndarray, format: str = "PNG", orientation: int | None = None, **options: Any) -> bytes:
    """A picture file of uint8 [H, W], [H, W, 3] or [H, W, 4], with an EXIF orientation if one is given."""
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def one_colour_png(width: int, height: int) -> bytes:
    """A valid 1-bit PNG of any size, compressed as it is written: under 4 MB even for 65,535²."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    rows = max(1, (1 << 20) // len(row))
    parts = [packer.compress(row * min(rows, height - first)) for first in range(0, height, rows)]
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", b"".join([*parts, packer.flush()]))
        + chunk(b"IEND", b"")
    )


def quarters(height: int, width: int) -> np.ndarray:
    """Red, green / blue, white quarters: which way is up can be read from it. uint8 [H, W, 3]."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    return pixels


def numbered_frame(number: int, height: int = 96, width: int = 192) -> np.ndarray:
    """A soft gradient whose upper half holds `number` as twelve black or white bars. uint8 [H, W, 3]."""
    rows, columns = np.mgrid[:height, :width]
    shades = [(rows * 2 + number) % 120 + 60, (columns + number) % 120 + 60, np.full_like(rows, 110)]
    pixels = np.stack(shades, -1).astype(np.uint8)
    for bit in range(_BITS):
        left, right = bit * width // _BITS, (bit + 1) * width // _BITS
        pixels[: height // 2, left:right] = 235 if number >> bit & 1 else 20
    return pixels


def read_number(frame: np.ndarray) -> int:
    """The number that `numbered_frame` wrote, from a frame of any size."""
    height, width = frame.shape[:2]
    row = frame[height // 8 : height * 3 // 8].mean(axis=(0, 2))  # [W]
    return sum(int(row[round((bit + 0.5) * width / _BITS)] > 128) << bit for bit in range(_BITS))


def write_video(
    path: Path,
    frames: int = 60,
    fps: Fraction | int = 30,
    size: tuple[int, int] = (96, 192),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times_ms: Sequence[int] | None = None,
    rotation: float | None = None,
    sound: np.ndarray | None = None,
    sound_hz: int = 48_000,
    sound_codec: str = "aac",
    sound_offset_sec: float = 0.0,
    container_options: dict[str, str] | None = None,
    draw: Any = numbered_frame,
) -> Path:
    """Encode `numbered_frame`s; `times_ms` gives each its own presentation time (variable frame rate).

    sound: float32 [N], starting `sound_offset_sec` after the first frame.
    """
    height, width = size
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps, options=_FAST if options is None else options)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times_ms is not None:
            stream.time_base = stream.codec_context.time_base = MILLISECOND
        if rotation is not None:
            stream.set_display_rotation(rotation)
        track: Any = None if sound is None else container.add_stream(sound_codec, rate=sound_hz, layout="mono")
        for number in range(frames if times_ms is None else len(times_ms)):
            frame = av.VideoFrame.from_ndarray(draw(number, height, width), format="rgb24")
            frame.pts = number if times_ms is None else times_ms[number]
            frame.time_base = 1 / Fraction(fps) if times_ms is None else MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            at = round(sound_offset_sec * sound_hz)
            for first in range(0, len(sound), 1024):
                block = av.AudioFrame.from_ndarray(sound[None, first : first + 1024], format="flt", layout="mono")
                block.sample_rate, block.pts, block.time_base = sound_hz, at + first, Fraction(1, sound_hz)
                container.mux(track.encode(block))
            container.mux(track.encode())
    return path


def one_line(error: BaseException) -> str:
    """The message of an error, which must be one line without a path."""
    text = str(error)
    assert text and "\n" not in text and "/" not in text, text
    return text

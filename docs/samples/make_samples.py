"""Make the picture, the sound and the clip beside this file: python docs/samples/make_samples.py

Needs flite for the voice (Debian: apt-get install flite); everything else is in requirements.txt.
"""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
SIDE = 224
FPS = 10
CLIP_SEC = 3
SOUND_HZ = 16_000


def draw_picture() -> Image.Image:
    """A red circle to the left of a blue square."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((24, 72, 104, 152), fill=(220, 30, 30))
    draw.rectangle((124, 72, 204, 152), fill=(30, 60, 220))
    return picture


def draw_frame(index: int) -> Image.Image:
    """A green circle on its way from left to right."""
    frame = Image.new("RGB", (SIDE, SIDE), "white")
    left = 8 + (SIDE - 72) * index / (FPS * CLIP_SEC - 1)
    ImageDraw.Draw(frame).ellipse((left, 80, left + 56, 136), fill=(20, 150, 60))
    return frame


def beep(seconds: float) -> np.ndarray:
    """One short tone at each full second: int16 [1, N]."""
    time_sec = np.arange(round(seconds * SOUND_HZ)) / SOUND_HZ
    tone = np.sin(2 * np.pi * 660 * time_sec) * (time_sec % 1.0 < 0.15)
    return (tone * 8000).astype(np.int16)[None]  # [1, N]


def write_clip(path: Path) -> None:
    """Three seconds of the moving circle, H.264 and AAC."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        pictures = container.add_stream("libx264", rate=FPS, options={"crf": "24", "preset": "veryslow"})
        pictures.width = pictures.height = SIDE
        pictures.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=SOUND_HZ, layout="mono", bit_rate=24_000)
        for index in range(FPS * CLIP_SEC):
            container.mux(pictures.encode(av.VideoFrame.from_image(draw_frame(index))))
        container.mux(pictures.encode(None))
        samples = av.AudioFrame.from_ndarray(beep(CLIP_SEC), format="s16", layout="mono")
        samples.sample_rate = SOUND_HZ
        samples.pts, samples.time_base = 0, Fraction(1, SOUND_HZ)
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))


def main() -> None:
    draw_picture().save(HERE / "shapes.png", optimize=True)
    question = HERE / "question.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", "What color is the circle?", "-o", question], check=True)
    write_clip(HERE / "moving.mp4")
    for name in ("shapes.png", "question.wav", "moving.mp4"):
        print(name, (HERE / name).stat().st_size, "bytes")


if __name__ == "__main__":
    main()

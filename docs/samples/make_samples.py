"""Make the pictures, the sounds and the clip beside this file: python docs/samples/make_samples.py [NAME…]

The page's examples and the tests ask about them. Needs two free synthesizers and a free font (Debian: apt-get install
flite festival festvox-us-slt-hts fonts-noto-color-emoji); everything else is in requirements.txt.
"""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
SIDE = 224
FPS = 10
CLIP_SEC = 3
SOUND_HZ = 16_000
EMOJI_FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
EMOJI_PIXELS = 109  # the one size that it has


def draw_picture() -> Image.Image:
    """A red circle to the left of a blue square."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((24, 72, 104, 152), fill=(220, 30, 30))
    draw.rectangle((124, 72, 204, 152), fill=(30, 60, 220))
    return picture


def sprite(glyph: str, side: float) -> Image.Image:
    """The emoji, cut out, `side` pixels along its longer side."""
    drawn = Image.new("RGBA", (160, 160))
    font = ImageFont.truetype(EMOJI_FONT, EMOJI_PIXELS)
    ImageDraw.Draw(drawn).text((10, 10), glyph, font=font, embedded_color=True)
    cut = drawn.crop(drawn.getbbox())
    scale = side / max(cut.size)
    return cut.resize((round(cut.width * scale), round(cut.height * scale)), Image.Resampling.LANCZOS)


def draw_things(side: int, size: float, *things: tuple[str, float, float]) -> Image.Image:
    """things: (emoji, x, y) with the places of their middles as shares of the picture's side."""
    picture = Image.new("RGB", (side, side), "white")
    for glyph, x, y in things:
        thing = sprite(glyph, size * side)
        picture.paste(thing, (round(x * side - thing.width / 2), round(y * side - thing.height / 2)), thing)
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


def ask_by_flite(path: Path) -> None:
    subprocess.run(["flite", "-voice", "slt", "-t", "What color is the circle?", "-o", path], check=True)


def ask_by_festival(path: Path) -> None:
    command = ["text2wave", "-eval", "(voice_cmu_us_slt_arctic_hts)", "-o", path]
    subprocess.run(command, input=b"How many objects are there?", check=True)
    samples, rate_hz = soundfile.read(path, dtype="float32")
    soundfile.write(path, soxr.resample(samples, rate_hz, SOUND_HZ), SOUND_HZ, subtype="PCM_16")


SAMPLES = {
    "shapes.png": lambda path: draw_picture().save(path, optimize=True),
    "objects.png": lambda path: draw_things(336, 0.36, ("🍓", 0.25, 0.27), ("🐟", 0.75, 0.27), ("👑", 0.5, 0.75)).save(
        path, optimize=True
    ),
    "frog.png": lambda path: draw_things(280, 0.45, ("🐸", 0.36, 0.42)).save(path, optimize=True),
    "question.wav": ask_by_flite,
    "how-many.wav": ask_by_festival,
    "moving.mp4": write_clip,
}


def main() -> None:
    for name in sys.argv[1:] or SAMPLES:
        SAMPLES[name](HERE / name)
        print(name, (HERE / name).stat().st_size, "bytes")


if __name__ == "__main__":
    main()

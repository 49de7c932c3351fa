"""Files and bytes → AudioClip, Picture, VideoClip: the one place where media of unknown origin are opened.

Content decides what a file is, never its name. Limits are checked on headers before anything is decoded. Nothing is
fetched: a source is a local file or bytes. Every function is pure and every argument and result can be pickled, so a
caller can run them in a process of their own. All raise classes of `multimodal.errors` whose message is one line.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from PIL import Image

from multimodal.errors import MediaTooLarge, MediaUnreadable
from multimodal.frames import upright
from multimodal.limits import DEFAULT_LIMITS, MediaLimits
from multimodal.media import AudioClip, Picture
from multimodal.sampling import FrameBudget
from multimodal.soundtrack import MonoTrack, decode_track
from multimodal.source import (
    DECODER_ERRORS,
    Health,
    Kind,
    Source,
    decode_packet,
    open_container,
    packets_of,
    picture_format,
    refuse_foreign,
    sniff,
    translate_errors,
    video_stream,
)
from multimodal.video import read_video

__all__ = [
    "FrameBudget",
    "MediaInfo",
    "MediaLimits",
    "probe",
    "read_audio",
    "read_picture",
    "read_video",
    "sniff",
]

_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_EXIF_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BLOCK_SAMPLES = 1 << 16


@dataclass(frozen=True)
class MediaInfo:
    """What the headers of a medium say; what they leave out is None.

    codec: of the picture, the video track, or the sound where there is nothing else. width, height: upright, in
    pixels. fps: nominal frames a second; frames: how many. rate_hz, channels: of the (first) sound track.
    """

    kind: Kind
    codec: str
    size_bytes: int
    duration_sec: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int | None = None
    has_audio: bool = False
    audio_codec: str | None = None
    rate_hz: int | None = None
    channels: int | None = None


def read_picture(source: Path | bytes, limits: MediaLimits = DEFAULT_LIMITS) -> Picture:
    """Decode a PNG, JPEG, WebP, GIF (its first frame) or BMP, upright, with transparency laid on white.

    The picture keeps its own size: the checkpoint's image processor resizes it.
    """
    found = Source.of(source)
    found.check_size(limits.picture_bytes, "a picture")
    with _open_picture(found, limits) as image, translate_errors(found.name):
        rgb = _to_rgb(image)
        turn = _TRANSPOSE.get(_orientation(image))
        return Picture(np.array(rgb if turn is None else rgb.transpose(turn)))


def read_audio(source: Path | bytes, rate_hz: int = 16_000, limits: MediaLimits = DEFAULT_LIMITS) -> AudioClip:
    """Decode sound to mono (the mean of its channels) float32 at `rate_hz`, resampled with soxr's HQ filter.

    Of a video, the sound track is read. Sound that ends before its header says is refused as cut short.
    """
    found = Source.of(source)
    found.check_size(limits.audio_bytes, "a sound file")
    head = found.head()
    if picture_format(head):
        raise MediaUnreadable(f"{found.name} is a picture, not sound: hand it over as a picture")
    refuse_foreign(found.name, head)
    track = MonoTrack(rate_hz, found.name, limits.audio_sec, limits.audio_pcm_bytes, limits.audio_pcm_bytes)
    health = Health()
    if not _read_with_soundfile(found, head, track):
        _read_with_libav(found, track, health)
    samples = track.finish()
    if not health.whole:
        raise MediaUnreadable(f"{found.name} is damaged or cut short: export or download it again")
    if not len(samples):
        raise MediaUnreadable(f"{found.name} holds no samples: record or export it again")
    return AudioClip(samples, rate_hz)


def probe(source: Path | bytes) -> MediaInfo:
    """What the headers say, without decoding more than one frame (for its orientation)."""
    found = Source.of(source)
    kind = sniff(source)
    if kind == "picture":
        with _open_picture(found, None) as image:
            turned = _orientation(image) >= 5
            width, height = image.size[::-1] if turned else image.size
            return MediaInfo(kind, (image.format or "").lower(), found.size_bytes, width=width, height=height)
    with open_container(found) as container:
        sound: Any = container.streams.audio[0] if container.streams.audio else None
        about_sound: dict[str, Any] = {}
        if sound is not None:
            about_sound = {
                "has_audio": True,
                "audio_codec": sound.codec_context.name if sound.codec_context else "unknown",
                "rate_hz": sound.sample_rate or None,
                "channels": sound.channels or None,
            }
        seconds = container.duration / 1e6 if container.duration else None
        stream = video_stream(container)
        if stream is None:
            codec = about_sound.get("audio_codec", "unknown")
            return MediaInfo(kind, codec, found.size_bytes, seconds, **about_sound)
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        width, height = stream.width, stream.height
        first = next((f for p in packets_of(container, stream, Health()) for f in decode_packet(p, Health())), None)
        if first is not None and upright(first).transposed:
            width, height = height, width
        return MediaInfo(
            kind,
            stream.codec_context.name,
            found.size_bytes,
            seconds,
            width,
            height,
            float(stream.average_rate) if stream.average_rate else None,
            stream.frames or None,
            **about_sound,
        )


@contextmanager
def _open_picture(found: Source, limits: MediaLimits | None) -> Iterator[Image.Image]:
    """Open a picture and check its size (where there are limits) on the header; no pixel is decoded."""
    head = found.head()
    if picture_format(head) is None:
        refuse_foreign(found.name, head)
        what = {"audio": "sound", "video": "a video"}.get(sniff(found.data), "no picture")
        raise MediaUnreadable(
            f"{found.name} is {what}, not a picture: hand it over as what it is, or give a PNG or JPEG"
        )
    with found.open() as file:
        image = _read_header(found.name, file)
        width, height = image.size
        if limits is not None and width * height > limits.picture_pixels:
            raise MediaTooLarge(
                f"{found.name} is {width}×{height} pixels, and a picture may have {limits.picture_pixels / 1e6:g} "
                "million: scale it down"
            )
        if limits is not None and max(width, height) > limits.picture_side_ratio * max(1, min(width, height)):
            raise MediaTooLarge(
                f"{found.name} is {width}×{height} pixels, too narrow: crop it to a side ratio of at most "
                f"{limits.picture_side_ratio:g}"
            )
        yield image


def _read_header(name: str, file: BinaryIO) -> Image.Image:
    """Open a picture without decoding a pixel. Pillow's own bound (179 million pixels) holds in any case."""
    with translate_errors(name), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(file, formats=_PILLOW_FORMATS)
        except Image.DecompressionBombError:
            pass
    raise MediaTooLarge(f"{name} has far more pixels than a picture may have: scale it down")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation 1…8; 1 where there is none or it makes no sense."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except DECODER_ERRORS:  # a broken EXIF block does not make the picture unusable
        return 1
    return value if value in range(1, 9) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: convert() would clip it to white
        return Image.fromarray((np.array(image).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _read_with_soundfile(found: Source, head: bytes, track: MonoTrack) -> bool:
    """Decode with libsndfile into `track`; False where it is not a format that libsndfile can read."""
    _check_wav_length(found, head)
    with found.open() as file:
        try:
            sound = soundfile.SoundFile(file)
        except DECODER_ERRORS:
            return False
        with sound, translate_errors(found.name):
            claimed = sound.frames
            if not 0 < claimed < 1 << 53:  # empty, or a stream that does not know its length
                return False
            track.check_source(claimed, sound.channels, sound.samplerate)
            taken = 0
            while len(block := sound.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):  # [samples, channels]
                track.add(block, sound.samplerate)
                taken += len(block)
    if taken < claimed:
        raise MediaUnreadable(
            f"{found.name} is cut short: {taken} of {claimed} samples are there; export or download it again"
        )
    return True


def _check_wav_length(found: Source, head: bytes) -> None:
    """Raises MediaUnreadable for a RIFF WAV whose data chunk claims more bytes than the file has."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    place = 12
    with found.open() as file:
        while True:
            file.seek(place)
            chunk = file.read(8)
            if len(chunk) < 8:
                return
            claimed = int.from_bytes(chunk[4:], "little")
            there = found.size_bytes - place - 8
            if chunk[:4] == b"data":
                break
            place += 8 + claimed + claimed % 2
    if claimed > there:
        raise MediaUnreadable(
            f"{found.name} is cut short: it says it holds {claimed} bytes of sound, and {there} are there; "
            "export or download it again"
        )


def _read_with_libav(found: Source, track: MonoTrack, health: Health) -> None:
    with open_container(found) as container:
        if not container.streams.audio:
            raise MediaUnreadable(f"{found.name} has no sound track: hand it over as video or picture")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise MediaUnreadable(f"{found.name} is coded in a way that cannot be decoded: export it as WAV or FLAC")
        seconds = container.duration / 1e6 if container.duration else 0.0
        rate_hz = stream.sample_rate
        track.check_source(seconds * rate_hz, stream.channels, rate_hz)
        decode_track(container, stream, track, health)

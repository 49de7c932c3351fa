"""Pictures and sound of any origin: true pixels and samples, and one clear line for bad input."""

from __future__ import annotations

import os
import struct
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr
from PIL import Image

from multimodal.decode import MediaLimits, probe, read_audio, read_picture, read_video, sniff
from multimodal.errors import MediaError, MediaNotFound, MediaTooLarge, MediaUnreadable
from tests.media_files import (
    B_FRAMES,
    ENCRYPTED,
    SMALL,
    click_track,
    one_colour_png,
    one_line,
    picture_bytes,
    quarters,
    sound_bytes,
    tone,
    write_video,
)

READERS = {"picture": read_picture, "audio": read_audio, "video": read_video}


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds at 30 frames a second with B-frames, and clicks at 1 s and 7.5 s."""
    sound = click_track(10, 48_000, [1.0, 7.5])
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 300, 30, options=B_FRAMES, sound=sound)


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "WEBP", "JPEG"])
def test_a_picture_of_each_format_keeps_its_pixels_and_size(format: str, tmp_path: Path) -> None:
    pixels = quarters(40, 64)
    options = {"lossless": True} if format == "WEBP" else {}
    path = tmp_path / "name-that-lies.txt"
    path.write_bytes(picture_bytes(pixels, format, **options))
    picture = read_picture(path)
    assert picture.size == (40, 64)
    assert np.abs(picture.pixels.astype(int) - pixels)[4:-4:12, 4:-4:20].max() <= (8 if format == "JPEG" else 0)
    assert sniff(path) == "picture" and probe(path).codec == format.lower()


@pytest.mark.parametrize("orientation", range(11))
def test_exif_orientation_is_applied_and_nonsense_is_ignored(orientation: int) -> None:
    upright = quarters(40, 64)
    image = Image.fromarray(upright)
    stored = {  # what a camera stores so that the viewer, applying the orientation, sees it upright
        2: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: image.rotate(180),
        4: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: image.transpose(Image.Transpose.TRANSPOSE),
        6: image.transpose(Image.Transpose.ROTATE_90),
        7: image.transpose(Image.Transpose.TRANSVERSE),
        8: image.transpose(Image.Transpose.ROTATE_270),
    }.get(orientation, image)
    data = picture_bytes(np.array(stored), "PNG", orientation=orientation)
    assert np.array_equal(read_picture(data).pixels, upright)
    info = probe(data)
    assert (info.width, info.height) == (64, 40)


def test_transparency_is_laid_on_white_and_grey_of_16_bits_keeps_its_range() -> None:
    layered = np.zeros((4, 4, 4), np.uint8)
    layered[..., 0], layered[..., 3] = 200, 128
    assert np.abs(read_picture(picture_bytes(layered)).pixels[0, 0].astype(int) - (227, 127, 127)).max() <= 1
    palette = Image.fromarray(quarters(8, 8)).convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert read_picture(_saved(palette, "PNG")).pixels[0, 0].tolist() == [255, 255, 255]
    grey = np.full((4, 4), 257 * 100, np.uint16)
    assert read_picture(picture_bytes(grey)).pixels[0, 0].tolist() == [100, 100, 100]


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    import io

    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def test_only_the_first_of_100_000_gif_frames_is_decoded() -> None:
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    whole = _saved(red, "GIF", save_all=True, append_images=[blue], duration=20)
    second = whole[whole.rindex(b"\x21\xf9") : -1]  # graphic control extension, image, without the trailer
    started = time.process_time()
    picture = read_picture(whole[:-1] + second * 100_000 + b";")
    assert picture.size == (8, 8)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("part", [0.3, 0.7])
def test_a_picture_that_is_cut_short_is_refused(format: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    data = picture_bytes(noise, format)
    with pytest.raises(MediaUnreadable) as caught:
        read_picture(data[: int(len(data) * part)])
    assert "export or download it again" in one_line(caught.value)


def test_sizes_are_refused_before_a_pixel_is_decoded() -> None:
    bomb = one_colour_png(65_535, 65_535)
    assert len(bomb) < 4 << 20
    for data in (bomb, one_colour_png(10_000, 5_001), one_colour_png(12_000, 9_000)):
        started = time.process_time()
        with pytest.raises(MediaTooLarge) as caught:
            read_picture(data)
        assert time.process_time() - started < 0.2
        assert "scale it down" in one_line(caught.value)
    for width, height in ((1, 10_000), (10_000, 1)):
        with pytest.raises(MediaTooLarge, match="side ratio"):
            read_picture(one_colour_png(width, height))
    with pytest.raises(MediaTooLarge, match="MiB"):
        read_picture(picture_bytes(quarters(8, 8)), MediaLimits(picture_bytes=20))
    assert read_picture(one_colour_png(400, 2)).size == (2, 400)


FOREIGN = {
    "drawing.png": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>', "SVG"),
    "scan.png": (_saved(Image.new("RGB", (4, 4)), "TIFF"), "TIFF"),
    "notes.png": (b"These are notes, and no picture.\n" * 20, "is text"),
    "phone.jpg": (b"\0\0\0\x18ftypheic" + bytes(64), "HEIC"),
    "paper.png": (b"%PDF-1.7\n", "PDF"),
    "list.mp4": (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\nfile:///etc/passwd\n", "playlist"),
    "call.mp4": (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n" * 9, "is text"),
    "list2.mp4": (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
    "blob.wav": (b"\x00\x01\x02\x03\x80\xff" * 40, "unknown kind"),
    "empty.mp4": (b"", "empty"),
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_content_is_named_whatever_its_file_is_called(name: str, kind: str, tmp_path: Path) -> None:
    content, word = FOREIGN[name]
    path = tmp_path / name
    path.write_bytes(content)
    for read in (READERS[kind], sniff, probe):
        with pytest.raises(MediaUnreadable) as caught:
            read(path)
        text = one_line(caught.value)
        assert text.startswith(name) and (word in text or "cannot be decoded" in text)


@pytest.mark.parametrize("read", [read_picture, read_audio, read_video, sniff, probe])
def test_what_is_no_file_is_refused_without_naming_its_folder(read: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path / "absent.mp4": "does not exist",
        tmp_path: "directory",
        tmp_path / "pipe": "no regular file",
        Path("/dev/zero"): "no regular file",
        Path("https://example.org/a.mp4"): "web address",
        Path("a\0b.png"): "does not exist",
        tmp_path / ("x" * 300): "does not exist",
        tmp_path / "two\nlines.png": "does not exist",
    }
    for path, word in cases.items():
        with pytest.raises(MediaNotFound, match=word) as caught:
            read(path)
        assert str(tmp_path.parent) not in one_line(caught.value)


def test_each_kind_is_refused_as_another_with_its_true_kind(clip_file: Path, tmp_path: Path) -> None:
    sound, picture = tmp_path / "sound.png", tmp_path / "picture.wav"
    sound.write_bytes(sound_bytes(tone(0.2), 16_000))
    picture.write_bytes(picture_bytes(quarters(8, 8)))
    assert [sniff(sound), sniff(picture), sniff(clip_file)] == ["audio", "picture", "video"]
    for read, path, word in (
        (read_picture, sound, "is sound"),
        (read_picture, clip_file, "is a video"),
        (read_audio, picture, "is a picture"),
        (read_video, picture, "is a picture"),
        (read_video, sound, "has sound but no pictures"),
    ):
        with pytest.raises(MediaUnreadable, match=word):
            read(path)
    silent = write_video(tmp_path / "silent.mp4", 4)
    with pytest.raises(MediaUnreadable, match="no sound track"):
        read_audio(silent)


@pytest.mark.parametrize(
    ("format", "subtype", "tolerance"),
    [("WAV", "PCM_16", 1e-4), ("WAV", "FLOAT", 1e-6), ("FLAC", "PCM_24", 1e-5), ("AIFF", "PCM_16", 1e-4)],
)
def test_lossless_sound_is_read_exactly(format: str, subtype: str, tolerance: float) -> None:
    samples = tone(1.3)
    clip = read_audio(sound_bytes(samples, 16_000, format, subtype))
    assert clip.rate_hz == 16_000 and clip.samples.dtype == np.float32
    np.testing.assert_allclose(clip.samples, samples, atol=tolerance)


def test_channels_are_averaged_and_rates_converted_as_soxr_does_in_one_piece() -> None:
    left, right = tone(5, 44_100, 440), tone(5, 44_100, 1000)
    clip = read_audio(sound_bytes(np.stack([left, right], 1), 44_100, "WAV", "FLOAT"))
    expected = soxr.resample((left + right) / 2, 44_100, 16_000, quality="HQ")
    assert abs(len(clip.samples) - len(expected)) <= 1
    np.testing.assert_allclose(clip.samples[:79_990], expected[:79_990], atol=2e-5)


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("a.mp3", "libmp3lame", 44_100),
        ("a.m4a", "aac", 48_000),
        ("a.webm", "libopus", 48_000),
        ("a.ogg", "libopus", 48_000),
        ("a.mka", "flac", 44_100),
        ("a.aac", "aac", 44_100),
        ("a.wav", "adpcm_ms", 16_000),
    ],
)
def test_coded_sound_keeps_its_pitch_and_length(name: str, codec: str, rate_hz: int, tmp_path: Path) -> None:
    samples = tone(2, rate_hz, 440)
    with av.open(str(tmp_path / name), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate_hz, layout="mono")
        for first in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, first, Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = read_audio(tmp_path / name)
    assert abs(clip.duration_sec - 2) < 0.08
    middle = clip.samples[8000:24_000]
    assert np.abs(np.fft.rfft(middle)).argmax() == 440
    assert abs(float(np.sqrt((middle**2).mean())) - 0.5 / np.sqrt(2)) < 0.02
    info = probe(tmp_path / name)
    assert info.kind == sniff(tmp_path / name) == "audio" and info.rate_hz == rate_hz and info.channels == 1
    assert info.duration_sec is not None and abs(info.duration_sec - 2) < 0.15


def test_sound_that_is_not_numbers_or_not_there_is_refused() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        samples = tone(0.5)
        samples[4000] = bad
        with pytest.raises(MediaUnreadable, match="NaN"):
            read_audio(sound_bytes(samples, 16_000, "WAV", "FLOAT"))
    for format in ("WAV", "FLAC", "AIFF"):
        with pytest.raises(MediaUnreadable) as caught:
            read_audio(sound_bytes(np.zeros(0, np.float32), 16_000, format))
        one_line(caught.value)
    loud = read_audio(sound_bytes(tone(0.5, level=1e30), 16_000, "WAV", "FLOAT"))
    assert np.abs(loud.samples).max() <= 1


def test_a_flac_header_that_no_sound_has_is_refused() -> None:
    data = bytearray(sound_bytes(tone(0.5), 16_000, "FLAC"))
    # STREAMINFO: 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of length
    packed = int.from_bytes(data[18:26], "big")
    data[18:26] = (655_350 << 44 | 7 << 41 | packed & ((1 << 41) - 1)).to_bytes(8, "big")
    with pytest.raises(MediaUnreadable, match="655350 Hz"):
        read_audio(bytes(data))
    data[18:26] = (packed & ~((1 << 36) - 1) | (1 << 36) - 1).to_bytes(8, "big")  # 68 billion samples
    with pytest.raises(MediaTooLarge, match="longer than 600 s"):
        read_audio(bytes(data))


@pytest.mark.parametrize("claim", [4_000_000_000, 0xFFFFFFFF, 40_000])
def test_a_wav_that_claims_more_than_it_holds_is_refused(claim: int) -> None:
    data = bytearray(sound_bytes(tone(1), 16_000))
    at = data.index(b"data")
    data[at + 4 : at + 8] = struct.pack("<I", claim)
    with pytest.raises(MediaUnreadable, match="cut short"):
        read_audio(bytes(data))


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_sound_that_is_cut_short_is_refused(format: str) -> None:
    data = sound_bytes(tone(3), 16_000, format)
    for part in (0.001, 0.5, 0.95):
        with pytest.raises(MediaUnreadable) as caught:
            read_audio(data[: int(len(data) * part)])
        one_line(caught.value)


def test_limits_of_sound_hold_on_the_header_and_while_decoding(tmp_path: Path) -> None:
    data = sound_bytes(tone(3), 16_000)
    for limits in (MediaLimits(audio_sec=2), MediaLimits(audio_pcm_bytes=100_000)):
        with pytest.raises(MediaTooLarge, match="shorter"):
            read_audio(data, limits=limits)
    with pytest.raises(MediaTooLarge, match="MiB"):
        read_audio(data, limits=MediaLimits(audio_bytes=1000))
    # a raw AAC stream has no header that tells its length
    path = tmp_path / "long.aac"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(3)[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(MediaTooLarge, match="shorter"):
        read_audio(path, limits=MediaLimits(audio_sec=2))
    for bad in (0, -1, float("nan")):
        with pytest.raises(MediaError, match="positive"):
            MediaLimits(audio_sec=bad)


def test_random_bytes_behind_any_header_never_escape_as_another_error(clip_file: Path) -> None:
    chance = np.random.default_rng(7)
    seeds = [
        clip_file.read_bytes()[:60_000],
        picture_bytes(quarters(40, 40), "JPEG"),
        picture_bytes(quarters(40, 40), "PNG"),
        picture_bytes(quarters(40, 40), "WEBP"),
        sound_bytes(tone(0.3), 16_000, "FLAC"),
        sound_bytes(tone(0.3), 16_000, "WAV"),
        sound_bytes(tone(0.3), 16_000, "OGG", "VORBIS"),
    ]
    for seed in seeds:
        for _ in range(12):
            data = bytearray(seed)
            for place in chance.integers(0, len(data), 20):
                data[place] = chance.integers(0, 256)
            for read in (read_picture, read_audio, lambda d: read_video(d, SMALL), probe):
                try:
                    read(bytes(data))
                except MediaError as error:
                    one_line(error)


def test_soundfile_is_the_reference_for_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(sound_bytes(tone(1, 48_000), 48_000, "OGG", "VORBIS"))
    expected, rate_hz = soundfile.read(path, dtype="float32")
    clip = read_audio(path, rate_hz=rate_hz)
    np.testing.assert_allclose(clip.samples, expected, atol=1e-6)


def test_encrypted_media_are_named_as_such(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 30, 15, sound=tone(2, 48_000), container_options=ENCRYPTED)
    for read in (read_video, read_audio):
        with pytest.raises(MediaUnreadable, match="encrypted") as found:
            read(path)
        one_line(found.value)

"""Where media come from: a local file or bytes, told apart by content, and opened without reaching anything else."""

from __future__ import annotations

import io
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
import av.error
from av.container import InputContainer
from av.stream import Discard

from multimodal.errors import MediaNotFound, MediaTooLarge, MediaUnreadable
from multimodal.limits import MIB

Kind = Literal["picture", "audio", "video"]

# Formats that hold their own data; playlists and manifests (hls, dash, concat, image2) point elsewhere.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,ogg,mpegts,mpeg,flv,mp3,aac,flac,wav,w64,aiff,caf,amr,au,asf"

# What Pillow, libsndfile and libav raise on hostile bytes. Our own mistakes (assertions, wrong types) pass.
DECODER_ERRORS = (
    *(av.error.FFmpegError, ArithmeticError, BufferError, EOFError, LookupError, OSError, RuntimeError, SyntaxError),
    *(ValueError, struct.error, zlib.error),
)

# Opening a container already decodes a little, before any of our own checks can see the size of a frame.
CODEC_OPTIONS = {"max_pixels": str(8192 * 8192)}

_HEAD_BYTES = 4096
_FOREIGN = (  # what else a file may turn out to be, and what its owner can do
    (rb"\s*#EXTM3U", "a playlist (m3u8), which only points to media: hand over the video or sound itself"),
    (rb"ffconcat|\s*<\?xml[^>]*>\s*<MPD|\s*<MPD", "a playlist, which only points to media: hand over the media itself"),
    (rb"(?s)(\xef\xbb\xbf)?\s*(<\?xml.*)?(<!--.*-->\s*)?(<!DOCTYPE svg.*)?<svg", "an SVG drawing: export it as PNG"),
    (rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+", "a TIFF picture: convert it to PNG or JPEG"),
    (rb"(?s)....ftyp(heic|heix|heif|hevc|mif1|msf1|avif|avis)", "a HEIC or AVIF picture: convert it to JPEG or PNG"),
    (rb"%PDF", "a PDF document: read it with `read`, or add it on the page"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf", "an archive: unpack it and hand over the media inside"),
)
_PICTURES = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"GIF8[79]a", "GIF"),
    (rb"(?s)RIFF....WEBP", "WebP"),
    (rb"(?s)BM.{8}....[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", "BMP"),
)
_SOUNDS = (
    rb"(?s)(RIFF|RF64|RIFX)....WAVE|riff.{20}wave|fLaC|FORM....AIF[FC]|caff\x00|#!AMR|\.snd|ID3[\x02-\x04]"
    rb"|\xff[\xe2-\xfd]"
)
_MAYBE_VIDEO = (
    rb"(?s)....(ftyp|moov|mdat|wide|free|skip|pnot)|\x1aE\xdf\xa3|RIFF....AVI |OggS|FLV\x01|\x00\x00\x01[\xba\xb3]"
    rb"|0&\xb2u\x8ef\xcf\x11|G.{187}G.{187}G|.{4}G.{191}G.{191}G"
)


@dataclass(frozen=True)
class Source:
    """A local file or bytes, opened as often as wanted. `name` is what messages call it: a file name, never a path."""

    data: Path | bytes
    name: str
    size_bytes: int

    @classmethod
    def of(cls, source: Path | bytes) -> Source:
        """Raises MediaNotFound for what is no file, MediaUnreadable for what is empty or no regular file."""
        if isinstance(source, (bytes, bytearray, memoryview)):
            found = cls(bytes(source), "the data", len(source))
        else:
            name = file_name(source)
            if re.match(r"[a-z][a-z0-9+.-]+:/", str(source), re.IGNORECASE):
                raise MediaNotFound(f"{name} is a web address: download it first and hand over the file")
            try:
                status = Path(source).stat()
            except (OSError, ValueError):  # ValueError: a NUL in the name
                raise MediaNotFound(f"{name} does not exist or may not be looked at: check the name") from None
            if stat.S_ISDIR(status.st_mode):
                raise MediaNotFound(f"{name} is a directory: name one file in it")
            if not stat.S_ISREG(status.st_mode):
                raise MediaNotFound(f"{name} is no regular file: save the media to a file first")
            found = cls(Path(source), name, status.st_size)
        if not found.size_bytes:
            raise MediaUnreadable(f"{found.name} is empty: export or download it again")
        return found

    def open(self) -> BinaryIO:
        if isinstance(self.data, bytes):
            return io.BytesIO(self.data)
        try:
            return self.data.open("rb")
        except OSError:
            raise MediaNotFound(f"{self.name} cannot be opened: check its permissions") from None

    def head(self) -> bytes:
        with self.open() as file:
            return file.read(_HEAD_BYTES)

    def check_size(self, limit_bytes: float, what: str) -> None:
        """Raises MediaTooLarge above `limit_bytes`."""
        if self.size_bytes > limit_bytes:
            raise MediaTooLarge(
                f"{self.name} has {self.size_bytes / MIB:.1f} MiB, and {what} may have {limit_bytes / MIB:.0f} MiB: "
                "shorten or compress it"
            )


def file_name(path: Path | str) -> str:
    """The last part of `path` fit for one line of a message."""
    name = re.split(r"[/\\]", str(path).rstrip("/\\"))[-1] or "the path"
    name = "".join(ch if ch.isprintable() else "?" for ch in name)
    return name if len(name) <= 80 else name[:77] + "…"


def sniff(source: Path | bytes) -> Kind:
    """What a file or bytes hold, judged by content and never by name.

    Raises MediaNotFound, and MediaUnreadable for anything that is not a picture, sound or video Tandem reads.
    """
    found = Source.of(source)
    head = found.head()
    if picture_format(head):
        return "picture"
    refuse_foreign(found.name, head)
    if re.match(_MAYBE_VIDEO, head):
        with open_container(found) as container:
            if video_stream(container) is not None:
                return "video"
            if container.streams.audio:
                return "audio"
        raise MediaUnreadable(f"{found.name} holds neither pictures nor sound: export it again")
    if re.match(_SOUNDS, head):
        return "audio"
    raise unknown_content(found.name, head)


def picture_format(head: bytes) -> str | None:
    """PNG, JPEG, GIF, WebP or BMP by the first bytes, else None."""
    return next((name for pattern, name in _PICTURES if re.match(pattern, head)), None)


def refuse_foreign(name: str, head: bytes) -> None:
    """Raises MediaUnreadable, with the remedy, for known content that is never decoded."""
    for pattern, what in _FOREIGN:
        if re.match(pattern, head):
            raise MediaUnreadable(f"{name} is {what}")


def unknown_content(name: str, head: bytes) -> MediaUnreadable:
    try:
        head[:512].decode("utf-8")
        what = "is text" if b"\0" not in head[:512] else "is of an unknown kind"
    except UnicodeDecodeError:
        what = "is of an unknown kind"
    return MediaUnreadable(
        f"{name} {what}, not a picture, sound or video: hand over PNG, JPEG, WebP, GIF, BMP, WAV, FLAC, MP3, OGG, MP4, "
        "MKV, WebM, MOV, AVI or TS"
    )


@contextmanager
def open_container(source: Source) -> Iterator[InputContainer]:
    """Open sound or video with libav: only `CONTAINERS`, only this file's own bytes.

    libav gets a file object, so it never sees a path or an address, and every file it asks for itself is refused.
    Raises MediaUnreadable where it cannot make sense of the content, also for its errors inside the `with` block.
    """
    refuse_foreign(source.name, source.head())
    with source.open() as file, translate_errors(source.name):
        container = av.open(
            _Nameless(file),
            "r",
            options={"format_whitelist": CONTAINERS, "protocol_whitelist": "none"} | CODEC_OPTIONS,
            buffer_size=MIB // 4,
            io_open=_refuse_other_files,
            metadata_errors="replace",
        )
        with container:
            yield container


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Turn what a decoder library raises on bad content into MediaUnreadable."""
    try:
        yield
    except _Encrypted:
        raise MediaUnreadable(f"{name} is encrypted against copying: hand over a copy without it") from None
    except DECODER_ERRORS:
        raise MediaUnreadable(
            f"{name} is damaged, cut short or of a kind that cannot be decoded: export or download it again"
        ) from None


def video_stream(container: InputContainer) -> Any:
    """The first moving picture track with a decoder, or None. Cover art of sound files does not count."""
    for stream in container.streams.video:
        if not int(stream.disposition) & _ATTACHED_PICTURE and stream.codec_context is not None:
            return stream
    return None


def seeks_exactly(container: InputContainer) -> bool:
    """Whether a seek keeps exact times and clean packets; other formats are read from their start."""
    return container.format.name in ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv")


@dataclass
class Health:
    """Set to False by whoever meets damage while reading on: the result is then partial."""

    whole: bool = True


def discard_others(container: InputContainer, stream: Any) -> None:
    """Let the demuxer skip every other track, where the format allows without even reading it."""
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all


def packets_of(container: InputContainer, stream: Any, health: Health) -> Iterator[Any]:
    """The packets of one track, then the empty one that drains the decoder; read errors are skipped where possible.

    Packets that only a key would open end in MediaUnreadable where the container is closed.
    """
    for _ in range(_READ_ERRORS):
        try:
            for packet in container.demux(stream):
                if packet.has_sidedata("encryption_info"):
                    raise _Encrypted
                yield packet
            return
        except (av.error.FFmpegError, OSError):
            health.whole = False


def decode_packet(packet: Any, health: Health) -> list[Any]:
    """The frames that a packet completes; a packet that cannot be decoded gives none."""
    if packet.is_corrupt:
        health.whole = False
    try:
        return packet.decode()
    except av.error.EOFError:
        return []
    except (av.error.FFmpegError, OSError):
        health.whole = False
        return []


class _Encrypted(Exception):
    """A packet is scrambled."""


_READ_ERRORS = 20  # a file with more of them is not worth reading on
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC


class _Nameless:
    """A file object without its name, which libav would otherwise take as an address to guess from."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _refuse_other_files(url: str, flags: int, options: dict[str, str]) -> BinaryIO:
    raise PermissionError("media may not refer to other files")

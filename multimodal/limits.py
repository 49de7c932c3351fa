"""How much of a medium is accepted: checked on headers before anything is decoded, and again while decoding."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from multimodal.errors import MediaError

MIB = 1 << 20


@dataclass(frozen=True)
class MediaLimits:
    """Upper bounds of what `multimodal.decode` reads. Every value is positive; `math.inf` lifts a bound.

    picture_*: encoded size, width × height, longer side ÷ shorter side.
    audio_*: encoded size, length, and size as float32 with all its channels.
    video_upload_bytes: encoded size of a video handed over as bytes; a local file may have any size.
    video_frame_pixels: width × height of one coded frame (default: 8K).
    video_frames: most frames that one clip keeps.
    soundtrack_pcm_bytes: size of a video's sound after mixing and resampling, as float32.
    document_bytes: encoded size of a PDF. document_pages: most pages read of one at once. page_pixels: width × height
    that a page is drawn with at most.
    """

    picture_bytes: float = 20 * MIB
    picture_pixels: float = 50_000_000
    picture_side_ratio: float = 200
    audio_bytes: float = 25 * MIB
    audio_sec: float = 600
    audio_pcm_bytes: float = 256 * MIB
    video_upload_bytes: float = 256 * MIB
    video_frame_pixels: float = 8192 * 4352
    video_frames: int = 768
    soundtrack_pcm_bytes: float = 256 * MIB
    document_bytes: float = 64 * MIB
    document_pages: int = 200
    page_pixels: float = 8_000_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if math.isnan(value) or value <= 0:
                raise MediaError(f"the limit {field.name} is {value}: give a positive number")
        if self.video_frames < 2:
            raise MediaError(f"the limit video_frames is {self.video_frames}: a clip needs at least 2 frames")


DEFAULT_LIMITS = MediaLimits()

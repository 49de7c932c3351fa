"""Where somebody speaks in a sound track, found by the detector that also listens to calls."""

from __future__ import annotations

from collections.abc import Iterator

from multimodal.media import AudioClip, VideoClip
from streaming.turn import RATE_HZ, SileroDetector, SpeechStarted, SpeechStopped, TurnDetector

MOST_SEC = 30.0


def utterances(clip: VideoClip) -> Iterator[AudioClip]:
    """Stretches of speech, cut at pauses; `start_sec` counts from the clip's first frame."""
    track = clip.audio
    if track is None:
        return
    assert track.rate_hz == RATE_HZ
    detector = TurnDetector(SileroDetector())
    borders: list[list[int]] = []
    for event in [*detector.push(track.samples), *detector.commit()]:
        if isinstance(event, SpeechStarted):
            borders.append([event.at, len(track.samples)])
        elif isinstance(event, SpeechStopped):
            borders[-1][1] = event.at
    for first, last in borders:
        while first < last:
            end = min(last, first + round(MOST_SEC * RATE_HZ))
            yield AudioClip(track.samples[first:end], RATE_HZ, track.start_sec + first / RATE_HZ)
            first = end

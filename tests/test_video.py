"""Video files: exact times, upright frames, sound in its place, damage told, bounded memory."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from multimodal.decode import FrameBudget, MediaLimits, probe, read_audio, read_video, sniff
from multimodal.errors import MediaError, MediaTooLarge, MediaUnreadable
from multimodal.frames import resize
from multimodal.limits import DEFAULT_LIMITS
from multimodal.packets import index_packets
from multimodal.reel import Reel
from multimodal.source import CODEC_OPTIONS, Health, Source
from tests.media_files import (
    B_FRAMES,
    SMALL,
    click_track,
    numbered_frame,
    one_line,
    quarters,
    read_number,
    tone,
    write_video,
)


def numbers(clip: Any) -> list[int]:
    return [read_number(frame) for frame in clip.frames]


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds at 30 frames a second with B-frames, and clicks at 1 s and 7.5 s."""
    sound = click_track(10, 48_000, [1.0, 7.5])
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 300, 30, options=B_FRAMES, sound=sound)


def test_a_constant_rate_clip_gives_the_right_frames_at_exact_times(clip_file: Path) -> None:
    clip = read_video(clip_file, SMALL)
    expected = torch.linspace(0, 299, 20).round().long().numpy()
    assert numbers(clip) == expected.tolist()
    np.testing.assert_allclose(clip.times_sec, expected / 30, atol=1e-6)
    assert (clip.fps, clip.duration_sec, clip.complete) == (2.0, 10.0, True)
    assert clip.frames.shape == (20, 84, 196, 3)
    as_bytes = read_video(clip_file.read_bytes(), SMALL)
    assert np.array_equal(as_bytes.frames, clip.frames)
    assert pickle.loads(pickle.dumps(clip)).fps == 2.0
    info = probe(clip_file)
    assert (info.kind, info.width, info.height, info.fps, info.frames) == ("video", 192, 96, 30.0, 300)
    assert (info.codec, info.has_audio, info.audio_codec, info.rate_hz) == ("h264", True, "aac", 48_000)
    assert info.duration_sec == 10.0


CODECS = {
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "15"}, "libopus"),
    "vp8.webm": ("libvpx", {"g": "15", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "5"}, "libopus"),
    "h264.mkv": ("libx264", B_FRAMES, "pcm_s16le"),
    "mpeg4.avi": ("mpeg4", {"g": "12", "bf": "2"}, "mp2"),
    "h264.ts": ("libx264", B_FRAMES, "aac"),
    "h264.flv": ("libx264", B_FRAMES, "aac"),
    "mpeg2.mpg": ("mpeg2video", {"g": "12", "bf": "2"}, "mp2"),
    "mjpeg.mov": ("mjpeg", {}, "pcm_s16le"),
    "open.mp4": ("libx264", {"preset": "veryfast", "x264-params": "keyint=20:open-gop=1:bframes=3:scenecut=0"}, "aac"),
    "hevc.mp4": ("libx265", {"preset": "ultrafast", "x265-params": "keyint=20:open-gop=1:log-level=none"}, "aac"),
}


@pytest.mark.parametrize("name", CODECS)
def test_containers_and_codecs_agree_and_skipping_equals_straight_decoding(name: str, tmp_path: Path) -> None:
    codec, options, sound_codec = CODECS[name]
    path = write_video(
        tmp_path / name, 90, 30, codec=codec, options=options, sound=tone(3, 48_000), sound_codec=sound_codec
    )
    clip = read_video(path, SMALL)
    expected = torch.linspace(0, 89, 6).round().long().numpy()
    assert numbers(clip) == expected.tolist()
    np.testing.assert_allclose(clip.times_sec, expected / 30, atol=1.5e-3)
    assert clip.complete and clip.fps == 2.0 and clip.audio is not None
    assert abs(clip.audio.start_sec) < 0.04 and abs(clip.audio.duration_sec - 3) < 0.05

    part = read_video(path, SMALL, start_sec=1.0, end_sec=1.5)
    assert numbers(part) == [30, 35, 40, 45] and part.complete and part.fps == 7.5
    assert part.audio is not None and abs(part.audio.start_sec) < 1e-3 and len(part.audio.samples) == 8000

    found, health = Source.of(path), Health()
    index = index_packets(found, DEFAULT_LIMITS, health)
    order = np.argsort(index.pts)
    wanted = order[[0, 7, 8, 19, 20, 21, 39, 58, 89]]
    with closing(Reel(found)) as first, closing(Reel(found)) as second:
        skipping, _ = first.frames(index, wanted, SMALL, health)
        straight, _ = second.frames(index, wanted, SMALL, health, skip=False)
    assert [read_number(frame) for frame in skipping[:9]] == [0, 7, 8, 19, 20, 21, 39, 58, 89]
    assert np.array_equal(skipping, straight) and health.whole


@pytest.mark.parametrize(
    ("name", "codec", "options"), [("v.mp4", "libx264", B_FRAMES), ("v.webm", "libvpx-vp9", CODECS["vp9.webm"][1])]
)
def test_a_variable_rate_clip_is_sampled_by_its_real_times(
    name: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    times_ms = [0, 33, 66, 100, 1000, 1033, 1066, 2500, 2533, 2566, 4000, 4033, 7000, 7033, 7066, 7100]
    clip = read_video(write_video(tmp_path / name, times_ms=times_ms, codec=codec, options=options), SMALL)
    count = len(clip.frames)
    assert count == 14  # 7.1 s and the last frame's own length, at 2 frames a second, even
    for sample, (number, at) in enumerate(zip(numbers(clip), clip.times_sec)):
        target = 7.1 * sample / (count - 1)
        assert number == max(i for i, ms in enumerate(times_ms) if ms / 1000 <= target + 1e-3)
        assert at == pytest.approx(times_ms[number] / 1000, abs=1e-3) or at == pytest.approx(target, abs=1e-3)
    assert (np.diff(clip.times_sec) > 0).all()
    assert clip.fps == pytest.approx(count / clip.duration_sec)


@pytest.mark.parametrize(("rotation", "turns"), [(None, 0), (90, 1), (180, 2), (-90, 3)])
def test_rotation_metadata_is_applied(rotation: float | None, turns: int, tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "phone.mp4",
        4,
        size=(112, 224),
        rotation=rotation,
        draw=lambda _, height, width: quarters(height, width),
    )
    clip = read_video(path, FrameBudget(min_pixels=28 * 28, max_pixels=224 * 112))
    upright = np.rot90(quarters(112, 224), turns)
    assert clip.frames.shape[1:] == upright.shape
    corners = (slice(None, None, 70), slice(None, None, 70))
    assert np.abs(clip.frames[0][20:-20][corners].astype(int) - upright[20:-20][corners]).max() < 40
    info = probe(path)
    assert (info.height, info.width) == upright.shape[:2]


def test_pixels_match_the_bicubic_resize_of_qwen_vl_utils(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from qwen_vl_utils import vision_process as reference

    path = write_video(tmp_path / "clip.mp4", 60, size=(270, 480))

    def read_all(ele: dict[str, Any]) -> Any:  # a reader by qwen-vl-utils' contract, every frame in memory
        with av.open(str(path)) as container:
            pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        count = reference.smart_nframes(ele, total_frames=len(pixels), video_fps=30)
        indices = torch.linspace(0, len(pixels) - 1, count).round().long()
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)[indices], {}, count / len(pixels) * 30

    monkeypatch.setattr(reference, "get_video_reader_backend", lambda: "torchvision")
    monkeypatch.setitem(reference.VIDEO_READER_BACKENDS, "torchvision", read_all)
    for bounds in ({}, {"min_pixels": 784, "max_pixels": 40_000}):
        resized, fps = reference.fetch_video({"video": str(path), **bounds}, return_video_sample_fps=True)
        expected = np.asarray(resized).transpose(0, 2, 3, 1)  # [T, H, W, 3]
        clip = read_video(path, FrameBudget(**bounds))
        assert clip.fps == fps
        assert clip.frames.shape == expected.shape
        difference = np.abs(clip.frames.astype(float) - expected)
        assert difference.mean() < 0.3 and difference.max() <= 8


def test_the_resize_is_within_a_few_levels_of_float_bicubic_on_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (270, 480, 3)).astype(np.uint8)
    planes = torch.from_numpy(noise).permute(2, 0, 1)[None].float()
    exact = torch.nn.functional.interpolate(planes, size=(112, 196), mode="bicubic", antialias=True)
    exact = exact.clamp(0, 255)[0].permute(1, 2, 0).numpy()
    difference = np.abs(resize(noise, 112, 196) - exact)
    assert difference.mean() < 0.5 and difference.max() <= 8


def test_the_sound_track_keeps_its_offset_and_its_events_their_times(clip_file: Path, tmp_path: Path) -> None:
    late = write_video(
        tmp_path / "late.mkv", 120, 30, sound=click_track(3, 48_000, [0.5, 2.0]), sound_codec="pcm_s16le",
        sound_offset_sec=0.75,
    )  # fmt: skip
    for path, clicks, at in ((clip_file, [1.0, 7.5], 0.0), (late, [1.25, 2.75], 0.75)):
        sound = read_video(path, SMALL).audio
        assert sound is not None and sound.rate_hz == 16_000 and abs(sound.start_sec - at) < 0.03
        for click in clicks:
            first = np.flatnonzero(np.abs(sound.samples) > 0.3)
            found = sound.start_sec + first / 16_000
            assert np.abs(found - click).min() < 0.004
    part = read_video(clip_file, SMALL, start_sec=7.0, end_sec=8.0).audio
    assert part is not None and abs(part.start_sec) < 1e-3 and len(part.samples) == 16_000
    assert abs(np.flatnonzero(np.abs(part.samples) > 0.3)[0] / 16_000 - 0.5) < 0.004
    assert read_video(clip_file, SMALL, audio=False).audio is None


def test_sound_with_a_hole_in_its_time_stamps_stays_in_time(tmp_path: Path) -> None:
    path = tmp_path / "hole.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for at_sec in (0.0, 3.0):
            samples = (click_track(1, 16_000, [0.5])[None] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, round(at_sec * 16_000), Fraction(1, 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = read_audio(path)
    loud = np.flatnonzero(np.abs(clip.samples) > 0.3) / 16_000
    assert clip.duration_sec == pytest.approx(4, abs=0.01)
    assert loud[0] == pytest.approx(0.5, abs=0.004) and loud[-1] == pytest.approx(3.5, abs=0.008)


def test_a_video_without_sound_has_no_audio(tmp_path: Path) -> None:
    clip = read_video(write_video(tmp_path / "silent.mp4", 30), SMALL, audio=True)
    assert clip.audio is None and clip.complete and not probe(tmp_path / "silent.mp4").has_audio


@pytest.mark.parametrize(("frames", "kept"), [(1, [0, 0]), (2, [0, 1]), (3, [0, 2]), (5, [0, 1, 3, 4])])
def test_very_short_clips_fill_whole_temporal_patches(frames: int, kept: list[int], tmp_path: Path) -> None:
    clip = read_video(write_video(tmp_path / "short.mp4", frames), SMALL)
    assert numbers(clip) == kept and len(clip.times_sec) == len(kept) and clip.complete
    assert clip.duration_sec == pytest.approx(frames / 30)
    assert clip.fps == pytest.approx(len(kept) / clip.duration_sec)


def test_a_part_outside_the_video_is_refused(clip_file: Path) -> None:
    for start, end in ((5.0, 5.0), (6.0, 5.0), (-1.0, 2.0), (float("nan"), None), (0.0, float("nan"))):
        with pytest.raises(MediaError, match="start < end"):
            read_video(clip_file, SMALL, start_sec=start, end_sec=end)
    with pytest.raises(MediaError, match=r"ends at 10\.0 s"):
        read_video(clip_file, SMALL, start_sec=60.0)
    assert numbers(read_video(clip_file, SMALL, start_sec=9.0, end_sec=1e9))[-1] == 299


def test_frames_of_a_request_are_capped(clip_file: Path) -> None:
    clip = read_video(clip_file, FrameBudget(fps=30, min_pixels=784, max_pixels=784), MediaLimits(video_frames=6))
    assert len(clip.frames) == 6 and numbers(clip)[0] == 0 and numbers(clip)[-1] == 299
    with pytest.raises(MediaTooLarge, match="MiB"):
        read_video(clip_file.read_bytes(), SMALL, MediaLimits(video_upload_bytes=1000))
    with pytest.raises(MediaTooLarge, match="too much sound"):
        read_video(clip_file, SMALL, MediaLimits(soundtrack_pcm_bytes=1000))


def test_a_clip_damaged_in_the_middle_is_partial_and_says_so(clip_file: Path) -> None:
    whole = read_video(clip_file, SMALL)
    data = bytearray(clip_file.read_bytes())
    start, length = data.index(b"mdat"), len(data)
    noise = np.random.default_rng(1).integers(0, 256, length // 4).astype(np.uint8).tobytes()
    first = start + (length - start) // 3
    data[first : first + len(noise)] = noise
    clip = read_video(bytes(data), SMALL)
    assert not clip.complete and whole.complete
    good = numbers(clip)
    assert good[0] == 0 and good[-1] == 299 and len(clip.frames) == len(whole.frames)
    assert np.array_equal(clip.times_sec, whole.times_sec)


def test_a_clip_that_breaks_off_gives_what_is_there_or_is_refused(tmp_path: Path) -> None:
    header_last = write_video(tmp_path / "last.mp4", 120).read_bytes()
    with pytest.raises(MediaUnreadable, match="cut short") as caught:
        read_video(header_last[: len(header_last) // 2])
    one_line(caught.value)
    for name, options in (("first.mp4", {"movflags": "faststart"}), ("cut.mkv", {})):
        data = write_video(tmp_path / name, 120, container_options=options, sound=tone(4, 48_000)).read_bytes()
        clip = read_video(data[: len(data) * 6 // 10], SMALL)
        assert not clip.complete and numbers(clip)[0] == 0
        assert 1 < clip.times_sec[-1] < 3.5 and len(clip.frames) % 2 == 0


def test_the_codec_itself_decodes_no_frame_above_its_bound(clip_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CODEC_OPTIONS, "max_pixels", str(192 * 96 - 1))
    with pytest.raises(MediaUnreadable):
        read_video(clip_file, SMALL)


def test_large_frames_are_decoded_or_refused_by_their_header(tmp_path: Path) -> None:
    path = write_video(tmp_path / "8k.mp4", 2, size=(4320, 7680), draw=_flat)
    clip = read_video(path, SMALL)
    assert len(clip.frames) == 2 and abs(int(clip.frames[0].mean()) - 128) < 4
    started = time.process_time()
    with pytest.raises(MediaTooLarge, match="7680×4320"):
        read_video(path, SMALL, MediaLimits(video_frame_pixels=4096 * 2304))
    assert time.process_time() - started < 1


def _flat(number: int, height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_cover_art_does_not_make_a_video_of_a_song(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound: Any = container.add_stream("aac", rate=16_000, layout="mono")
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic  # pyright: ignore[reportAttributeAccessIssue]
        frame = av.AudioFrame.from_ndarray(tone(1)[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
        container.mux(cover.encode(av.VideoFrame.from_ndarray(quarters(64, 64), format="rgb24")))
        container.mux(cover.encode())
    assert sniff(path) == "audio" and abs(read_audio(path).duration_sec - 1) < 0.1
    with pytest.raises(MediaUnreadable, match="sound but no pictures"):
        read_video(path)


_MEASURE = """
import sys, threading, time, psutil
from pathlib import Path
import torch
torch.set_num_threads(1)
from multimodal.decode import FrameBudget, read_video
import qwen_vl_utils.vision_process
process = psutil.Process()
before = peak = process.memory_info().rss
def watch():
    global peak
    while True:
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
clip = read_video(Path(sys.argv[1]), FrameBudget(min_pixels=784, max_pixels=320 * 180))
print(len(clip.frames), clip.frames.nbytes + clip.audio.samples.nbytes, peak - before, clip.complete)
"""


def test_ten_minutes_are_sampled_in_little_more_memory_than_the_result(tmp_path: Path) -> None:
    """All 3,600 decoded frames would take 622 MB even at this size."""
    path = write_video(
        tmp_path / "long.mov", 3600, 6, size=(180, 320), sound=tone(600, 16_000), sound_hz=16_000,
        sound_codec="pcm_s16le", draw=_cheap, options={"preset": "ultrafast", "g": "50"},
    )  # fmt: skip
    child = subprocess.run([sys.executable, "-c", _MEASURE, str(path)], capture_output=True, text=True, check=True)
    frames, result, growth, complete = child.stdout.split()
    assert (int(frames), complete) == (768, "True")
    assert int(growth) < int(result) + (100 << 20), f"{int(growth) >> 20} MiB for a result of {int(result) >> 20} MiB"


_CANVAS = numbered_frame(0, 180, 320)


def _cheap(number: int, height: int, width: int) -> np.ndarray:
    frame = _CANVAS.copy()
    frame[100:, number % 300 : number % 300 + 20] = 250
    return frame

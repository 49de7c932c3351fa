"""About a hundred small held-out cases, kept as files with their questions and right answers: what guards a checkpoint.

    python -m training.cases write tests/cases      draws them anew (needs what the worlds are made of)
    python -m training.cases measure tests/cases    what models/omni-nano makes of them: the bar for the next one. A worse
                                                    checkpoint than the one before is refused, without --even-if-worse

    cases.json      {"cases": [case, …], "speech": [speech case, …]}, each on a line of its own
    scores.json     figures by task, as `measure` found them, and the hash of the weights that they are of
    media/          pictures as PNG or WebP, sounds as FLAC, clips as H.264 with FLAC in Matroska

A case is {"id", "task", "kind", "turns": [[part, …], …], "answers", …}, and a part is {"text": …}, {"image": file},
{"audio": file} or {"video": file}. A picture with much texture is stored as lossy WebP, and clips are lossy, too: what is
asked is what people bring.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image

from multimodal.decode import FrameBudget, read_audio, read_picture, read_video
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import Content, Turn
from training.evaluate import ratio
from training.judge import Judge
from training.recognition import Recognizer
from training.scoring import Outcome
from training.tasks import Case, Exam, SpeechCase

SEED = 2026  # of no evaluation: those count from 0
COUNTS = {
    "pictures": 24,
    "reading": 10,
    "grounding": 8,
    "video": 12,
    "audiovisual": 8,
    "dictation_seen": 8,
    "dictation_unseen": 8,
    "spoken_questions": 8,
    "facts": 8,
    "refusals": 6,
}
SPEECH_CASES = 4
ERROR_RATES = ("reading", "dictation_seen", "dictation_unseen", "speech", "speech_heard")
SURPRISED = ("pictures", "reading", "grounding", "video", "audiovisual", "dictation_seen", "dictation_unseen", "spoken_questions")  # fmt: skip
"""Tasks of one turn with media: for these, how far the right answer is from what the checkpoint would say is a figure, too."""
LARGEST_PNG = 12_000  # bytes; a larger picture becomes WebP
WEBP_QUALITY = 90
# x264's assembler reads a little beyond frames, so that it does not always write the same bytes.
CLIP_OPTIONS = {"crf": "16", "preset": "veryslow", "threads": "1", "x264-params": "asm=0"}


def file_of(medium: Content, stem: Path) -> Path:
    """Write a medium beside `stem`, with the ending that it gets. Returns the file."""
    if isinstance(medium, Picture):
        image, data = Image.fromarray(medium.pixels), io.BytesIO()
        image.save(data, "PNG", optimize=True)
        if data.tell() <= LARGEST_PNG:
            path = stem.with_suffix(".png")
            path.write_bytes(data.getvalue())
        else:
            path = stem.with_suffix(".webp")
            image.save(path, quality=WEBP_QUALITY, method=6)
    elif isinstance(medium, AudioClip):
        path = stem.with_suffix(".flac")
        soundfile.write(path, medium.samples, medium.rate_hz, subtype="PCM_16")
    else:
        assert isinstance(medium, VideoClip)
        path = stem.with_suffix(".mkv")
        _write_clip(medium, path)
    return path


def _write_clip(clip: VideoClip, path: Path) -> None:
    height, width = clip.frames.shape[1:3]
    with av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        video: Any = container.add_stream("libx264", rate=round(clip.fps), options=CLIP_OPTIONS)
        video.width, video.height, video.pix_fmt = width, height, "yuv444p"
        sound: Any = None
        if clip.audio is not None:
            sound = container.add_stream("flac", rate=clip.audio.rate_hz, layout="mono")
        for pixels in clip.frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(video.encode(frame.reformat(format=video.pix_fmt)))
        container.mux(video.encode(None))
        if sound is not None and clip.audio is not None:
            samples = (clip.audio.samples.clip(-1, 1) * 32767).round().astype(np.int16)
            heard = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            heard.sample_rate, heard.pts = clip.audio.rate_hz, 0
            # At its end the encoder also gives an empty packet, which Matroska refuses.
            container.mux([packet for packet in (*sound.encode(heard), *sound.encode(None)) if packet.size])


_NAMES = {Picture: "image", AudioClip: "audio", VideoClip: "video"}


def stored(case: Case, name: str, folder: Path) -> dict[str, Any]:
    """The entry of a case, its media written into `folder`/media."""
    turns = []
    for i, turn in enumerate(case.turns):
        parts = []
        for j, part in enumerate(turn.content):
            if isinstance(part, str):
                parts.append({"text": part})
            else:
                parts.append({_NAMES[type(part)]: file_of(part, folder / "media" / f"{name}-{i}{j}").name})
        turns.append(parts)
    entry: dict[str, Any] = {"id": name, "task": case.task, "kind": case.kind, "turns": turns}
    entry["answers"] = list(case.answers)
    return (
        entry | ({"boxes": list(case.boxes)} if case.boxes else {}) | ({"spoken": case.spoken} if case.spoken else {})
    )


def write(folder: Path, seed: int = SEED, counts: Mapping[str, int] = COUNTS, speech: int = SPEECH_CASES) -> None:
    """Draw the cases of a seed into `folder`, in place of those that are there. Their scores are another matter."""
    shutil.rmtree(folder / "media", ignore_errors=True)
    (folder / "media").mkdir(parents=True)
    exam = Exam(seed)
    entries = [
        stored(exam.case(task, index), f"{task}-{index:02}", folder)
        for task, count in counts.items()
        for index in range(count)
    ]
    said = [vars(exam.speech_case(index)) for index in range(speech)]
    lists = {"cases": entries, "speech": said}
    parts = [
        f'"{name}": [\n' + ",\n".join(json.dumps(one, ensure_ascii=False) for one in several) + "\n]"
        for name, several in lists.items()
    ]
    (folder / "cases.json").write_text("{" + ",\n".join(parts) + "}\n")


@dataclass(frozen=True)
class Cases:
    """The cases of a folder."""

    folder: Path
    entries: tuple[dict[str, Any], ...]
    speech: tuple[SpeechCase, ...]

    @classmethod
    def read(cls, folder: Path) -> Cases:
        found = json.loads((folder / "cases.json").read_text())
        return cls(folder, tuple(found["cases"]), tuple(SpeechCase(**one) for one in found["speech"]))

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entry["task"] for entry in self.entries))

    def of(self, task: str, budget: FrameBudget) -> list[Case]:
        """Cases of a task, their files decoded. budget: of the checkpoint that will see them."""
        return [self.case(entry, budget) for entry in self.entries if entry["task"] == task]

    def case(self, entry: Mapping[str, Any], budget: FrameBudget) -> Case:
        turns = tuple(Turn("user", tuple(self._part(part, budget) for part in parts)) for parts in entry["turns"])
        boxes, spoken = tuple(entry.get("boxes", ())), entry.get("spoken", "")
        return Case(entry["task"], entry["kind"], turns, tuple(entry["answers"]), boxes, spoken)

    def _part(self, part: Mapping[str, str], budget: FrameBudget) -> Content:
        ((kind, value),) = part.items()
        path = self.folder / "media" / value
        if kind == "image":
            return read_picture(path)
        if kind == "audio":
            return read_audio(path)
        return read_video(path, budget) if kind == "video" else value


def budget_of(judge: Judge) -> FrameBudget:
    return FrameBudget.from_preprocessor(judge.model.thinker.vision.processor.to_dict())


@dataclass(frozen=True)
class Score:
    """What a checkpoint makes of a task: the figure, what of it two checkpoints that are as good may differ by, and the
    surprise at the right answers in nats a token, None where it is not measured."""

    figure: float
    slack: float
    surprise: float | None = None

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], surprise: float | None = None) -> Score:
        """One wrong answer more is no worse a checkpoint, nor are three wrong words or characters."""
        task, units = outcomes[0].task, sum(outcome.whole for outcome in outcomes)
        slack = 3 / units if task in ERROR_RATES else 1 / len(outcomes)
        return cls(ratio(outcomes), slack, surprise)

    def reached(self, task: str, figure: float) -> bool:
        """Whether `figure` is no worse than this."""
        if task in ERROR_RATES:
            return figure <= self.figure + self.slack + 1e-9
        return figure >= self.figure - self.slack - 1e-9

    def reached_surprise(self, surprise: float) -> bool:
        """Other processors round otherwise; a twentieth is more than that makes, and less than anything that is broken."""
        assert self.surprise is not None
        return surprise <= 1.05 * self.surprise + 0.01


def bars(folder: Path) -> dict[str, Score]:
    """The scores of a folder by task."""
    return {task: Score(**found) for task, found in json.loads((folder / "scores.json").read_text())["scores"].items()}


def surprise(judge: Judge, cases: Sequence[Case]) -> float:
    """Nats a token by which the right answers of cases surprise the checkpoint."""
    nats, tokens = zip(*(judge.surprise(case.turns, case.answers[0]) for case in cases))
    return sum(nats) / sum(tokens)


def measure(cases: Cases, judge: Judge) -> dict[str, Score]:
    """Scores by task, speech and speech_heard among them."""
    scores, budget = {}, budget_of(judge)
    for task in cases.tasks:
        asked = cases.of(task, budget)
        outcomes = [judge.outcome(case) for case in asked]
        scores[task] = Score.of(outcomes, surprise(judge, asked) if task in SURPRISED else None)
    return scores | {task: Score.of(outcomes) for task, outcomes in speech_outcomes(cases, judge).items()}


def speech_outcomes(cases: Cases, judge: Judge) -> dict[str, list[Outcome]]:
    """Outcomes of the checkpoint's own speech: speech and speech_heard."""
    recognizer = Recognizer()
    found: dict[str, list[Outcome]] = {"speech": [], "speech_heard": []}
    for index, case in enumerate(cases.speech):
        for outcome in judge.speech_outcomes(case, index, recognizer):
            found.get(outcome.task, []).append(outcome)
    return found


def write_scores(folder: Path, weights: str, scores: Mapping[str, Score]) -> None:
    def rounded(score: Score) -> str:
        return json.dumps({name: value if value is None else round(value, 4) for name, value in vars(score).items()})

    lines = ",\n".join(f'"{task}": {rounded(score)}' for task, score in scores.items())
    (folder / "scores.json").write_text(f'{{"weights": "{weights}", "scores": {{\n{lines}\n}}}}\n')


def weights_of(model: Path) -> str:
    """A hash of a checkpoint's weights."""
    found = hashlib.sha256()
    for file in sorted(model.glob("*.safetensors")):
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def worse(before: Mapping[str, Score], now: Mapping[str, Score]) -> list[str]:
    """Tasks that were better before, with both scores in words."""
    found = []
    for task, score in now.items():
        bar = before.get(task)
        if bar is None:
            continue
        less_sure = bar.surprise is not None and score.surprise is not None and not bar.reached_surprise(score.surprise)
        if less_sure or not bar.reached(task, score.figure):
            found.append(
                f"{task}: figure {bar.figure:.4f} → {score.figure:.4f}, surprise {bar.surprise} → {score.surprise}"
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("write", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="models/omni-nano", help="whose figures are measured")
    parser.add_argument("--even-if-worse", action="store_true", help="lower the bar, too")
    options = parser.parse_args()
    if options.command == "write":
        write(options.folder)
        size = sum(file.stat().st_size for file in (options.folder / "media").iterdir())
        print(json.dumps({"stage": "cases", "cases": sum(COUNTS.values()) + SPEECH_CASES, "media_bytes": size}))
        return
    import torch

    torch.set_num_threads(1)
    began = time.monotonic()
    scores = measure(Cases.read(options.folder), Judge(options.model, greedy_speech=True))
    for task, score in scores.items():
        print(json.dumps({"stage": "cases", "task": task, **vars(score)}))
    print(json.dumps({"stage": "cases", "model": options.model, "wall_sec": round(time.monotonic() - began, 1)}))
    before = bars(options.folder) if (options.folder / "scores.json").exists() else {}
    if (lower := worse(before, scores)) and not options.even_if_worse:
        raise SystemExit(
            "worse than the checkpoint before, so the bar stays (--even-if-worse lowers it):\n" + "\n".join(lower)
        )
    write_scores(options.folder, weights_of(Path(options.model)), scores)


if __name__ == "__main__":
    main()

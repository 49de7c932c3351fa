"""An independent judge of speech: CMU PocketSphinx with the US English model of its wheel, and error rates.

Its own error rate on clear synthetic speech is far from zero, so a voice is judged against its teacher's figure on the
same sentences, never alone.

    python -m training.recognition --text "It is a red circle." speech.wav
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.corpus import number_words

RATE_HZ = 16_000
_UNITS = {"%": " percent", "&": " and", "+": " plus", "°": " degrees", "=": " equals"}


class Recognizer:
    """PocketSphinx's general English decoder. Not to be shared between threads."""

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError:
            raise SystemExit("the independent recognizer is missing: pip install pocketsphinx") from None
        self._decoder: Any = Decoder(samprate=RATE_HZ, loglevel="FATAL")

    def knows(self, word: str) -> bool:
        """Whether `word`, lower case, is in the dictionary; any other word cannot be recognized."""
        return self._decoder.lookup_word(word) is not None

    def transcribe(self, samples: np.ndarray, rate_hz: int) -> str:
        """Words heard in mono float32 [N] in −1…1, lower case, separated by spaces."""
        if rate_hz != RATE_HZ:
            import soxr

            samples = soxr.resample(samples, rate_hz, RATE_HZ)
        silence = np.zeros(RATE_HZ // 5, np.float32)
        padded = np.concatenate([silence, np.asarray(samples, np.float32), silence])
        self._decoder.start_utt()
        self._decoder.process_raw((padded.clip(-1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found else ""


def normalize(text: str) -> list[str]:
    """Words as they are said: lower case, numbers and times in words, no punctuation, hyphens as spaces."""
    text = text.lower().replace("’", "'")
    for sign, words in _UNITS.items():
        text = text.replace(sign, words + " ")
    text = re.sub(r"\b(\d{1,2}):(\d{2})\b", _clock, text)
    text = re.sub(r"(\d),(?=\d{3}\b)", r"\1", text)
    text = re.sub(r"(\d+)\.(\d+)", lambda m: f"{_number(m[1])} point {' '.join(_number(d) for d in m[2])}", text)
    text = re.sub(r"\d+", lambda m: f" {_number(m[0])} ", text)
    text = re.sub(r"[^a-z' ]+", " ", text)
    return [word for word in (part.strip("'") for part in text.split()) if word]


def _number(digits: str) -> str:
    return number_words(int(digits)) if len(digits) <= 6 else " ".join(number_words(int(d)) for d in digits)


def _clock(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if minute == 0:
        return f"{number_words(hour)} o'clock"
    return f"{number_words(hour)} {'oh ' if minute < 10 else ''}{number_words(minute)}"


def edit_distance(reference: Sequence[Any], hypothesis: Sequence[Any]) -> int:
    """Fewest insertions, deletions and substitutions from one sequence to the other."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, found in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != found))
    return row[-1]


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Word errors of (reference, hypothesis) pairs ÷ words of the references, after `normalize`."""
    words = [(normalize(reference), normalize(hypothesis)) for reference, hypothesis in pairs]
    return sum(edit_distance(*pair) for pair in words) / max(sum(len(reference) for reference, _ in words), 1)


def character_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Character errors of (reference, hypothesis) pairs ÷ characters of the references, case and spaces counted."""
    both = list(pairs)
    return sum(edit_distance(*pair) for pair in both) / max(sum(len(reference) for reference, _ in both), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="WAV files")
    parser.add_argument("--text", help="what is said in each of them")
    options = parser.parse_args()

    import soundfile

    recognizer = Recognizer()
    for path in options.files:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        heard = recognizer.transcribe(samples.mean(1), rate_hz)
        report: dict[str, Any] = {"file": str(path), "heard": heard}
        if options.text:
            report["wer"] = round(word_error_rate([(options.text, heard)]), 3)
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()

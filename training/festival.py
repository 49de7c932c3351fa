"""Festival as a teacher: a program that is asked through pipes."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from training.synthesis import FESTIVAL_VOICES, library_folders, track
from training.utterances import PHONE_ID, SAMPLE_RATE_HZ, Utterance

_KED_PITCH_HZ = 105


class Festival:
    """A voice of FESTIVAL_VOICES in one `festival --pipe` process: the HTS voice slt, slow and with a prosody of its own,
    or the diphone voice ked, a man whom no other synthesizer has."""

    def __init__(self, voice: str, root: Path | None = None):
        self.voice = voice
        command = (
            ["festival"]
            if root is None
            else [str(root / "usr/bin/festival"), "--libdir", str(root / "usr/share/festival")]
        )
        environment = None if root is None else {"LD_LIBRARY_PATH": ":".join(map(str, library_folders(root)))}
        self._process = subprocess.Popen(
            [*command, "--pipe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._folder = tempfile.TemporaryDirectory()
        function = f"voice_{FESTIVAL_VOICES[voice]}"
        if b"absent" in self._run(f'(if (not (boundp \'{function})) (format t "absent\\n"))'):
            self.close()
            raise FileNotFoundError("festival lacks the voice: install festvox-us-slt-hts and festvox-kdlpc16k")
        self._run(f"({function})")

    def _run(self, scheme: str) -> list[bytes]:
        """The lines that festival answers with."""
        process = self._process
        assert process.stdin and process.stdout
        process.stdin.write(f'{scheme}\n(format t "ready\\n")(fflush nil)\n'.encode())
        process.stdin.flush()
        answer: list[bytes] = []
        for line in process.stdout:
            if line.strip() == b"ready":
                return answer
            answer.append(line.strip())
        raise ValueError("festival ended: install festival, festvox-us-slt-hts and festvox-kdlpc16k")

    def speak(self, text: str, speed: float = 1.0, pitch: float = 1.0) -> Utterance:
        from scipy.io import wavfile
        from scipy.signal import resample_poly

        if pitch != 1.0 and self.voice == "hts-slt":
            raise ValueError("the HTS voice has one pitch only")
        tune = f"(target_f0_mean {_KED_PITCH_HZ * pitch:.1f}) (target_f0_std 15) (model_f0_mean 170) (model_f0_std 34)"
        if self.voice != "hts-slt":
            self._run(f"(set! int_lr_params '({tune}))")
        quoted = text.replace("\\", "").replace('"', "")
        wave, labels = Path(self._folder.name, "u.wav"), Path(self._folder.name, "u.lab")
        self._run(
            f"(Parameter.set 'Duration_Stretch {(1.0 if self.voice == 'hts-slt' else 1.1) / speed:.3f})"
            f'(set! u (utt.synth (Utterance Text "{quoted}")))'
            f'(utt.save.wave u "{wave}" \'riff)(utt.save.segs u "{labels}")'
        )
        rate_hz, data = wavfile.read(wave)
        samples = np.clip(np.rint(resample_poly(data.astype(np.float32), SAMPLE_RATE_HZ, rate_hz)), -32768, 32767)
        lines = [line.split() for line in labels.read_text().splitlines() if line and line[0].isdigit()]
        known = lines and all(line[2] in PHONE_ID for line in lines)
        segments = [(PHONE_ID[line[2]], float(line[0])) for line in lines] if known else []
        phones = track(segments, len(samples)).astype(np.uint8) if segments else np.zeros(0, np.uint8)
        return Utterance(text, self.voice, samples.astype(np.int16), phones)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

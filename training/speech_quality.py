"""How well an independent recognizer (pocketsphinx with its own US English model) understands each link of speech out:
the teacher, its mel through the vocoder, its codes through DiT and vocoder, whole and in streaming windows.

    python -m training.speech_quality --shards TEST_DIR… --codec runs/codec/codec.safetensors --dit runs/dit \\
        --vocoder runs/vocoder/vocoder.safetensors --count 40 --wavs out/

With `--coded FILE_OR_DIR` (codes that a Talker wrote, in the format of training.utterances) those are spoken as well.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from multimodal.blueprint import Blueprint
from multimodal.token2wav import SpeechStream, Token2Wav
from training.codec import encode_bank, read_codec
from training.dit import TEACHERS, ode_of
from training.export import read_part
from training.nano import NANO, VOICES
from training.recognition import Recognizer, normalize, word_error_rate
from training.speech_bank import SpeechBank
from training.utterances import SAMPLE_RATE_HZ, Utterance, read_coded, read_shard, shards

RATE_HZ = 24_000  # of Token2Wav

VOICE_OF_TEACHER: dict[str, str] = dict(zip(TEACHERS, VOICES, strict=True))


def open_token2wav(dit: Path, vocoder: Path, blueprint: Blueprint = NANO) -> Token2Wav:
    """The application's Token2Wav with the trained parts. dit: its safetensors file or an exported folder."""
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniToken2WavModel

    model = Qwen2_5OmniToken2WavModel(blueprint.config().token2wav_config).eval()
    model.code2wav_dit_model.load_state_dict(read_part(dit, "dit"))
    model.code2wav_bigvgan_model.load_state_dict(read_part(vocoder, "vocoder"))
    return Token2Wav(model, ode_of(blueprint))


def streamed(token2wav: Token2Wav, codes: list[int], voice: Any) -> np.ndarray:
    stream = SpeechStream(token2wav, voice)
    pieces = [piece for code in codes if (piece := stream.push(code)) is not None]
    return np.concatenate([*pieces, stream.finish()])


def readable(text: str, words: int) -> bool:
    """Whether the recognizer can be asked for this text: no digits, and long enough to count."""
    return not re.search(r"[0-9]", text) and words <= len(normalize(text)) <= 20


def knows(recognizer: Recognizer, text: str) -> bool:
    return all(recognizer.knows(word) for word in normalize(text))


def heard(recognizer: Recognizer, texts: Sequence[str], spoken: Sequence[np.ndarray], rate_hz: int) -> float:
    """Word error rate of what the recognizer hears in `spoken` (mono float32 [N] in −1…1 each)."""
    pairs = [(text, recognizer.transcribe(samples, rate_hz)) for text, samples in zip(texts, spoken, strict=True)]
    return round(word_error_rate(pairs), 4)


def sample_utterances(recognizer: Recognizer, folders: Sequence[Path], count: int, seed: int) -> list[Utterance]:
    found = [u for folder in folders for path in shards(folder) for u in read_shard(path)]
    found = [u for u in found if u.voice in TEACHERS and readable(u.text, 3) and knows(recognizer, u.text)]
    return random.Random(seed).sample(found, min(count, len(found)))


def write_wav(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE_HZ)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    torch.manual_seed(arguments.seed)
    recognizer = Recognizer()
    token2wav = open_token2wav(arguments.dit / "dit.safetensors", arguments.vocoder)
    table = torch.load(arguments.dit / "voices.pt", map_location="cpu", weights_only=True)
    voices = {name: token2wav.voice(name, entry) for name, entry in table.items()}
    codec, _ = read_codec(arguments.codec)
    utterances = sample_utterances(recognizer, arguments.shards, arguments.count, arguments.seed)
    banks = [SpeechBank.of([u], TEACHERS, "cpu") for u in utterances]
    codes = [encode_bank(codec, bank).tolist() for bank in banks]
    texts = [u.text for u in utterances]
    speakers = [voices[VOICE_OF_TEACHER[u.voice]] for u in utterances]

    def vocoded(index: int) -> np.ndarray:
        bank = banks[index]
        mel, _ = bank.crops(torch.zeros(1, dtype=torch.long), bank.codes)
        return token2wav.vocode(mel[0]).numpy()

    def whole(index: int) -> np.ndarray:
        noise = token2wav.noise(len(codes[index]) * token2wav.repeats)
        return token2wav.speech(codes[index], speakers[index], noise)

    def windowed(index: int) -> np.ndarray:
        return streamed(token2wav, codes[index], speakers[index])

    chains: dict[str, Callable[[int], np.ndarray]] = {"vocoded": vocoded, "dit": whole, "dit_streamed": windowed}
    result: dict[str, Any] = {"stage": "speech_quality", "utterances": len(utterances)}
    teacher = [u.samples.astype(np.float32) / 32768 for u in utterances]
    result["teacher"] = heard(recognizer, texts, teacher, SAMPLE_RATE_HZ)
    for name, chain in chains.items():
        spoken = [chain(index) for index in range(len(utterances))]
        result[name] = heard(recognizer, texts, spoken, RATE_HZ)
        if arguments.wavs:
            for index, samples in enumerate(spoken[:10]):
                write_wav(arguments.wavs / f"{index:02}-{name}.wav", samples)
    if arguments.coded:
        said = [u for u in read_coded(arguments.coded) if readable(u.text, 1) and len(u.codes)]
        said = [u for u in said if knows(recognizer, u.text)][: arguments.count]
        names = [VOICE_OF_TEACHER.get(u.voice, u.voice) for u in said]
        spoken = [streamed(token2wav, u.codes.tolist(), voices[n]) for u, n in zip(said, names, strict=True)]
        result["coded"] = heard(recognizer, [u.text for u in said], spoken, RATE_HZ)
        result["coded_utterances"] = len(said)
    return result | {"wall_sec": round(time.monotonic() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shards", type=Path, nargs="+", required=True, help="folders of held-out speech of slt and rms"
    )
    parser.add_argument("--codec", type=Path, required=True)
    parser.add_argument("--dit", type=Path, required=True, help="folder with dit.safetensors and voices.pt")
    parser.add_argument("--vocoder", type=Path, required=True)
    parser.add_argument("--coded", type=Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wavs", type=Path, help="folder for the first ten of each chain")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measure(arguments)), flush=True)


if __name__ == "__main__":
    main()

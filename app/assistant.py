"""The composition root: settings → checkpoint → conversation → answers.

What a person or a program asks goes through `Assistant`, whichever face it came in by.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from app.answering import Answering
from app.backends import Backends
from app.config import Config, ConfigError
from app.models import voices
from app.told import Told
from multimodal.checkpoint import Checkpoint, load, resolve
from multimodal.decode import FrameBudget, probe, read_audio, read_picture, read_video
from multimodal.errors import MediaUnreadable, VoiceError
from multimodal.prompt import Content, Turn
from multimodal.source import Source
from multimodal.token2wav import Token2Wav
from reasoning.spoken import unspoken
from reasoning.tools.python_tool import PythonTool
from streaming.session import Conversation, ResponseOptions

MediaKind = Literal["image", "audio", "video"]

# A video whose sound ends a little after its last frame is not cut short.
END_SLACK_SEC = 0.3


@dataclass(frozen=True)
class MediaFile:
    """A file to look at or listen to. Raises MediaError for one that is not there, a folder, or empty."""

    kind: MediaKind
    path: Path

    def __post_init__(self) -> None:
        Source.of(self.path)


class Assistant:
    """A loaded checkpoint and the settings that it answers with. speech: whether answers are spoken.

    Raises CheckpointError for a model that cannot be loaded, VoiceError for a voice that it does not have,
    ConfigError for a device that this machine does not have, or a threshold of the router that cannot be.
    """

    def __init__(self, config: Config, *, speech: bool) -> None:
        started = time.perf_counter()
        thresholds = config.thresholds()  # refused before anything is loaded
        self.config = config
        self.checkpoint = _load(config, speech=speech and config.speech)
        self.load_ms = (time.perf_counter() - started) * 1000
        self.answering = Answering(
            Backends.of(config), PythonTool(), config.notice, experts=True, thresholds=thresholds
        )
        token2wav = self.checkpoint.token2wav
        self.options = ResponseOptions(
            voice=config.voice,
            speech=token2wav is not None,
            max_text_tokens=config.max_tokens,
            max_codes=max(1, round(config.max_speech_sec * _codes_per_sec(token2wav))) if token2wav else 1,
            greedy=config.greedy,
            seed=config.seed,
            unspoken=unspoken,
        )

    @property
    def vocabulary(self) -> str:
        """Names the checkpoint's tokenizer: token ids of one vocabulary mean nothing in another."""
        return hashlib.sha256(self.checkpoint.tokenizer.backend_tokenizer.to_str().encode()).hexdigest()

    def conversation(
        self, earlier: Sequence[Turn] = (), vocabulary: str | None = None, system: str | None = None
    ) -> Conversation:
        """A conversation that goes on after `earlier`, whose replies were written in `vocabulary`. system: in place of
        the checkpoint's own prompt."""
        conversation = Conversation(self.checkpoint, system)
        for turn in earlier:
            conversation.append(turn if vocabulary == self.vocabulary else replace(turn, ids=None))
        return conversation

    def read_turn(self, text: str, media: Sequence[MediaFile]) -> Turn:
        """What the user says: the media in their order, then the text. Raises MediaError for an unusable file."""
        parts = [self._read(file) for file in media]
        return Turn("user", (*parts, text) if text else tuple(parts))

    def answer(self, conversation: Conversation, turn: Turn, choice: str | None = None) -> Generator[Told]:
        """Append `turn` and stream the reply, whoever gives it; close the generator to stop it. choice: who answers,
        the configured choice if None."""
        conversation.append(turn)
        return cast(Generator[Told], self.answering.respond(conversation, self.options, choice or self.config.backend))

    def close(self) -> None:
        """Let go of the backends: connections, threads and caches."""
        self.answering.backends.close()

    def _read(self, file: MediaFile) -> Content:
        limits = self.config.media_limits()
        if file.kind == "image":
            return read_picture(file.path, limits=limits)
        if file.kind == "audio":
            return read_audio(file.path, limits=limits)
        processor = self.checkpoint.thinker.vision.processor
        clip = read_video(file.path, FrameBudget.from_preprocessor(processor.to_dict()), limits)
        promised_sec = probe(file.path).duration_sec or 0.0
        if not clip.complete and clip.duration_sec < promised_sec - END_SLACK_SEC:
            raise MediaUnreadable(
                f"{file.path.name} is cut short: {clip.duration_sec:.1f} of {promised_sec:.1f} seconds are there; "
                "export or download it again"
            )
        return clip


def _load(config: Config, *, speech: bool) -> Checkpoint:
    """The configured checkpoint, with the libraries' progress bars and notes kept off the terminal."""
    import torch
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    torch.set_num_threads(config.stage_threads)
    known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if config.device is not None and config.device not in (known if len(known) == 1 else [*known, "cuda"]):
        raise ConfigError(f"device {config.device!r} is not on this machine: choose one of {', '.join(known)}")
    if config.voice is not None:
        _check_voice(config.voice, config.model)
    return load(config.model, device=config.device, dtype=config.dtype, speech=speech)


def _check_voice(voice: str, model: str) -> None:
    """Refuse an unknown voice of a local checkpoint at once; one from a hub is checked when it speaks."""
    folder = Path(resolve(model))
    names = voices(folder)
    if folder.is_dir() and voice.lower() not in [name.lower() for name in names]:
        choice = f"choose one of {', '.join(names)}" if names else "this checkpoint has none: leave out --voice"
        raise VoiceError(f"{model} has no voice {voice!r}: {choice}")


def _codes_per_sec(token2wav: Token2Wav) -> float:
    return token2wav.rate_hz / (token2wav.hop * token2wav.repeats)

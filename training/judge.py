"""A checkpoint that answers cases and is scored, through the application's own conversation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import soxr
import torch

from multimodal import checkpoint
from multimodal.prompt import Span, TextSpan, Turn, VideoSpan
from multimodal.sampler import Sampler
from multimodal.tmrope import Cursor, Tmrope
from multimodal.token2wav import SpeechStream
from streaming.events import ResponseDone
from streaming.session import Conversation, ResponseOptions
from training.recognition import Recognizer
from training.scoring import Outcome, score, word_errors
from training.tasks import RATE_HZ, Case, SpeechCase, heard, transcribe_prompt

LONGEST_ANSWER = 256


@dataclass(frozen=True)
class ScrambledTmrope(Tmrope):
    """TMRoPE whose video frames have each other's time ids: every id of the clip occurs, but at the wrong frame."""

    def place(self, span: Span, cursor: Cursor) -> tuple[np.ndarray, Cursor]:
        positions, after = super().place(span, cursor)
        if isinstance(span, VideoSpan) and span.grid[0] > 1:
            steps = span.grid[0]
            video = np.flatnonzero(np.array(self.ids(span)) == self.control.video)
            times = positions[0, video].reshape(steps, -1)
            order = np.random.default_rng(steps).permutation(steps)
            positions[0, video] = times[order].reshape(-1)
        return positions, after


class Judge:
    """A loaded checkpoint. greedy_speech: speak greedily, whatever the checkpoint says."""

    def __init__(self, model: str, greedy_speech: bool = False) -> None:
        self.model = checkpoint.load(model, device="cpu")
        if greedy_speech:
            self.model.talker_sampling = replace(self.model.talker_sampling, do_sample=False)

    def outcome(self, case: Case) -> Outcome:
        """The scored answer to a case."""
        with self.positions(ScrambledTmrope) if case.task == "audiovisual_scrambled" else contextlib.nullcontext():
            answer = self.reply(case.turns)
        return score(case.task, case.kind, answer, case.answers, case.boxes, case.spoken)

    @contextlib.contextmanager
    def positions(self, kind: type[Tmrope]) -> Iterator[None]:
        """Everything has the positions that another TMRoPE gives it."""
        thinker = self.model.thinker
        kept = thinker.tmrope
        thinker.tmrope = kind(**vars(kept))
        try:
            yield
        finally:
            thinker.tmrope = kept

    def reply(self, turns: Sequence[Turn]) -> str:
        """The reply to the last of the user's turns; those before are answered by the checkpoint too."""
        return self.answer(Conversation(self.model), turns)

    @staticmethod
    def answer(conversation: Conversation, turns: Sequence[Turn]) -> str:
        """Append each turn of the user and have it answered; the last reply."""
        text = ""
        for turn in turns:
            conversation.append(turn)
            options = ResponseOptions(speech=False, greedy=True, max_text_tokens=LONGEST_ANSWER, seed=0)
            events = list(conversation.respond(options))
            assert isinstance(events[-1], ResponseDone)
            text = events[-1].text
        return text

    @torch.inference_mode()
    def surprise(self, turns: Sequence[Turn], answer: str) -> tuple[float, int]:
        """Nats by which `answer` to the user's `turns` surprises the checkpoint, which says the replies to all but the
        last of them itself, and the tokens of the answer."""
        model, conversation = self.model, Conversation(self.model)
        self.answer(conversation, turns[:-1])
        conversation.append(turns[-1])
        ids = model.prompt.encode(answer)
        spans = [*conversation.spans, *model.prompt.open_turn("assistant", []), TextSpan(tuple(ids))]
        hidden, _ = model.thinker.read(model.thinker.new_memory(), spans)
        logits = model.thinker.model.lm_head(hidden[-len(ids) - 1 : -1]).float()  # [n, vocabulary]
        return float(torch.nn.functional.cross_entropy(logits, torch.tensor(ids), reduction="sum")), len(ids)

    def speech_outcomes(self, case: SpeechCase, index: int, recognizer: Recognizer) -> list[Outcome]:
        """A text in one of the checkpoint's voices, written down by `recognizer` and by the checkpoint itself, and what
        was heard of the voice's teacher. index: seeds the silences around the sound, and what is drawn."""
        assert self.model.token2wav is not None
        names = list(self.model.voices)
        name = names[case.voice % len(names)]
        spoken = soxr.resample(self.say(case.text, name, seed=index), self.model.token2wav.rate_hz, RATE_HZ)
        rng = np.random.default_rng(index)
        clip = heard((spoken.clip(-1, 1) * 32767).astype(np.int16), rng)
        return [
            word_errors("speech", name, case.text, recognizer.transcribe(spoken, RATE_HZ)),
            word_errors("teacher", name, case.text, case.teacher_heard),
            word_errors("speech_heard", name, case.text, self.reply([Turn("user", (clip, transcribe_prompt(index)))])),
        ]

    @torch.inference_mode()
    def say(self, text: str, voice_name: str, seed: int) -> np.ndarray:
        """`text` in the checkpoint's voice, float32 at 24 kHz, in the windows that the application speaks in: the
        Thinker reads the text as if it were writing it."""
        model, thinker, talker, token2wav = self.model, self.model.thinker, self.model.talker, self.model.token2wav
        assert talker is not None and token2wav is not None
        voice = model.voice(voice_name)
        spans: list[Span] = [*model.prompt.turn("system", [model.system_prompt])]
        spans += [*model.prompt.turn("user", [f"Please say: {text}"]), *model.prompt.open_turn("assistant", [])]
        memory, spoken = thinker.new_memory(), talker.new_memory()
        positions, cursor = thinker.tmrope.place_all(spans)
        _, rows = thinker.read(memory, spans)
        talker.read(spoken, rows, positions)
        steps = (thinker.step(memory, t, cursor.next_decoded + i) for i, t in enumerate(model.prompt.encode(text)))
        reply = (step.hidden + step.embedding for step in steps)
        sampler = talker.sampler(Sampler(model.talker_sampling, torch.Generator().manual_seed(seed)))
        noise = torch.Generator().manual_seed(seed)
        stream = SpeechStream(token2wav, voice, noise=lambda frames: token2wav.noise(frames, noise))
        limit = 60 + 12 * len(text)
        pieces = [stream.push(code) for code in talker.speak(spoken, cursor, voice.bos_token, reply, sampler, limit)]
        return np.concatenate([*(piece for piece in pieces if piece is not None), stream.finish()])

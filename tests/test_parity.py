"""Tandem's pipeline equals transformers' `generate` on the same checkpoint, turn after turn."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multimodal.blueprint import TINY
from multimodal.checkpoint import Checkpoint, load
from multimodal.checkpoint_files import write_random_checkpoint
from multimodal.media import AudioClip, Picture, VideoClip
from multimodal.prompt import AudioSpan, Content, ImageSpan, TextSpan, Turn, VideoSpan
from streaming.events import ResponseDone, SpeechChunk
from streaming.session import Conversation, ResponseOptions

TEXT_TOKENS, CODES, SEED = 9, 40, 5


def sound(seconds: float, seed: int) -> AudioClip:
    noise = np.random.default_rng(seed).standard_normal(int(seconds * 16000)).astype(np.float32)
    return AudioClip(0.1 * noise * np.linspace(0.1, 1, len(noise), dtype=np.float32), 16000)


def picture(height: int, width: int, seed: int) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def video(frames: int, seed: int, audio_sec: float | None = None, fps: float = 2.0) -> VideoClip:
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, 56, 112, 3), dtype=np.uint8)
    track = sound(audio_sec, seed + 1) if audio_sec else None
    return VideoClip(pixels, np.arange(frames) / fps, fps, frames / fps, track)


FIRST_TURNS: dict[str, tuple[Content, ...]] = {
    "text": ("Hello there",),
    "image": (picture(130, 190, 1), "What is this?"),
    "two images": (picture(130, 190, 1), "and", picture(60, 300, 2), "?"),
    "audio": (sound(3.3, 3), "What was said?"),
    "video": (video(8, 4), "What happens?"),
    "video with audio": (video(8, 5, 4.0), "What happens?"),
    "video longer than its audio": (video(12, 6, 3.1), "?"),
    "audio longer than its video": (video(4, 7, 5.0), "What is heard?"),
    "picture and sound": (picture(112, 112, 8), sound(1.2, 9), "Both."),
}


@dataclass
class Reference:
    """transformers' one-shot generate, given the same spans as one prompt."""

    model: Any

    def run(self, conversation: Conversation) -> tuple[list[int], list[int], np.ndarray]:
        """Text ids, codec ids and waveform of a reply to the conversation as it stands."""
        checkpoint: Any = conversation.checkpoint
        spans = [*conversation._spans, *checkpoint.prompt.open_turn("assistant", [])]
        ids = torch.tensor([[i for span in spans for i in checkpoint.thinker.tmrope.ids(span)]])
        images = [s for s in spans if isinstance(s, ImageSpan)]
        videos = [s for s in spans if isinstance(s, VideoSpan)]
        sounds = [s if isinstance(s, AudioSpan) else s.audio for s in spans if not isinstance(s, TextSpan | ImageSpan)]
        sounds = [s for s in sounds if s is not None]
        inputs: dict[str, Any] = {"attention_mask": torch.ones_like(ids)}
        if images:
            inputs["thinker_pixel_values"] = torch.cat([s.features for s in images])
            inputs["image_grid_thw"] = torch.tensor([s.grid for s in images])
        if videos:
            inputs["thinker_pixel_values_videos"] = torch.cat([s.features for s in videos])
            inputs["video_grid_thw"] = torch.tensor([s.grid for s in videos])
            inputs["video_second_per_grid"] = torch.tensor([s.second_per_grid for s in videos])
            inputs["use_audio_in_video"] = any(s.audio is not None for s in videos)
        if sounds:
            longest = max(s.features.shape[1] for s in sounds)
            features = torch.zeros(len(sounds), 128, longest)
            mask = torch.zeros(len(sounds), longest, dtype=torch.long)
            for row, span in enumerate(sounds):
                features[row, :, : span.features.shape[1]] = span.features
                mask[row, : span.features.shape[1]] = 1
            inputs |= {"input_features": features, "feature_attention_mask": mask}
        codes: list[int] = []
        whole = self.model.token2wav.forward
        settings = checkpoint.token2wav.ode

        def record(code: torch.Tensor, **kwargs: Any) -> torch.Tensor:
            codes.extend(code[0].tolist())
            torch.manual_seed(SEED)
            return whole(
                code,
                **kwargs,
                num_steps=settings.evaluations // 4 + 1,
                guidance_scale=settings.guidance_scale,
                sway_coefficient=settings.sway_coefficient,
            )

        self.model.token2wav.forward = record
        try:
            sequences, wave = self.model.generate(
                ids,
                speaker="Ben",
                thinker_max_new_tokens=TEXT_TOKENS,
                thinker_do_sample=False,
                thinker_eos_token_id=sorted(checkpoint.stop),
                talker_max_new_tokens=CODES,
                talker_do_sample=False,
                talker_top_k=None,
                talker_top_p=None,
                talker_temperature=None,
                talker_eos_token_id=sorted(checkpoint.talker.stop),
                **inputs,
            )
        finally:
            self.model.token2wav.forward = whole
        return sequences[0, ids.shape[1] :].tolist(), codes, wave.numpy()


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(tiny_checkpoint)


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Path) -> Reference:
    return open_reference(tiny_checkpoint)


def open_reference(folder: Path) -> Reference:
    from transformers import Qwen2_5OmniForConditionalGeneration

    model = Qwen2_5OmniForConditionalGeneration.from_pretrained(folder).eval()
    keep_talker_mask(model.talker)
    return Reference(model)


def keep_talker_mask(talker: Any) -> None:
    """Hand the Talker the attention mask that its forward needs.

    `generate` of transformers 5.23 drops a mask of ones. The Talker takes a missing mask as "positions are given",
    and then lays no TMRoPE positions and leaves out the codec pad and begin embeddings it was trained with.
    """
    forward = talker.forward

    @functools.wraps(forward)
    def with_mask(*args: Any, **kwargs: Any) -> Any:
        rows = kwargs["inputs_embeds"] if kwargs.get("inputs_embeds") is not None else kwargs["input_ids"]
        past = kwargs["past_key_values"].get_seq_length()
        return forward(*args, **kwargs | {"attention_mask": torch.ones(1, past + rows.shape[1], dtype=torch.long)})

    talker.forward = with_mask


def answer(conversation: Conversation, **changes: Any) -> tuple[list[int], list[int], np.ndarray, ResponseDone]:
    """Text ids, codes, waveform and the closing event of one reply."""
    token2wav: Any = conversation.checkpoint.token2wav
    codes: list[int] = []
    speech = token2wav.speech

    def record(given: list[int], *args: Any) -> np.ndarray:
        codes.extend(given)
        return speech(given, *args)

    token2wav.speech = record
    options = ResponseOptions(
        voice="Ben", greedy=True, seed=SEED, max_text_tokens=TEXT_TOKENS, max_codes=CODES, whole_speech=True
    )
    wave, done = [np.zeros(0, np.float32)], None
    try:
        for event in conversation.respond(options):
            if isinstance(event, SpeechChunk):
                wave.append(event.samples)
            elif isinstance(event, ResponseDone):
                done = event
    finally:
        token2wav.speech = speech
    assert done is not None and done.error is None, done
    return list(conversation.turns[-1].ids or ()), codes, np.concatenate(wave), done


def test_a_reply_equals_generate_where_the_axes_share_all_frequencies(tmp_path: Path) -> None:
    sizes = replace(TINY, mrope_section=(1,) * 8, rope_theta=10_000.0)
    folder = write_random_checkpoint(tmp_path / "interleaved", blueprint=sizes)
    check_turns(load(folder), open_reference(folder), "video with audio", turns=1)


@pytest.mark.parametrize("kind", FIRST_TURNS)
def test_reply_equals_generate_and_so_does_the_second_turn(
    checkpoint: Checkpoint, reference: Reference, kind: str
) -> None:
    check_turns(checkpoint, reference, kind, turns=2)


def check_turns(checkpoint: Any, reference: Reference, kind: str, turns: int) -> None:
    """Assert that so many replies have the text, the codes and the sound of transformers' generate."""
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", FIRST_TURNS[kind]))
    for turn in range(turns):
        expected_ids, expected_codes, expected_wave = reference.run(conversation)
        ids, codes, wave, _ = answer(conversation)
        assert ids == [i for i in expected_ids if i not in checkpoint.stop], f"text of turn {turn}"
        assert codes == expected_codes, f"codes of turn {turn}"
        np.testing.assert_allclose(wave, expected_wave, atol=2e-4)
        conversation.append(Turn("user", ("And now?",)))


@pytest.mark.parametrize("kind", FIRST_TURNS)
def test_a_second_turn_costs_only_its_new_tokens(checkpoint: Any, kind: str) -> None:
    conversation: Any = Conversation(checkpoint)
    conversation.append(Turn("user", FIRST_TURNS[kind]))
    answer(conversation)
    thinker_rows, talker_rows = checkpoint.thinker.rows_computed, checkpoint.talker.rows_computed
    cached, talker_cached = conversation._thinker.length, conversation._talker.length
    conversation.append(Turn("user", ("And now?",)))
    opening = len(checkpoint.thinker.tmrope.ids(checkpoint.prompt.open_turn("assistant", [])[0]))
    prompt = conversation.length + opening
    _, codes, _, done = answer(conversation)
    assert done.usage.prompt_tokens == prompt
    assert done.usage.prefill_tokens == prompt - cached
    assert prompt - cached < 30 + TEXT_TOKENS, "only the new turn, and a reply where positions had to be laid anew"
    assert checkpoint.thinker.rows_computed - thinker_rows == prompt - cached + done.usage.text_tokens - 1
    # The Talker reads the rows it has not read (the last reply, the new turn) and two rows + one per further code.
    spoken = 2 + len(codes) - (len(codes) == CODES)
    assert checkpoint.talker.rows_computed - talker_rows == prompt - talker_cached + spoken

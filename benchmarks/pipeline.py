"""Tandem against transformers' `generate`: first sound, real-time factor, rates, turn latency, peak memory.

Both run the same checkpoint in the same process, by turns, one intra-op thread each, with text and speech of fixed
length, greedy, and the same number of evaluations of the flow. Prints three JSON lines: `speech` (one spoken reply),
`turns` (latency of a turn in conversations of 1, 10 and 50 turns), `memory` (each in a process of its own).

    python -m benchmarks.pipeline [--model NAME|FOLDER] [--codes 150] [--repeats 3]

Without --model: models/omni-nano, or where that is missing a random checkpoint of its sizes, kept in
~/.cache/tandem-bench.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import hardware, print_line
from multimodal.checkpoint import BUILT_IN, Checkpoint, load
from multimodal.prompt import TextSpan, Turn
from multimodal.sampler import Sampler, Sampling
from multimodal.thinker import Step
from multimodal.token2wav import SpeechStream
from streaming.events import ResponseDone, SpeechChunk
from streaming.session import Conversation, ResponseOptions

CACHE = Path.home() / ".cache" / "tandem-bench"
QUESTION = "Tell me about the red circle, the blue square and everything else that you can see in this picture, please."
LENGTHS = (1, 10, 50)
PREFILL_TOKENS = 512


def random_nano() -> Path:
    """A random checkpoint of omni-nano's sizes, written once."""
    from multimodal.blueprint import SPECIAL_TOKENS
    from multimodal.checkpoint_files import byte_level_tokenizer, write_random_checkpoint
    from training.nano import NANO

    folder = CACHE / "random-nano"
    if not (folder / "preprocessor_config.json").exists():
        print(f"writing {folder}", file=sys.stderr)
        draw = random.Random(0)
        syllables = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "n", "r", "s")]
        words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(6000)]
        texts = [" ".join(draw.choices(words, k=12)) for _ in range(4000)]
        tokenizer = byte_level_tokenizer((texts, NANO.vocab_size - len(SPECIAL_TOKENS)))
        write_random_checkpoint(folder, blueprint=NANO, tokenizer=tokenizer, max_shard="15MB")
    return folder


def unstoppable(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with no stop tokens, so that both sides do the same amount of work."""
    talker = checkpoint.talker
    assert talker is not None, "this benchmark measures speech"
    talker.suppress = (*talker.suppress, *talker.stop)
    return replace(checkpoint, stop=frozenset(), thinker_sampling=replace(checkpoint.thinker_sampling, do_sample=False))


def measured(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, wall seconds, processor seconds over all threads."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - processor


def median(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(row[key] for row in rows), 4) for key in rows[0]}


# --- one spoken reply -------------------------------------------------------------------------------


def tandem_reply(checkpoint: Checkpoint, text_tokens: int, codes: int) -> dict[str, float]:
    """Latencies and costs of one reply. late_sec: how long a listener who starts at the first sound would have
    waited for later chunks, at worst."""
    conversation = Conversation(checkpoint)
    options = ResponseOptions(greedy=True, seed=1, max_text_tokens=text_tokens, max_codes=codes)
    arrivals: list[tuple[float, float]] = []
    started = time.perf_counter()

    def run() -> ResponseDone:
        conversation.append(Turn("user", (QUESTION,)))
        for event in conversation.respond(options):
            if isinstance(event, SpeechChunk):
                arrivals.append((time.perf_counter() - started, len(event.samples) / event.rate_hz))
            elif isinstance(event, ResponseDone):
                return event
        raise AssertionError("a response ends with ResponseDone")

    done, wall, processor = measured(run)
    assert done.error is None and done.usage.codes == codes, done
    first, heard, late = arrivals[0][0], 0.0, 0.0
    for arrived, seconds in arrivals:
        late = max(late, arrived - first - heard)
        heard += seconds
    return {
        "first_text_sec": (done.first_text_ms or 0) / 1000,
        "first_sound_sec": first,
        "total_sec": wall,
        "cpu_sec": processor,
        "real_time_factor": wall / heard,
        "late_sec": late,
        "audio_sec": heard,
    }


class Reference:
    """transformers' one-shot generate on the same folder, made to write as much as Tandem."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        from transformers import LogitsProcessorList, Qwen2_5OmniForConditionalGeneration, SuppressTokensLogitsProcessor

        assert checkpoint.talker is not None and checkpoint.token2wav is not None
        self.checkpoint = checkpoint
        self.ode = checkpoint.token2wav.ode
        self.model: Any = Qwen2_5OmniForConditionalGeneration.from_pretrained(checkpoint.folder, dtype=checkpoint.dtype)
        self.model = self.model.to(checkpoint.device).eval()
        self.model.token2wav.float()
        self.silence = LogitsProcessorList([SuppressTokensLogitsProcessor(list(checkpoint.talker.suppress))])
        self.seconds: dict[str, float] = {}
        for name, owner, method in [
            ("thinker", self.model.thinker, "generate"),
            ("talker", self.model.talker, "generate"),
            ("token2wav", self.model.token2wav, "forward"),
        ]:
            self._time(name, owner, method)

    def _time(self, name: str, owner: Any, method: str) -> None:
        inner = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = inner(*args, **kwargs)
            self.seconds[name] = time.perf_counter() - started
            return result

        setattr(owner, method, timed)

    def reply(self, text_tokens: int, codes: int) -> dict[str, float]:
        conversation = Conversation(self.checkpoint)
        conversation.append(Turn("user", (QUESTION,)))
        opening = self.checkpoint.prompt.open_turn("assistant", [])
        ids = [i for span in [*conversation._spans, *opening] for i in self.checkpoint.thinker.tmrope.ids(span)]
        prompt = torch.tensor([ids], device=self.checkpoint.device)
        never = self.model.config.thinker_config.text_config.vocab_size  # an id that is never drawn
        run = lambda: self.model.generate(  # noqa: E731
            prompt,
            attention_mask=torch.ones_like(prompt),
            speaker=next(iter(self.model.speaker_map)),
            thinker_max_new_tokens=text_tokens,
            thinker_do_sample=False,
            thinker_eos_token_id=[never],
            talker_max_new_tokens=codes,
            talker_do_sample=False,
            talker_top_k=None,
            talker_top_p=None,
            talker_temperature=None,
            talker_eos_token_id=[never],
            talker_logits_processor=self.silence,
            token2wav_num_steps=max(2, self.ode.evaluations // 4 + 1),
            token2wav_guidance_scale=self.ode.guidance_scale,
        )
        (_, wave), wall, processor = measured(run)
        audio_sec = len(wave) / (self.checkpoint.token2wav.rate_hz if self.checkpoint.token2wav else 1)
        return {
            "first_sound_sec": wall,
            "total_sec": wall,
            "cpu_sec": processor,
            "real_time_factor": wall / audio_sec,
            "text_tokens_per_sec": text_tokens / self.seconds["thinker"],
            "codes_per_sec": codes / self.seconds["talker"],
            "token2wav_sec_per_audio_sec": self.seconds["token2wav"] / audio_sec,
            "audio_sec": audio_sec,
        }


def stage_rates(checkpoint: Checkpoint, text_tokens: int, codes: int) -> dict[str, float]:
    """Each stage of Tandem alone, one after another, as the reference runs them."""
    thinker, talker, token2wav = checkpoint.thinker, checkpoint.talker, checkpoint.token2wav
    assert talker is not None and token2wav is not None
    voice = checkpoint.voice(None)
    spans = [*checkpoint.prompt.turn("user", [QUESTION]), *checkpoint.prompt.open_turn("assistant", [])]
    memory = thinker.new_memory()
    steps: list[Step] = []

    def write() -> Any:
        hidden, rows = thinker.read(memory, spans)
        cursor = memory.cursor
        for made in thinker.decode(memory, hidden[-1], Sampler(Sampling()), frozenset(), text_tokens):
            if isinstance(made, Step):
                steps.append(made)
        return rows, cursor

    (rows, cursor), writing, _ = measured(write)
    spoken: list[int] = []

    def speak() -> None:
        talks = talker.new_memory()
        positions, _ = thinker.tmrope.place_all(spans)
        talker.read(talks, rows, positions)
        sampler = talker.sampler(Sampler(replace(checkpoint.talker_sampling, do_sample=False)))
        reply = (step.hidden + step.embedding for step in steps)
        spoken.extend(talker.speak(talks, cursor, voice.bos_token, reply, sampler, codes))

    _, speaking, _ = measured(speak)

    def sound() -> int:
        stream = SpeechStream(token2wav, voice)
        chunks = [stream.push(code) for code in spoken]
        return sum(len(chunk) for chunk in chunks if chunk is not None) + len(stream.finish())

    samples, sounding, _ = measured(sound)
    return {
        "text_tokens_per_sec": text_tokens / writing,
        "codes_per_sec": codes / speaking,
        "token2wav_sec_per_audio_sec": sounding * token2wav.rate_hz / samples,
    }


def prefill_rates(checkpoint: Checkpoint, reference: Reference) -> dict[str, float]:
    """Prompt tokens a second on a text of PREFILL_TOKENS, ours and transformers', to the first token of the reply."""
    thinker = checkpoint.thinker
    drawn = np.random.default_rng(0).integers(0, 200, PREFILL_TOKENS).tolist()

    def ours() -> None:
        hidden, _ = thinker.read(thinker.new_memory(), [TextSpan(tuple(drawn))])
        thinker.next_token(hidden[-1], Sampler(Sampling()))

    ids = torch.tensor([drawn], device=checkpoint.device)
    mask = torch.ones_like(ids)
    _, our_seconds, _ = measured(ours)
    _, their_seconds, _ = measured(
        lambda: reference.model.thinker.generate(ids, attention_mask=mask, max_new_tokens=1, do_sample=False)
    )
    return {"ours": PREFILL_TOKENS / our_seconds, "generate": PREFILL_TOKENS / their_seconds}


def speech_line(checkpoint: Checkpoint, text_tokens: int, codes: int, repeats: int) -> dict[str, Any]:
    reference = Reference(checkpoint)
    tandem_reply(checkpoint, 8, 30)  # both once without counting: kernels and buffers are set up
    reference.reply(8, 30)
    ours, theirs, alone, prefill = [], [], [], []
    for _ in range(repeats):
        ours.append(tandem_reply(checkpoint, text_tokens, codes))
        theirs.append(reference.reply(text_tokens, codes))
        alone.append(stage_rates(checkpoint, text_tokens, codes))
        prefill.append(prefill_rates(checkpoint, reference))
    tandem, generate = median(ours), median(theirs)
    stages, prefills = median(alone), median(prefill)
    stages["prefill_tokens_per_sec"] = prefills["ours"]
    generate["prefill_tokens_per_sec"] = prefills["generate"]
    ratio = {name: generate[name] / tandem[name] for name in ("first_sound_sec", "real_time_factor", "cpu_sec")}
    rates = ("text_tokens_per_sec", "codes_per_sec", "prefill_tokens_per_sec")
    ratio |= {name: stages[name] / generate[name] for name in rates}
    name = "token2wav_sec_per_audio_sec"
    ratio[name] = generate[name] / stages[name]
    return {
        "text_tokens": text_tokens,
        "codes": codes,
        "repeats": repeats,
        "tandem": tandem,
        "tandem_stages_alone": stages,
        "generate": generate,
        "tandem_better_by": {key: round(value, 2) for key, value in ratio.items()},
    }


# --- turn latency -----------------------------------------------------------------------------------


def turns_line(checkpoint: Checkpoint, repeats: int) -> dict[str, Any]:
    """First text and first sound of the last turn of conversations of several lengths, medians of forks."""
    question = Turn("user", ("And the next?",))
    options = ResponseOptions(greedy=True, seed=1, max_text_tokens=16, max_codes=16)
    lengths: dict[str, Any] = {}
    waiting: dict[int, Conversation] = {}
    conversation = Conversation(checkpoint)
    for turn in range(1, max(LENGTHS) + 1):
        if turn in LENGTHS:
            waiting[turn] = conversation.fork()
        conversation.append(question)
        last = turn == max(LENGTHS)
        # Speech now and then, so that the Talker's cache grows too; the last turns are what is measured.
        for _ in conversation.respond(replace(options, speech=turn % 5 == 0 or turn + 1 in LENGTHS or last)):
            pass
    results: dict[int, list[dict[str, float]]] = {length: [] for length in LENGTHS}
    for _ in range(repeats + 1):
        for length, start in waiting.items():
            fork = start.fork()
            fork.append(question)
            for event in fork.respond(options):
                if isinstance(event, ResponseDone):
                    sound_ms = event.first_audio_ms or 0.0
                    results[length].append({"first_text_ms": event.first_text_ms or 0.0, "first_sound_ms": sound_ms})
                    lengths[str(length)] = {"conversation_tokens": event.usage.prompt_tokens}
    for length in LENGTHS:
        lengths[str(length)] |= median(results[length][1:])
    first, longest = lengths[str(LENGTHS[0])], lengths[str(LENGTHS[-1])]
    growth = {key: round(longest[key] / first[key], 3) for key in ("first_text_ms", "first_sound_ms")}
    return {"repeats": repeats, "turns": lengths, f"ratio_{LENGTHS[-1]}_to_{LENGTHS[0]}": growth}


# --- memory -----------------------------------------------------------------------------------------


def peak_mib() -> int:
    """Largest resident size of this process. Linux counts the size of a parent before exec in ru_maxrss, so its own
    record is read where there is one."""
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(fields["VmHWM"].split()[0]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def memory_child(side: str, folder: str, text_tokens: int, codes: int) -> None:
    """One reply by one side, in this process; prints its peak resident size."""
    checkpoint = unstoppable(load(folder))
    if side == "tandem":
        tandem_reply(checkpoint, text_tokens, codes)
    else:
        reference = Reference(checkpoint)
        checkpoint.thinker.model = checkpoint.talker = None  # its own copy is what is measured
        reference.reply(text_tokens, codes)
    print(json.dumps({"peak_mib": peak_mib()}))


def memory_line(folder: str, text_tokens: int, codes: int) -> dict[str, Any]:
    found: dict[str, Any] = {"text_tokens": text_tokens, "codes": codes}
    for side in ("tandem", "generate"):
        command = [sys.executable, "-m", "benchmarks.pipeline", "--child", side, "--model", folder]
        command += ["--text-tokens", str(text_tokens), "--codes", str(codes)]
        run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).resolve().parent.parent)
        if run.returncode:
            found[side] = {"error": (run.stderr.strip().splitlines() or ["no message"])[-1][:200]}
        else:
            found[side] = json.loads(run.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a built-in name or a checkpoint's folder")
    parser.add_argument("--text-tokens", type=int, default=40)
    parser.add_argument("--codes", type=int, default=150, help="codec tokens of the reply")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=("tandem", "generate"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    built_in = BUILT_IN / "omni-nano"
    source = options.model or str(built_in if (built_in / "config.json").exists() else random_nano())
    if options.child:
        memory_child(options.child, source, options.text_tokens, options.codes)
        return
    about = hardware()
    checkpoint = unstoppable(load(source))
    common = {"model": checkpoint.name, "dtype": str(checkpoint.dtype), "device": str(checkpoint.device), "threads": 1}
    lines: dict[str, Callable[[], dict[str, Any]]] = {
        "speech": lambda: speech_line(checkpoint, options.text_tokens, options.codes, options.repeats),
        "turns": lambda: turns_line(checkpoint, options.repeats),
        "memory": lambda: memory_line(checkpoint.folder, options.text_tokens, options.codes),
    }
    for name, make in lines.items():
        print_line(f"pipeline.{name}", {**common, **make()}, about)


if __name__ == "__main__":
    main()

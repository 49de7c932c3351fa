"""moe-nano's tokenizer and chat template, and problems laid out as token ids: what is read, and what is learned.

The layout is the template's, spelled out, because rendering it for every example would be slow; a test holds both
together. Reasoning stays in the conversation while tools are being called, and leaves it with the next question.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from multimodal.checkpoint_files import byte_level_tokenizer
from training.moe_grammar import Split
from training.moe_problems import Problem, draw, result

TOKENIZER_FILE = Path(__file__).parent / "tokenizer" / "moe.json"
VOCABULARY = 2048
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Named in the vocabulary, but shown as text when decoded: the parsers of reasoning and tool calls read them.
VISIBLE = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
TOOL_LINE = "Tool: python(code)"

TEMPLATE = """\
{%- if tools or messages[0].role == 'system' %}{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n' }}{%- endif %}
{%- for tool in tools or [] %}
{{- 'Tool: ' + tool.function.name + '(' + (tool.function.parameters.properties | list | join(', ')) + ')\\n' }}
{%- endfor %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'system' %}
{%- if not loop.first %}{{- '<|im_start|>system\\n' + message.content + '\\n<|im_end|>\\n' }}{%- endif %}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- else %}{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.reasoning_content %}{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{%- endif %}
{{- message.content }}
{%- for call in message.tool_calls or [] %}
{{- ('\\n' if message.content else '') + '<tool_call>\\n' + (call.function | tojson) + '\\n</tool_call>' }}
{%- endfor %}{{- '<|im_end|>\\n' }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""


def call_text(code: str) -> str:
    """A call of the Python tool as the template writes it."""
    call = json.dumps({"name": "python", "arguments": {"code": code}}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call>"


@dataclass(frozen=True)
class Shape:
    """tool: Python is offered. think: reasoning comes first. system: a message before everything, or "".
    history: earlier questions with their answers."""

    tool: bool = True
    think: bool = True
    system: str = ""
    history: tuple[tuple[str, str], ...] = ()


def prompt_text(problem: Problem, shape: Shape) -> str:
    """Everything up to where the reply begins."""
    text = ""
    if shape.tool or shape.system:
        lines = ([shape.system] if shape.system else []) + ([TOOL_LINE] if shape.tool else [])
        text = "<|im_start|>system\n" + "".join(line + "\n" for line in lines) + "<|im_end|>\n"
    for question, answer in (*shape.history, *problem.history):
        text += f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
    text += f"<|im_start|>user\n{problem.question}<|im_end|>\n<|im_start|>assistant\n"
    return text if shape.think else text + "<think>\n\n</think>\n\n"


def response_text(output: str) -> str:
    """What follows a call's end: the tool's output, up to where the reply goes on."""
    return f"\n<|im_start|>user\n<tool_response>\n{output}\n</tool_response><|im_end|>\n<|im_start|>assistant\n"


def reply_parts(problem: Problem, shape: Shape) -> list[tuple[str, bool]]:
    """The reply in pieces, each with whether the model has to learn it."""
    plan = problem.plan if shape.tool else problem.direct or problem.plan
    thought = f"<think>\n{plan}\n</think>\n\n" if shape.think and plan else ""
    output = result(problem)
    final = problem.final(output)
    if problem.code and shape.tool:
        return [
            (thought + call_text(problem.code) + "<|im_end|>", True),
            (response_text(output), False),
            (final + "<|im_end|>", True),
        ]
    return [(thought + final + "<|im_end|>", True)]


SYSTEMS = (
    "You are a helpful assistant.",
    "You are Tandem.",
    "Answer briefly.",
    "You are a careful assistant that thinks step by step.",
    "Your answers are spoken aloud.",
)


def drawn(rng: random.Random, split: Split) -> tuple[Problem, Shape]:
    """A problem in a conversation. Without the tool only what can be reasoned out, or has no program, is asked."""
    problem = draw(rng, split)
    tool = rng.random() < 0.86
    if not tool and problem.code and not problem.direct:
        tool = True
    history: tuple[tuple[str, str], ...] = ()
    if rng.random() < 0.2:
        before = [draw(rng, "train") for _ in range(rng.choice((1, 1, 2)))]
        history = tuple(
            turn
            for p in before
            if p.function is None and p.kind != "output"
            for turn in (*p.history, (p.question, p.final(result(p))))
        )
    system = rng.choice(SYSTEMS) if rng.random() < 0.15 else ""
    # Without thinking only what is handed to the tool or needs no steps.
    think = rng.random() >= 0.06 or not (problem.code and tool)
    return problem, Shape(tool, think, system, history)


def ordinary_tokenizer(path: Path = TOKENIZER_FILE) -> Any:
    """The kept `tokenizers.Tokenizer`, without control tokens."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))


def control_ids(size: int = VOCABULARY) -> dict[str, int]:
    """Ids of the control tokens: the last ones of the vocabulary."""
    names = (*CONTROL, *VISIBLE)
    return {name: size - len(names) + i for i, name in enumerate(names)}


def chat_tokenizer(path: Path = TOKENIZER_FILE) -> Any:
    """transformers' fast tokenizer with control tokens and chat template."""
    import transformers
    from tokenizers import AddedToken

    plain = ordinary_tokenizer(path)
    plain.add_special_tokens(list(CONTROL))
    plain.add_tokens([AddedToken(name, special=False, normalized=False) for name in VISIBLE])
    tokenizer = transformers.Qwen2TokenizerFast(  # type: ignore[attr-defined]
        tokenizer_object=plain,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        bos_token=None,
        clean_up_tokenization_spaces=False,
    )
    for name, index in control_ids(len(tokenizer)).items():
        assert tokenizer.convert_tokens_to_ids(name) == index, f"{path} does not fit: {name}"
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def learn_tokenizer(path: Path = TOKENIZER_FILE, problems: int = 60_000, seed: int = 0) -> None:
    """Learn the merges from training problems and their replies."""

    def texts() -> Any:
        rng = random.Random(seed)
        for _ in range(problems):
            problem = draw(rng, "train")
            yield problem.question
            yield problem.plan
            if problem.code:
                yield json.dumps({"name": "python", "arguments": {"code": problem.code}}, ensure_ascii=False)
            yield problem.direct
            yield problem.final(result(problem))

    tokenizer = byte_level_tokenizer((texts(), VOCABULARY - len(CONTROL) - len(VISIBLE)))
    assert tokenizer.get_vocab_size() == VOCABULARY - len(CONTROL) - len(VISIBLE)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))


@dataclass(frozen=True, eq=False)
class Example:
    """ids: int32 [n]; learned: bool [n], whether the token is to be predicted."""

    ids: np.ndarray
    learned: np.ndarray


@dataclass
class Encoder:
    """Texts with control tokens → ids."""

    path: Path = TOKENIZER_FILE
    _tokenizer: Any = field(default=None, init=False)

    def encode(self, text: str) -> list[int]:
        if self._tokenizer is None:
            self._tokenizer = chat_tokenizer(self.path).backend_tokenizer
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        if self._tokenizer is None:
            self._tokenizer = chat_tokenizer(self.path).backend_tokenizer
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def example(self, problem: Problem, shape: Shape) -> Example:
        """Pieces are encoded apart: each begins or ends at a control token or a line end that no merge crosses."""
        ids, learned = [], []
        for text, wanted in [(prompt_text(problem, shape), False), *reply_parts(problem, shape)]:
            part = self.encode(text)
            ids += part
            learned += [wanted] * len(part)
        return Example(np.array(ids, np.int32), np.array(learned, bool))


def main() -> None:
    learn_tokenizer()
    encoder, rng = Encoder(), random.Random(1)
    examples = [encoder.example(*drawn(rng, "train")) for _ in range(500)]
    print(
        f"{TOKENIZER_FILE}: {sum(len(e.ids) for e in examples) / 500:.0f} tokens an example, {sum(e.learned.sum() for e in examples) / 500:.0f} learned, longest {max(len(e.ids) for e in examples)}"
    )


if __name__ == "__main__":
    main()

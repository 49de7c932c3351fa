"""Answers by a JSON schema: what is refused, what models are held to while they write, and what is checked after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from multimodal.checkpoint import Checkpoint, load
from multimodal.errors import PromptError
from multimodal.prompt import Turn
from multimodal.sampler import Sampler, Sampling
from reasoning.backend import Done, Options, ReasoningDelta
from reasoning.errors import SchemaError, SchemaViolation
from reasoning.json_schema import JsonSchema, SchemaDecoding
from reasoning.local_backend import LocalBackend
from reasoning.messages import ToolSpec
from reasoning.openai_backend import OpenAiBackend
from streaming.events import ResponseDone
from streaming.session import Conversation, ResponseOptions
from tests.conversation_parts import joined, only, user
from tests.family_checkpoints import write_checkpoint
from tests.scripted_server import answer, scripted

SCHEMA = {
    "type": "object",
    "properties": {
        "color": {"enum": ["red", "green"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 20},
        "name": {"type": "string", "maxLength": 6},
        "seen": {"type": "boolean"},
    },
    "required": ["color", "count", "name", "seen"],
    "additionalProperties": False,
}
SAMPLINGS = [Sampling(), *(Sampling(do_sample=True, temperature=t, repetition_penalty=1.1) for t in (0.5, 1.0, 2.0))]


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return load(tiny_checkpoint, speech=False)


@pytest.fixture(scope="module")
def thinker_decoding(checkpoint: Checkpoint) -> SchemaDecoding:
    vocab_size = checkpoint.thinker.model.lm_head.out_features
    return SchemaDecoding(checkpoint.tokenizer, vocab_size, checkpoint.stop)


def thought(checkpoint: Checkpoint, decoding: SchemaDecoding, schema: JsonSchema, **options: Any) -> ResponseDone:
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", ("Describe it.",)))
    constrained = ResponseOptions(speech=False, constraint=lambda: decoding.constrain(schema), **options)
    *_, done = conversation.respond(constrained)
    assert isinstance(done, ResponseDone) and done.error is None
    return done


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_thinker_writes_what_the_schema_says_however_it_is_sampled(
    checkpoint: Checkpoint, thinker_decoding: SchemaDecoding, sampling: Sampling, seed: int
) -> None:
    schema = JsonSchema(SCHEMA)
    done = thought(checkpoint, thinker_decoding, schema, sampling=sampling, seed=seed, max_text_tokens=200)
    assert done.status == "completed"
    value = schema.parse(done.text)
    assert value.keys() == SCHEMA["properties"].keys()
    assert done.text == json.dumps(value, ensure_ascii=False) or "\\" in done.text  # no free whitespace


def test_the_same_model_writes_no_json_without_the_schema(checkpoint: Checkpoint) -> None:
    conversation = Conversation(checkpoint)
    conversation.append(Turn("user", ("Describe it.",)))
    *_, done = conversation.respond(ResponseOptions(speech=False, greedy=True, max_text_tokens=60))
    assert isinstance(done, ResponseDone)
    with pytest.raises(SchemaViolation):
        JsonSchema(SCHEMA).parse(done.text)


def test_an_answer_that_reaches_its_limit_is_no_json(checkpoint: Checkpoint, thinker_decoding: SchemaDecoding) -> None:
    schema = JsonSchema(SCHEMA)
    done = thought(checkpoint, thinker_decoding, schema, greedy=True, max_text_tokens=20)
    assert done.status == "length"
    with pytest.raises(SchemaViolation, match="not whole JSON"):
        schema.parse(done.text)


def test_a_conversation_goes_on_after_an_answer_by_a_schema(
    checkpoint: Checkpoint, thinker_decoding: SchemaDecoding
) -> None:
    conversation = Conversation(checkpoint)
    schema = JsonSchema({"enum": ["yes", "no"]})
    for _ in range(2):
        conversation.append(Turn("user", ("Is it red?",)))
        options = ResponseOptions(
            speech=False, constraint=lambda: thinker_decoding.constrain(schema), max_text_tokens=9
        )
        *_, done = conversation.respond(options)
        assert isinstance(done, ResponseDone) and done.text in ('"yes"', '"no"')
    conversation.append(Turn("user", ("And now?",)))
    *_, done = conversation.respond(ResponseOptions(speech=False, greedy=True, max_text_tokens=5))
    assert isinstance(done, ResponseDone) and done.usage.text_tokens


def test_only_a_stop_token_follows_complete_json(thinker_decoding: SchemaDecoding, checkpoint: Checkpoint) -> None:
    constraint = thinker_decoding.constrain(JsonSchema({"const": 7}))
    assert not constraint.complete
    for token in checkpoint.prompt.encode("7"):
        assert bool(constraint.allowed()[token])
        constraint.accept(token)
    assert constraint.complete
    assert set(torch.nonzero(constraint.allowed()).flatten().tolist()) == set(checkpoint.stop)


def test_a_token_without_a_word_is_never_drawn(thinker_decoding: SchemaDecoding) -> None:
    """The vocabulary of some checkpoints has more rows than its tokenizer has words."""
    constraint = thinker_decoding.constrain(JsonSchema(SCHEMA))
    size = len(constraint.allowed())
    logits = torch.zeros(size + 40)
    logits[size:] = 100.0
    assert Sampler(Sampling(), constraint=constraint).draw(logits) < size


@pytest.mark.parametrize("opens_reasoning", [False, True])
def test_a_local_backend_thinks_freely_and_answers_by_the_schema(tmp_path: Path, opens_reasoning: bool) -> None:
    name = "tiny-qwq" if opens_reasoning else "tiny-qwen"
    backend = LocalBackend.load(write_checkpoint(tmp_path / name, "Qwen2ForCausalLM", opens_reasoning=opens_reasoning))
    schema = JsonSchema(SCHEMA)
    if opens_reasoning:
        _close_reasoning_after(backend, 5)
    events = list(backend.stream([user("Describe it.")], Options(max_tokens=300, seed=3, schema=schema)))
    assert only(events, Done).finish_reason == "stop"
    schema.parse(joined(events))
    assert any(isinstance(event, ReasoningDelta) for event in events) == opens_reasoning


def _close_reasoning_after(backend: LocalBackend, tokens: int) -> None:
    """Let a random model's reasoning end: its logits then point at the closing mark, id by id."""
    forward, closing = backend.model.forward, backend.model.layout.encode("</think>")
    made = 0

    def scripted(*args: Any, **options: Any) -> Any:
        nonlocal made
        logits, routers = forward(*args, **options)
        made += 1
        if tokens < made <= tokens + len(closing):
            logits = torch.full_like(logits, -50.0)
            logits[closing[made - tokens - 1]] = 50.0
        return logits, routers

    backend.model.forward = scripted  # type: ignore[method-assign]


def test_a_remote_backend_is_told_the_schema() -> None:
    text = '{"color": "red", "count": 2, "name": "ball", "seen": true}'
    schema = JsonSchema(SCHEMA)
    with scripted(answer(text)) as server:
        backend = OpenAiBackend.preset("qwen-max", "vllm", server.url)
        events = list(backend.stream([user("Describe it.")], Options(schema=schema)))
        backend.close()
    assert schema.parse(joined(events))["count"] == 2
    told = server.requests[0][2]["response_format"]
    assert told == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ([], "a JSON object"),
        ({"type": "nonsense"}, "wrong at type"),
        ({"properties": {"a": {"minimum": "x"}}}, "wrong at properties/a/minimum"),
        ({"$ref": "https://example.org/s.json"}, "nothing is fetched"),
        ({"type": "string", "pattern": "("}, "wrong at pattern|cannot be enforced"),
        ({"type": "object", "not": {"required": ["a"]}}, "cannot be enforced"),
        (deep(80), "nested deeper"),
        ({"type": "integer", "minimum": 5, "maximum": 2}, "cannot be enforced"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_one_line(schema: Any, complaint: str) -> None:
    with pytest.raises(SchemaError, match=complaint) as caught:
        JsonSchema(schema)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"{", "not JSON"), (b"\xff\xfe", "not JSON"), (b"[" * 100_000, "not JSON"), (b" " * 300_000, "larger than")],
)
def test_a_schema_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "schema.json"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=f"schema.json: .*{complaint}"):
        JsonSchema.read(path)
    with pytest.raises(SchemaError, match=r"other\.json: .*check the name"):
        JsonSchema.read(tmp_path / "other.json")


@pytest.mark.parametrize("text", ["", "{", '{"color": "blue"}', "NaN", '{"color": "red"} and more', "[" * 100_000])
def test_an_answer_that_is_not_of_the_schema_is_refused(text: str) -> None:
    with pytest.raises(SchemaViolation) as caught:
        JsonSchema(SCHEMA).parse(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_tools_and_a_schema_do_not_go_together() -> None:
    tool = ToolSpec("add", "Adds.", {"type": "object", "properties": {}})
    with pytest.raises(PromptError, match="tools or a schema"):
        Options(schema=JsonSchema(SCHEMA), tools=(tool,))

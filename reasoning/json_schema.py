"""JSON by a user's schema: checked before a model is asked, enforced while it writes, validated when it is done.

A local model's tokens are masked by llguidance, so that it can only write what the schema allows, without free
whitespace, in which models get stuck. A remote server gets the schema as its response_format. Either answer is
validated as a whole: one that broke off at a limit is no JSON of the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reasoning.errors import SchemaError, SchemaViolation

MOST_SCHEMA_BYTES = 256_000
MOST_DEPTH = 64
# Separators as `json.dumps` writes them, and no other whitespace.
_COMPILED = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class JsonSchema:
    """A checked JSON Schema (draft 2020-12 unless it names another). Raises SchemaError for one that cannot be used:
    not a schema, too large, pointing outside itself, or with a keyword that decoding cannot enforce."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        import referencing
        from jsonschema import exceptions, validators
        from llguidance import LLMatcher

        if not isinstance(schema, Mapping):
            raise SchemaError('a schema is a JSON object such as {"type": "object", …}')
        self.schema = dict(schema)
        _check_shape(self.schema)
        kind = validators.validator_for(self.schema, default=validators.Draft202012Validator)
        try:
            kind.check_schema(self.schema)
        except exceptions.SchemaError as error:
            raise SchemaError(f"the schema is wrong at {_place(error.absolute_path)}: {_line(error.message)}") from None
        # An empty registry: a schema is never fetched from anywhere.
        self._validator = kind(self.schema, registry=referencing.Registry())
        self.grammar: str = LLMatcher.grammar_from_json_schema(json.dumps(self.schema), overrides=_COMPILED)  # type: ignore[arg-type]
        if problem := LLMatcher.validate_grammar(self.grammar):
            raise SchemaError(f"the schema cannot be enforced: {_line(problem)}")

    @classmethod
    def read(cls, path: Path) -> JsonSchema:
        """The schema in a JSON file."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SchemaError(f"{path}: the schema cannot be read ({error.strerror}); check the name") from None
        if len(data) > MOST_SCHEMA_BYTES:
            raise SchemaError(f"{path}: the schema is larger than {MOST_SCHEMA_BYTES:,} bytes; make it smaller")
        try:
            schema = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise SchemaError(f"{path}: not JSON ({_line(error)}); correct it") from None
        try:
            return cls(schema)
        except SchemaError as error:
            raise SchemaError(f"{path}: {error}") from None

    def parse(self, text: str) -> Any:
        """The value that `text` holds. Raises SchemaViolation where it is not whole, or not of the schema."""
        from jsonschema import exceptions

        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise SchemaViolation(f"the answer is not whole JSON ({_line(error)}): raise --max-tokens") from None
        if (wrong := exceptions.best_match(self._validator.iter_errors(value))) is not None:
            raise SchemaViolation(
                f"the answer does not fit the schema at {_place(wrong.absolute_path)}: {_line(wrong.message)}"
            )
        return value

    def response_format(self) -> dict[str, Any]:
        """The same for an OpenAI-compatible server."""
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": self.schema, "strict": True}}


class SchemaDecoding:
    """What one tokenizer needs to write by schemas; made once for a model.

    tokenizer: transformers' fast tokenizer; vocab_size: how many logits the model gives; stop: ids that end a reply.
    """

    def __init__(self, tokenizer: Any, vocab_size: int, stop: frozenset[int]) -> None:
        from llguidance import LLTokenizer

        assert stop, "a model that never stops cannot say that its JSON is complete"
        named = tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=True)
        self.vocab_size = max(vocab_size, named)
        self._tokenizer = LLTokenizer(
            tokenizer.backend_tokenizer.to_str(), n_vocab=self.vocab_size, eos_token=sorted(stop)
        )

    def constrain(self, schema: JsonSchema) -> SchemaConstraint:
        """A `multimodal.sampler.Constraint` for one reply."""
        from llguidance import LLMatcher

        return SchemaConstraint(LLMatcher(self._tokenizer, schema.grammar, log_level=0))


class SchemaConstraint:
    """One reply's state. Once the JSON is complete, only a stop token is allowed."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self._check()

    def allowed(self) -> torch.Tensor:
        """bool [vocab]: the tokens that may come next."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        return torch.from_numpy(np.unpackbits(bits, bitorder="little").astype(bool))

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)
        self._check()

    @property
    def complete(self) -> bool:
        """Whether what was written is a whole value of the schema."""
        return bool(self._matcher.is_accepting())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise SchemaError(f"the schema is too complex to enforce: {_line(self._matcher.get_error())}")


def _check_shape(schema: Any) -> None:
    """Depth, and that every reference stays inside the schema."""
    for depth, key, value in _walk(schema):
        if depth > MOST_DEPTH:
            raise SchemaError(f"the schema is nested deeper than {MOST_DEPTH} levels: flatten it")
        if key in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
            raise SchemaError(f"the schema refers to {_line(value)}, and nothing is fetched: put it under $defs")


def _walk(value: Any) -> Iterator[tuple[int, str, Any]]:
    """(depth, key, value) of everything inside, without recursion."""
    waiting: list[tuple[int, str, Any]] = [(0, "", value)]
    while waiting:
        depth, key, inner = waiting.pop()
        yield depth, key, inner
        if depth <= MOST_DEPTH:
            pairs = inner.items() if isinstance(inner, Mapping) else enumerate(inner) if isinstance(inner, list) else ()
            waiting += [(depth + 1, str(name), part) for name, part in pairs]


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _place(path: Any) -> str:
    return "/".join(map(str, path)) or "its root"


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200]

"""Why somebody answers, as a key and its values, so that it can be said in the reader's language."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reasoning.formula import Language

TABLE = Path(__file__).with_name("reason.toml")
ENGLISH: Language = "en"


@dataclass(frozen=True)
class Reason:
    """key: of the table's sentence. values: what stands in its places: texts as they are, such as names and problems,
    and reasons in the same language."""

    key: str
    values: Mapping[str, str | Reason] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, **values: str | Reason) -> Reason:
        return cls(key, values)

    def said(self, language: Language = ENGLISH) -> str:
        """The sentence, without a capital and a full stop."""
        return self._filled(_sentences()[language]).strip()

    def _filled(self, sentences: Mapping[str, str]) -> str:
        shown = {name: one._filled(sentences) if isinstance(one, Reason) else one for name, one in self.values.items()}
        return sentences[self.key].format(**shown)

    def everywhere(self) -> dict[Language, str]:
        """The sentence in every language."""
        return {language: self.said(language) for language in _sentences()}


@functools.cache
def _sentences() -> dict[Language, dict[str, str]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))  # type: ignore[return-value]

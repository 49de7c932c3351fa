"""Token ids → text as it grows, never splitting a character."""

from __future__ import annotations

from typing import Any

# Tokens of context in front of the unread ones: some tokenizers decode a token differently at the start.
CONTEXT = 4


class Detokenizer:
    """One reply's text. tokenizer: transformers' tokenizer; control tokens do not appear in the text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._read = 0  # ids whose text has been given out
        self.text = ""

    def push(self, token: int) -> str:
        """The text that this id completes; empty while a character is unfinished."""
        self._ids.append(token)
        delta = self._pending()
        return "" if delta.endswith("\ufffd") else self._give(delta)

    def finish(self) -> str:
        """What is left, an unfinished character included as a replacement mark."""
        return self._give(self._pending())

    def _pending(self) -> str:
        start = max(0, self._read - CONTEXT)
        before = self._decode(self._ids[start : self._read])
        return self._decode(self._ids[start:])[len(before) :]

    def _give(self, delta: str) -> str:
        self._read = len(self._ids)
        self.text += delta
        return delta

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

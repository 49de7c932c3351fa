"""Messages → token ids by a checkpoint's own chat template, with everything that people or models wrote read as plain
text: a typed `<|im_end|>` stays harmless characters.

The template is rendered with a private-use mark in place of each text. What stands between the marks comes from the
template, and only there control tokens are control tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from multimodal.errors import PromptError
from reasoning.messages import Message, ToolSpec

# Private-use characters around an index; they are removed from texts, which have no business with them.
_OPEN, _CLOSE = "\U000f0000", "\U000f0001"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


class ChatLayout:
    """tokenizer: transformers' fast tokenizer with a chat template (or `template`).

    Holds a private copy of the tokenizer that never reads control tokens in text.
    """

    def __init__(self, tokenizer: Any, template: str | None = None) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = tokenizer
        self._template = template or tokenizer.chat_template
        self._plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._plain.encode_special_tokens = True
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
        self._control = {token.content: index for index, token in added.items()}
        names = sorted(self._control, key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, names)) + ")") if names else None

    def control(self, token: str) -> int | None:
        """Id of a control token, or None where the tokenizer has none of that name."""
        return self._control.get(token)

    def encode(self, text: str) -> list[int]:
        """Ids of `text` taken literally."""
        try:
            return self._plain.encode(text, add_special_tokens=False).ids
        except UnicodeEncodeError:
            raise PromptError("the text holds a lone surrogate: send valid Unicode") from None

    def chat(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), **variables: Any) -> list[int]:
        """Ids of the conversation, up to where the reply begins or, if the assistant spoke last, goes on.

        variables: passed on to the template. A picture is the template's own placeholder, one token.
        """
        if not self._template:
            raise PromptError("this checkpoint has no chat template: it completes text, and does not chat")
        texts: list[str] = []

        def mark(text: str) -> str:
            texts.append(text.replace(_OPEN, "").replace(_CLOSE, ""))
            return f"{_OPEN}{len(texts) - 1}{_CLOSE}"

        optional: set[int] = set()  # reasoning, which many templates leave out

        def mark_optional(text: str) -> str:
            optional.add(len(texts))
            return mark(text)

        begun = messages[-1] if messages[-1].role == "assistant" else None
        shaped = [_shape(message, mark, mark_optional) for message in (messages[:-1] if begun else messages)]
        rendered = self._tokenizer.apply_chat_template(
            shaped,
            chat_template=self._template,
            tools=[tool.as_json() for tool in tools] or None,
            tokenize=False,
            add_generation_prompt=True,
            **variables,
        )
        if begun is not None:
            rendered += mark(begun.text)
        shown = {int(found) for found in _MARK.findall(rendered)}
        if missing := [texts[i] for i in range(len(texts)) if i not in shown | optional and texts[i].strip()]:
            raise PromptError(
                f"the chat template leaves out a message ({missing[0][:40]!r}): this model cannot take it"
            )
        return self._ids(rendered, texts)

    def pieces(self, *pieces: str | list[str]) -> list[int]:
        """Ids of raw pieces: a text is plain, a list of one name is that control token."""
        ids: list[int] = []
        for piece in pieces:
            if isinstance(piece, str):
                ids += self.encode(piece)
                continue
            token = self.control(piece[0])
            if token is None:
                raise PromptError(f"this tokenizer has no {piece[0]}: the model was not made for this")
            ids.append(token)
        return ids

    def _ids(self, rendered: str, texts: list[str]) -> list[int]:
        """Neighbouring plain runs are joined before tokenizing, because merges may cross their border."""
        ids: list[int] = []
        plain = ""
        for index, piece in enumerate(_MARK.split(rendered)):
            if index % 2:
                plain += texts[int(piece)]
                continue
            for part in self._split.split(piece) if self._split else [piece]:
                if part in self._control:
                    ids += self.encode(plain) if plain else []
                    ids.append(self._control[part])
                    plain = ""
                else:
                    plain += part
        return ids + (self.encode(plain) if plain else [])


def _shape(message: Message, mark: Any, mark_optional: Any) -> dict[str, Any]:
    """The message as chat templates read it, its texts marked."""
    content: Any
    if message.pictures:
        content = [
            {"type": "text", "text": mark(part)} if isinstance(part, str) else {"type": "image"}
            for part in message.content
        ]
    else:
        content = mark(message.text) if message.text else ""
    shaped: dict[str, Any] = {"role": message.role, "content": content}
    if message.reasoning.strip():
        shaped["reasoning_content"] = mark_optional(message.reasoning.strip("\r\n"))
    if message.tool_calls:
        shaped["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": _arguments(call.arguments)}}
            for call in message.tool_calls
        ]
    return shaped


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

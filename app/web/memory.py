"""What the model remembers: turns of the history → conversations that it goes on with. Those that went on last stay in
its caches; any other is read again."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from app.history.records import HistoryError, TextPart, Turn
from app.web.call_turns import is_film
from app.web.uploads import Uploads

if TYPE_CHECKING:  # imports torch, which the first page must not wait for
    from app.assistant import Assistant
    from multimodal import prompt
    from streaming.session import Conversation

MOST_CONVERSATIONS = 4


class Memory:
    """Conversations by their newest turn. Whoever is given one uses it alone, and gives it back with `keep`.

    vocabulary: of the ids of the model that is remembered with.
    """

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._kept: OrderedDict[str, Conversation] = OrderedDict()
        self._of: Assistant | None = None
        self.vocabulary = ""

    def recall(self, turns: list[Turn], assistant: Assistant) -> Conversation:
        """The conversation after `turns`: from the caches, or read again. Reads media and computes: not in the event
        loop."""
        if self._of is not assistant:
            self.forget()
            self._of, self.vocabulary = assistant, assistant.vocabulary
        if turns and turns[-1].id in self._kept:
            return self._kept.pop(turns[-1].id)
        return self.read(turns, assistant)

    def read(self, turns: list[Turn], assistant: Assistant, system: str | None = None) -> Conversation:
        """A new conversation that reads these turns, under another system prompt if one is given. In a thread."""
        read = [turn for turn in turns if turn.role == "user" or _was_written(turn)]
        vocabulary = assistant.vocabulary
        return assistant.conversation([self._turn(turn, vocabulary) for turn in read], vocabulary, system)

    def keep(self, head: str, conversation: Conversation, assistant: Assistant) -> None:
        """It goes on from turn `head`."""
        if assistant is self._of:
            self._kept[head] = conversation
            while len(self._kept) > MOST_CONVERSATIONS:
                self._kept.popitem(last=False)

    def forget(self) -> None:
        """Let go of the conversations that live in the old model's caches; they are read again when they go on."""
        self._kept.clear()
        self._of = None

    def question(self, turn: Turn) -> prompt.Turn:
        """Media and files in their order, then what was typed."""
        from multimodal.prompt import Turn as PromptTurn

        content: list[Any] = []
        for part in turn.parts:
            if not isinstance(part, TextPart):
                content.append(self._uploads.decoded(part))
            elif part.name is not None:
                content.append(f"{part.name}:\n{part.text}\n\n")
        if is_film(turn.media):
            content = [self._uploads.film(turn.media)]
        return PromptTurn("user", (*content, turn.text) if turn.text else tuple(content))

    def shown(self, turn: Turn) -> prompt.Turn:
        """As people saw it, for a backend: pictures as they are, spoken words written down, other media named."""
        from multimodal.errors import MediaError
        from multimodal.prompt import Turn as PromptTurn

        content: list[Any] = []
        for part in turn.parts:
            if isinstance(part, TextPart):
                content += [f"{part.name}:\n{part.text}\n\n"] if part.name is not None else []
            elif part.medium.kind == "image":
                try:
                    content.append(self._uploads.decoded(part))
                except (MediaError, HistoryError):
                    content.append("[image] ")
            elif not (turn.transcript and part.medium.kind == "audio"):
                content.append(f"[{part.medium.kind}] ")
        return PromptTurn(turn.role, (*content, *filter(None, (turn.transcript, turn.text))))

    def _turn(self, turn: Turn, vocabulary: str) -> prompt.Turn:
        from multimodal.prompt import Turn as PromptTurn

        if turn.role == "user":
            return self.question(turn)
        return PromptTurn("assistant", (turn.text,), turn.ids if turn.vocabulary == vocabulary else None)


def _was_written(turn: Turn) -> bool:
    """Whether the model's memory holds the reply: one that failed or was stopped before it began is not there."""
    return turn.status != "failed" and turn.ids is not None

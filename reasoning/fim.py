"""Fill-in-the-middle with Qwen2.5-Coder: raw completion around a gap, without a chat template.

Source: Qwen2.5-Coder technical report, section 3 (file-level and repository-level formats).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from multimodal.errors import PromptError
from reasoning.backend import AnswerDelta, Done, Event, Options
from reasoning.errors import ProfileError
from reasoning.local_backend import LocalBackend
from reasoning.openai_backend import OpenAiBackend

PREFIX, SUFFIX, MIDDLE, PAD = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>"
REPO, FILE = "<|repo_name|>", "<|file_sep|>"
CONTROL = (PREFIX, SUFFIX, MIDDLE, PAD, REPO, FILE, "<|endoftext|>")
# The models may go on with another file or another gap; that is no part of the middle.
STOPS = (FILE, "<|endoftext|>", PAD, REPO)
LEAST_OVERLAP_CHARS = 8
MOST_TOKENS = 256


@dataclass(frozen=True)
class Gap:
    """What stands before and after the place to fill. other_files: path → text, for the repository-level format.

    Raises PromptError for text that holds one of the format's own marks, which would change what is asked.
    """

    prefix: str
    suffix: str
    path: str = ""
    repository: str = ""
    other_files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts = (self.prefix, self.suffix, self.path, self.repository, *self.other_files, *self.other_files.values())
        for mark in CONTROL:
            if any(mark in text for text in texts):
                raise PromptError(f"the code holds {mark}, which is a mark of the fill-in-the-middle format")

    @classmethod
    def at_line(cls, text: str, line: int, path: str = "") -> Gap:
        """The gap in place of line number `line`, counted from 1. A blank line keeps its indentation as prefix;
        one more than the last line means the end of the file."""
        lines = text.splitlines(keepends=True)
        if not 1 <= line <= len(lines) + 1:
            raise PromptError(f"line {line} is not in the file: it has {len(lines)} lines")
        before, rest = "".join(lines[: line - 1]), "".join(lines[line - 1 :])
        first, newline, after = rest.partition("\n")
        if first.strip():  # a line of code: the gap goes in front of it
            return cls(before, rest, path)
        return cls(before + first, newline + after, path)

    def pieces(self) -> list[str | list[str]]:
        """The prompt: texts, and control tokens as lists of one name."""
        pieces: list[str | list[str]] = []
        if self.repository or self.other_files:
            pieces += [[REPO], f"{self.repository or 'project'}\n"]
            for path, text in self.other_files.items():
                pieces += [[FILE], f"{path}\n{text}\n"]
            pieces += [[FILE], f"{self.path}\n"]
        return [*pieces, [PREFIX], self.prefix, [SUFFIX], self.suffix, [MIDDLE]]


def fill(backend: LocalBackend | OpenAiBackend, gap: Gap, options: Options | None = None) -> Iterator[Event]:
    """Stream the middle. Raises ProfileError for a model that was not trained for it. options: 256 tokens if None."""
    profile = backend.model.profile if isinstance(backend, LocalBackend) else backend.profile
    if not profile.fill_in_middle:
        raise ProfileError(f"{backend.name} does not fill gaps: use a Qwen2.5-Coder model")
    options = options or Options(max_tokens=MOST_TOKENS)
    options = replace(options, stop=tuple(dict.fromkeys((*options.stop, *STOPS)))[:4])
    if isinstance(backend, LocalBackend):
        return backend.complete(backend.model.layout.pieces(*gap.pieces()), options)
    return backend.complete("".join(piece if isinstance(piece, str) else piece[0] for piece in gap.pieces()), options)


def filled(events: Iterator[Event], gap: Gap) -> str:
    """The middle as one text, cut where it begins to repeat what follows the gap."""
    middle, done = "", None
    for event in events:
        if isinstance(event, AnswerDelta):
            middle += event.text
        elif isinstance(event, Done):
            done = event
    return cut(middle, gap.suffix, complete=done is not None and not done.truncated)


def cut(middle: str, suffix: str, complete: bool = True) -> str:
    """The middle without its marks and without an end that repeats the beginning of the suffix. An answer that was
    broken off loses its last, unfinished line."""
    for mark in CONTROL:
        middle = middle.split(mark, 1)[0]
    if not complete and "\n" in middle:
        middle = middle[: middle.rfind("\n") + 1]
    following = suffix.lstrip("\n")
    first = following.split("\n", 1)[0]
    if len(first.strip()) >= LEAST_OVERLAP_CHARS:
        at = middle.find("\n" + first)
        if at >= 0:
            blank = len(suffix) - len(following)  # the suffix brings its own line ends
            head = middle[: at + 1]
            while blank and head.endswith("\n"):
                head, blank = head[:-1], blank - 1
            return head
    for length in range(min(len(middle), len(suffix)), LEAST_OVERLAP_CHARS - 1, -1):
        if middle.endswith(suffix[:length]):
            return middle[:-length]
    return middle

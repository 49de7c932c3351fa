"""LaTeX formulas as words, for speech."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

Language = Literal["en", "zh"]
DEEPEST = 12

TABLE = Path(__file__).with_name("formula.toml")
_BIG = {"int", "iint", "oint", "sum", "prod", "lim"}
_SILENT = {"left", "right", "displaystyle", "quad", "qquad", "big", "Big", "bigg", "Bigg", "limits", "nonumber"}
_CONTENT = {"text", "mathrm", "mathbf", "mathit", "operatorname", "boxed", "overline", "vec", "hat", "bar", "textbf"}
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+(?:[.,]\d+)*|[a-zA-Z]|[^\s]")


def spoken_formula(formula: str, language: Language = "en") -> str:
    """The words of a LaTeX formula. What is not known is read as it stands; braces and layout are silent."""
    return " ".join(_Reader(_TOKEN.findall(formula[:2000]), _words(language)).row(0)).strip()


@cache
def _words(language: Language) -> dict[str, str]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))[language]


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[str], words: dict[str, str]) -> None:
        self.tokens = tokens
        self.words = words
        self.at = 0

    def row(self, depth: int, until: str | None = None) -> list[str]:
        """Words up to the closing token."""
        out: list[str] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if until is not None and token == until:
                self.at += 1
                break
            if token in "^_":
                self.at += 1
                self._script(out, token, depth)
            elif token == "'" and out:
                self.at += 1
                out.append("prime")
            else:
                out += self._atom(depth)
        return out

    def _script(self, out: list[str], mark: str, depth: int) -> None:
        script = self._argument(depth)
        base = out.pop() if out else ""
        name = {"2": "squared", "3": "cubed"}.get(script, "power") if mark == "^" else "sub"
        if mark == "^" and script == self.words["circ"]:
            out.append(f"{base} {script}")
        else:
            out.append(self.words[name].format(base, script).strip())

    def _argument(self, depth: int) -> str:
        """A braced group or one token."""
        if self.at >= len(self.tokens):
            return ""
        if self.tokens[self.at] == "{" and depth < DEEPEST:
            self.at += 1
            return " ".join(self.row(depth + 1, "}"))
        return " ".join(self._atom(depth))

    def _big(self, name: str, depth: int) -> str:
        """A sum, product, integral or limit with the bounds that stand at its sign."""
        bounds = {"_": "", "^": ""}
        while self.at < len(self.tokens) and self.tokens[self.at] in bounds:
            mark = self.tokens[self.at]
            self.at += 1
            bounds[mark] = self._argument(depth + 1)
        shape = "as" if name == "lim" and bounds["_"] else "from_to" if bounds["^"] else "from" if bounds["_"] else "of"
        return self.words[shape].format(self.words[name], bounds["_"], bounds["^"])

    def _atom(self, depth: int) -> list[str]:
        token = self.tokens[self.at]
        self.at += 1
        if token == "{" and depth < DEEPEST:
            return [" ".join(self.row(depth + 1, "}"))]
        name = token[1:] if token.startswith("\\") else token
        if name in ("frac", "dfrac", "tfrac"):
            return [self.words["over"].format(self._argument(depth + 1), self._argument(depth + 1))]
        if name in ("binom", "dbinom"):
            return [self.words["choose"].format(self._argument(depth + 1), self._argument(depth + 1))]
        if name == "sqrt":
            degree = ""
            if self.at < len(self.tokens) and self.tokens[self.at] == "[":
                self.at += 1
                degree = " ".join(self.row(depth + 1, "]"))
            degree = self.words["third"] if degree == "3" else degree
            return [self.words["nth" if degree else "root"].format(self._argument(depth + 1), degree)]
        if name in _BIG and token.startswith("\\"):
            return [self._big("int" if name.endswith("int") else name, depth)]
        if name in _CONTENT and token.startswith("\\"):
            return [self._argument(depth + 1)]
        if token.startswith("\\") and (name in _SILENT or (not name.isalnum() and name != "%")):
            return []
        if name in ("{", "}", "(", ")", "[", "]", "|", "&", "\\", "~", "$"):
            return []
        return [self.words.get(name, name)]

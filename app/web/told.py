"""What is told beside a reply's text and speech, gathered for the page and the history: who answers, what it thinks,
the programs it ran, and the experts that its words went to."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from app.told import Answered, ExpertUse, Reasoning, Routed, Tool
from reasoning.router import THINKER, Route
from streaming.events import Aside

MOST_TOKENS = 400
"""Written tokens whose experts are kept one by one."""


@dataclass
class Told:
    """tokens: each written token's text and its experts by layer, the first MOST_TOKENS. experts: how many of all
    written tokens went to each, [layers][experts]."""

    routes: list[Route] = field(default_factory=list)
    reasoning: str = ""
    tokens: list[dict[str, Any]] = field(default_factory=list)
    experts: list[list[int]] = field(default_factory=list)
    answered: Answered | None = None
    begun: float = field(default_factory=time.monotonic)

    def take(self, event: object) -> bool:
        """Whether the event was one of these."""
        if isinstance(event, Routed):
            self.routes.append(event.route)
        elif isinstance(event, Reasoning):
            self.reasoning += event.text
        elif isinstance(event, Tool) and event.in_text:
            pass
        elif isinstance(event, Tool):
            gap = "" if not self.reasoning or self.reasoning.endswith("\n") else "\n"
            if event.result is None:
                self.reasoning += f"{gap}\n```python\n{event.code}\n```\n"
            else:
                self.reasoning += f"{gap}\n```output\n{event.result}\n```\n"
        elif isinstance(event, ExpertUse):
            self.experts = self.experts or [[0] * event.of for _ in event.layers]
            for counts, chosen in zip(self.experts, event.layers, strict=True):
                for expert in chosen:
                    counts[expert] += 1
            if len(self.tokens) < MOST_TOKENS:
                self.tokens.append({"text": event.text, "experts": event.layers})
        elif isinstance(event, Answered):
            self.answered = event
        else:
            return isinstance(event, Aside)
        return True

    def fields(self) -> dict[str, Any]:
        """Columns of the turn."""
        last = self.routes[-1]
        route: dict[str, Any] = {
            "backend": last.backend,
            "reason": last.reason,
            "reasons": last.why.everywhere(),
            "confidence": round(last.confidence, 3),
            "score": round(last.score, 3),
            "features": dict(last.features),
        }
        if len(self.routes) > 1:
            route["instead_of"] = self.routes[0].backend
        if self.experts:
            route["experts"] = {"counts": self.experts, "tokens": self.tokens}
        if self.answered is not None:
            route["usage"] = vars(self.answered.spent)
        fields: dict[str, Any] = {"route": route}
        if last.backend != THINKER:
            fields["model"] = last.backend
        if self.reasoning:
            ms = self.answered.reasoning_ms if self.answered else (time.monotonic() - self.begun) * 1000
            fields["reasoning"] = {"text": self.reasoning, "ms": round(ms)}
        return fields

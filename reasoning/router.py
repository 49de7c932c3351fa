"""Who answers a request: a pure function from the request to a backend and a reason in words. No model is called.

Heavy text reasoning goes to a reasoning backend, mathematics and code to their specialists where one is configured,
a picture to a visual specialist when it must be reasoned about, pointed into or read, and everything else to the
Thinker, which alone hears and watches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from reasoning.features import DOMAINS, FOLLOW_UP, FOLLOW_UP_CHARS, GROUNDING, READING, Domain, Features, read_features
from reasoning.formula import Language
from reasoning.reason import Reason

THINKER = "thinker"
AUTO = "auto"
Role = Literal["reasoning", "mathematics", "code", "vision", "grounding", "documents"]
Medium = Literal["image", "audio", "video"]


@dataclass(frozen=True)
class Available:
    """A backend that is configured. roles: what it is for. sees: takes pictures. ready: False while it cannot be asked,
    and problem: why, and what to do. languages: what it reads, empty for many."""

    name: str
    roles: frozenset[Role]
    sees: bool = False
    ready: bool = True
    languages: frozenset[Language] = frozenset()
    problem: str = ""

    @property
    def lack(self) -> Reason:
        """Why it is not asked."""
        if self.problem:
            return Reason.of("not-asked", name=self.name, problem=self.problem.rstrip("."))
        return Reason.of("not-reached", name=self.name)

    def reads(self, language: Language) -> bool:
        return not self.languages or language in self.languages


@dataclass(frozen=True)
class Asked:
    """An earlier request of the conversation, and whether it was heavy reasoning."""

    text: str
    heavy: bool


@dataclass(frozen=True)
class Request:
    """attachments: what came with the text; a question that was spoken and transcribed is text, not audio.

    history: earlier requests, oldest first. choice: "auto", "thinker" or a backend's name.
    """

    text: str
    attachments: tuple[Medium, ...] = ()
    history: tuple[Asked, ...] = ()
    choice: str = AUTO
    available: tuple[Available, ...] = ()


@dataclass(frozen=True)
class Thresholds:
    """heavy: score from which a request is heavy reasoning. steepness: confidence a point away from it.

    follow_up: what a follow-up of a heavy request adds. visual: score from which a picture is reasoned about.
    minor_share: how much a text's lesser domains add to its main one.
    """

    heavy: float = 0.8
    steepness: float = 3.0
    follow_up: float = 1.0
    visual: float = 0.6
    minor_share: float = 0.35

    def __post_init__(self) -> None:
        if not (self.heavy > 0 and self.steepness > 0 and self.visual > 0):
            raise ValueError(f"thresholds must be above 0: {self}")
        if self.follow_up < 0 or not 0 <= self.minor_share <= 1:
            raise ValueError(f"thresholds out of range: {self}")


@dataclass(frozen=True)
class Route:
    """backend: "thinker" or a configured backend's name. why: one sentence for the user; reason: in English.

    confidence: 0.5…1, how far the decision is from the other side. heavy: whether the text asks for heavy reasoning,
    whoever answers. features: what each feature added to the score.
    """

    backend: str
    why: Reason
    confidence: float
    heavy: bool
    score: float
    domain: Domain | None
    language: Language
    features: Mapping[str, float] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        return self.why.said()


def route(request: Request, thresholds: Thresholds = Thresholds()) -> Route:
    """Decide. Never raises: a choice that cannot be kept falls back to the Thinker and the reason says why."""
    read = read_features(request.text)
    scores = dict(read.scores)
    if _follows_up(request):
        scores["follow-up"] = thresholds.follow_up
    domain = max(DOMAINS, key=lambda name: scores.get(name, 0.0))
    if not scores.get(domain):
        domain = None
    score = _total(scores, domain, thresholds)
    media = bool(request.attachments)
    heavy = score >= thresholds.heavy and not media
    distance = abs(score - (thresholds.visual if media else thresholds.heavy))
    confidence = 1 / (1 + math.exp(-thresholds.steepness * distance))
    backend, why = _choose(request, read, domain, score, heavy, thresholds)
    if request.choice != AUTO and backend == request.choice:
        confidence = 1.0
    return Route(backend, why, confidence, heavy, score, domain, _language(read), scores)


def fall_back(decided: Route, problem: str | Reason) -> Route:
    """The route after its backend failed before its first word: the Thinker answers, and the user is told.

    problem: the failure in one line, as the backend's error says it."""
    problem = problem.rstrip(".") if isinstance(problem, str) else problem
    why = Reason.of("gave-up", name=decided.backend, problem=problem)
    return replace(decided, backend=THINKER, why=why, confidence=1.0)


def _follows_up(request: Request) -> bool:
    """A short turn that leans on the heavy request right before it: "and for 15?"."""
    text = request.text.strip().lower()
    if not request.history or not request.history[-1].heavy or len(text) > FOLLOW_UP_CHARS:
        return False
    return bool(FOLLOW_UP.search(text))


def _total(scores: Mapping[str, float], domain: Domain | None, thresholds: Thresholds) -> float:
    """The main domain in full, lesser ones in part, the rest as it is."""
    total = 0.0
    for name, value in scores.items():
        total += value if name == domain or name not in DOMAINS else value * thresholds.minor_share
    return total


def _choose(
    request: Request, read: Features, domain: Domain | None, score: float, heavy: bool, thresholds: Thresholds
) -> tuple[str, Reason]:
    if request.choice == THINKER:
        return THINKER, Reason("chosen-thinker")
    if request.choice != AUTO:
        return _chosen(request)
    if "audio" in request.attachments or "video" in request.attachments:
        return THINKER, Reason("hears")
    if request.attachments:
        return _visual(request, score, thresholds)
    why = _why(read, domain, score, thresholds)
    if not heavy:
        return THINKER, Reason.of("light", why=why)
    roles: tuple[Role, ...] = ("reasoning",)
    if domain in ("mathematics", "code"):
        roles = ("mathematics" if domain == "mathematics" else "code", "reasoning")
    for role in roles:
        for one in request.available:
            if one.ready and role in one.roles and one.reads(_language(read)):
                return one.name, Reason.of("heavy", why=why, name=one.name)
    suited = [one for one in request.available if set(roles) & one.roles]
    lack = Reason("none-configured")
    if suited:
        lack = Reason.of("other-language", name=suited[0].name) if suited[0].ready else suited[0].lack
    return THINKER, Reason.of("heavy-alone", why=why, lack=lack)


def _language(read: Features) -> Language:
    return "zh" if read.chinese else "en"


def _chosen(request: Request) -> tuple[str, Reason]:
    one = next((one for one in request.available if one.name == request.choice), None)
    if one is None:
        names = ", ".join([THINKER, *(known.name for known in request.available)])
        return THINKER, Reason.of("chosen-unknown", name=request.choice, names=names)
    if not one.ready:
        return THINKER, Reason.of("chosen-lacks", lack=one.lack)
    if request.attachments and not (one.sees and set(request.attachments) == {"image"}):
        return THINKER, Reason.of("chosen-blind", name=one.name)
    return one.name, Reason.of("chosen", name=one.name)


def _visual(request: Request, score: float, thresholds: Thresholds) -> tuple[str, Reason]:
    able = [one for one in request.available if one.ready and one.sees]
    if GROUNDING.search(request.text.lower()):
        one = next((one for one in able if "grounding" in one.roles), None)
        if one:
            return one.name, Reason.of("points", name=one.name)
    if READING.search(request.text.lower()):
        one = next((one for one in able if "documents" in one.roles), None)
        if one:
            return one.name, Reason.of("reads", name=one.name)
    if score >= thresholds.visual:
        one = next((one for one in able if "vision" in one.roles), None)
        if one:
            return one.name, Reason.of("looks", name=one.name)
        return THINKER, Reason("looks-alone")
    return THINKER, Reason("sees")


def _why(read: Features, domain: Domain | None, score: float, thresholds: Thresholds) -> Reason:
    against = [name for name, value in read.scores.items() if value < 0]
    if score < thresholds.heavy:
        if against and domain:
            return Reason.of("mentions", subject=Reason(domain), other=Reason(against[0]))
        return Reason.of("asks-hardly", subject=Reason(domain)) if domain else Reason("asks-nothing")
    words = list(dict.fromkeys(read.found.get(domain, ()) if domain else ()))[:3]
    shown = ", ".join(f"“{word[:24]}”" for word in words)
    subject = Reason(domain or ("thought" if "think" in read.scores else "last-problem"))
    return Reason.of("asks-in-words", subject=subject, words=shown) if shown else Reason.of("asks", subject=subject)

"""What the user chose on the page, kept with the history so that it is remembered in every tab and after a restart."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from app.history.store import History

Language = Literal["en", "zh"]
_NAME = "page"


@dataclass(frozen=True)
class Settings:
    """voice: one of the model's, None for its first. route: "auto" or the name of who answers, None for whom Tandem was
    started with. language: of the page.

    model: None for the one that Tandem was started with.
    """

    voice: str | None = None
    route: str | None = None
    speech: bool = True
    language: Language = "en"
    model: str | None = None

    def choice(self, configured: str) -> str:
        """Who shall answer. configured: what Tandem was started with."""
        return configured if self.route is None else self.route

    def view(self) -> dict[str, Any]:
        return asdict(self)

    def changed(self, **fields: Any) -> Settings:
        """Raises ValueError for a setting or a value that there is not."""
        text = (str, type(None))
        kinds = {"voice": text, "route": text, "speech": bool, "language": str, "model": text}
        for name, value in fields.items():
            if name not in kinds or not isinstance(value, kinds[name]):
                raise ValueError(f"{name} cannot be {value!r}")
        if fields.get("language", "en") not in get_args(Language):
            raise ValueError(f"language is {fields['language']!r}: choose {' or '.join(get_args(Language))}")
        return replace(self, **fields)


def load(history: History) -> Settings:
    kept = history.setting(_NAME, {})
    try:
        return Settings().changed(**kept)
    except (TypeError, ValueError):
        return Settings()  # kept by another version


def save(history: History, settings: Settings) -> None:
    history.set_setting(_NAME, settings.view())

"""What a client can set for its session: the protocol's session object over the defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from app.realtime.protocol import ClientError
from streaming.call import CallSettings
from streaming.session import ResponseOptions
from streaming.turn import SileroDetector, TurnDetector, TurnSettings

RATE_HZ = 24_000
PAUSE_MS = 128.0  # silence after which an answer is begun, to be held back until the turn is over
SILENCE_MS = (100, 5000)
LONGEST_TURN_SEC = 60.0


@dataclass(frozen=True)
class SessionSettings:
    """manual: no turn detection. The other names are the protocol's."""

    voice: str | None = None
    speech: bool = True
    instructions: str = ""
    max_output_tokens: int | None = None
    manual: bool = False
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    create_response: bool = True
    interrupt_response: bool = True
    transcription: dict[str, Any] | None = None

    def detector(self) -> TurnDetector:
        return TurnDetector(
            SileroDetector(),
            TurnSettings(
                begin=self.threshold,
                end=min(self.threshold, max(0.05, self.threshold - 0.15)),
                patience_ms=self.silence_duration_ms,
                before_ms=self.prefix_padding_ms,
                pause_ms=min(PAUSE_MS, self.silence_duration_ms),
            ),
        )

    def listens_unlike(self, other: SessionSettings) -> bool:
        """Whether turns are found in another way, so that a new detector is needed."""
        names = ("manual", "threshold", "prefix_padding_ms", "silence_duration_ms")
        return any(getattr(self, name) != getattr(other, name) for name in names)

    def turn_taking(self) -> CallSettings:
        return CallSettings(
            detection="manual" if self.manual else "vad",
            answer=self.create_response,
            interrupt=self.interrupt_response,
            longest_turn_sec=LONGEST_TURN_SEC,
        )

    def options(self, options: ResponseOptions) -> ResponseOptions:
        """How replies are made. options: the assistant's own, whose limit holds as well."""
        limit = min(self.max_output_tokens or options.max_text_tokens, options.max_text_tokens)
        speech = options.speech and self.speech
        return replace(options, voice=self.voice or options.voice, speech=speech, max_text_tokens=limit)

    def updated(self, session: dict[str, Any], voices: list[str]) -> SessionSettings:
        """With the fields that `session` has. Raises ClientError for one that cannot be had; then nothing changes."""
        if session.get("type", "realtime") != "realtime":
            raise ClientError("only sessions of type realtime are held here", param="session.type")
        if session.get("tools"):
            raise ClientError("tools are not called in a call yet: leave them out", "unsupported", "session.tools")
        changed: dict[str, Any] = {}
        if "instructions" in session:
            changed["instructions"] = session["instructions"] or ""
        if "max_output_tokens" in session:
            changed["max_output_tokens"] = token_limit(session["max_output_tokens"])
        if session.get("output_modalities"):
            changed["speech"] = "audio" in session["output_modalities"]
        audio = session.get("audio") or {}
        output, given = audio.get("output") or {}, audio.get("input") or {}
        for place, side in (("input", given), ("output", output)):
            kind = (side.get("format") or {}).get("type", "audio/pcm")
            if kind != "audio/pcm":
                raise ClientError("sound is audio/pcm at 24000 Hz here", "unsupported", f"session.audio.{place}.format")
        if output.get("voice") is not None:
            changed["voice"] = voice_of(output["voice"], voices)
        if output.get("speed") not in (None, 1, 1.0):
            raise ClientError(
                "speech is made at its own speed: leave speed at 1", "unsupported", "session.audio.output"
            )
        if "transcription" in given:
            changed["transcription"] = given["transcription"]
        if "turn_detection" in given:
            changed |= self._detection(given["turn_detection"])
        return replace(self, **changed)

    @staticmethod
    def _detection(given: dict[str, Any] | None) -> dict[str, Any]:
        place = "session.audio.input.turn_detection"
        if given is None:
            return {"manual": True}
        if given.get("type", "server_vad") != "server_vad":
            raise ClientError("turn_detection is server_vad or null here", "unsupported", place)
        if given.get("idle_timeout_ms") is not None:
            raise ClientError("idle_timeout_ms is not offered: leave it out", "unsupported", place)
        names = ("threshold", "prefix_padding_ms", "silence_duration_ms", "create_response", "interrupt_response")
        found = {name: given[name] for name in names if given.get(name) is not None}
        if not 0.05 <= found.get("threshold", 0.5) <= 0.95:
            raise ClientError("threshold is a number from 0.05 to 0.95", param=f"{place}.threshold")
        low, high = SILENCE_MS
        if not low <= found.get("silence_duration_ms", low) <= high:
            raise ClientError(f"silence_duration_ms is from {low} to {high}", param=f"{place}.silence_duration_ms")
        if not 0 <= found.get("prefix_padding_ms", 0) <= 2000:
            raise ClientError("prefix_padding_ms is from 0 to 2000", param=f"{place}.prefix_padding_ms")
        return {"manual": False, **found}

    def view(self) -> dict[str, Any]:
        """The `audio`, `instructions` and other fields of the protocol's session object."""
        sound = {"type": "audio/pcm", "rate": RATE_HZ}
        detection = None
        if not self.manual:
            detection = {
                "type": "server_vad",
                "threshold": self.threshold,
                "prefix_padding_ms": self.prefix_padding_ms,
                "silence_duration_ms": self.silence_duration_ms,
                "create_response": self.create_response,
                "interrupt_response": self.interrupt_response,
                "idle_timeout_ms": None,
            }
        return {
            "output_modalities": ["audio" if self.speech else "text"],
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens or "inf",
            "tools": [],
            "tool_choice": "auto",
            "tracing": None,
            "truncation": "disabled",
            "audio": {
                "input": {
                    "format": sound,
                    "noise_reduction": None,
                    "transcription": self.transcription,
                    "turn_detection": detection,
                },
                "output": {"format": sound, "voice": self.voice, "speed": 1.0},
            },
        }


def voice_of(value: Any, voices: list[str]) -> str:
    """The model's voice of that name; names of voices that only OpenAI has mean the model's first."""
    name = value.get("id", "") if isinstance(value, dict) else str(value)
    for voice in voices:
        if voice.lower() == name.lower():
            return voice
    if name.lower() in OPENAI_VOICES and voices:
        return voices[0]
    raise ClientError(f"there is no voice {name[:40]!r}: choose one of {', '.join(voices)}", param="voice")


# Stock clients name one of these by default.
OPENAI_VOICES = frozenset(
    ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar", "fable", "nova", "onyx")
)


def token_limit(value: Any) -> int | None:
    if value in (None, "inf"):
        return None
    if not isinstance(value, int) or not 1 <= value <= 8192:
        raise ClientError('max_output_tokens is from 1 to 8192, or "inf"', param="max_output_tokens")
    return value


def of_response(given: dict[str, Any], options: ResponseOptions, voices: list[str]) -> ResponseOptions:
    """How one reply is made. given: the protocol's response object. options: the session's. Raises ClientError for a
    field that cannot be had."""
    for name in ("instructions", "input", "tools", "prompt"):
        if given.get(name):
            raise ClientError(f"{name} of a single response is not offered: use the session's", "unsupported", name)
    if given.get("conversation") not in (None, "auto"):
        raise ClientError("responses belong to the conversation here", "unsupported", "conversation")
    if given.get("output_modalities"):
        options = replace(options, speech=options.speech and "audio" in given["output_modalities"])
    voice = ((given.get("audio") or {}).get("output") or {}).get("voice")
    if voice is not None:
        options = replace(options, voice=voice_of(voice, voices))
    limit = token_limit(given.get("max_output_tokens"))
    if limit is not None:
        options = replace(options, max_text_tokens=min(limit, options.max_text_tokens))
    return options

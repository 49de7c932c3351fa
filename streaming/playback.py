"""What of a reply's speech a listener has heard, counted in samples, and how much of its text that is.

The player owns the clock: it acknowledges samples as they leave the loudspeaker. Of one that never does, it is
assumed that it plays what it gets at once and without a pause. Codec tokens carry no alignment
with the text, so text is taken to pass evenly over the speech: exact at both ends, a word or two off between.
"""

from __future__ import annotations

from dataclasses import dataclass

# Before anything was spoken to its end; English at a calm pace, a byte-pair token about two thirds of a word.
FIRST_GUESS_SEC_PER_TOKEN = 0.27


@dataclass
class Pace:
    """Seconds of speech a text token takes with one voice; learned from replies that were spoken to their end."""

    sec_per_token: float = FIRST_GUESS_SEC_PER_TOKEN
    seconds: float = 0.0
    tokens: int = 0

    def learn(self, seconds: float, tokens: int) -> None:
        """seconds of speech of a whole reply of `tokens` text tokens."""
        self.seconds += seconds
        self.tokens += tokens
        if self.tokens:
            self.sec_per_token = self.seconds / self.tokens


@dataclass
class Playback:
    """One reply on its way to a loudspeaker. sent, played: samples; complete: no more speech will come.

    acknowledged: the player tells what it has played. ends_sec: when a player that tells nothing will be through.
    """

    rate_hz: int
    pace: Pace
    sent: int = 0
    played: int = 0
    complete: bool = False
    flushed: bool = False
    acknowledged: bool = False
    ends_sec: float = 0.0

    def send(self, samples: int, now_sec: float = 0.0) -> None:
        """More speech went to the player. Nothing goes to a player that was flushed."""
        assert not self.flushed and not self.complete
        self.sent += samples
        self.ends_sec = max(self.ends_sec, now_sec) + samples / self.rate_hz

    def look(self, now_sec: float) -> None:
        """Count what a player that tells nothing has played by now."""
        if not self.acknowledged and not self.flushed:
            waiting = max(0.0, self.ends_sec - now_sec) * self.rate_hz
            self.played = max(self.played, self.sent - round(waiting))

    def acknowledge(self, played: int) -> None:
        """The player has played `played` samples of this reply in all. A claim beyond what was sent counts as that
        much, an older one than the last changes nothing."""
        self.acknowledged = True
        self.played = max(self.played, min(played, self.sent))

    def finish(self, tokens: int) -> None:
        """The reply of `tokens` text tokens was spoken to its end. One without a sound teaches no pace."""
        self.complete = True
        if self.sent:
            self.pace.learn(self.sent / self.rate_hz, tokens)

    def flush(self, played: int | None = None) -> None:
        """Playback stops for good, after `played` samples where the player says so: it knows better than any
        estimate."""
        if played is not None:
            self.played = max(0, min(played, self.sent))
        self.flushed = True

    @property
    def waiting_sec(self) -> float:
        """Speech that the player holds and has not played."""
        return 0.0 if self.flushed else (self.sent - self.played) / self.rate_hz

    def heard_tokens(self, tokens: int) -> int:
        """How many of the reply's `tokens` text tokens (as far as written) have been heard."""
        if self.complete and self.played >= self.sent:
            return tokens
        total = (
            self.sent / self.rate_hz
            if self.complete
            else max(self.sent / self.rate_hz, tokens * self.pace.sec_per_token)
        )
        return min(tokens, int(tokens * self.played / self.rate_hz / total)) if total > 0 else 0

"""What can go wrong with what a user hands in. Every message says what to do.

TandemError
├── MediaError            a file or bytes that cannot be used
│   ├── MediaNotFound     no such file, or a directory
│   ├── MediaUnreadable   empty, truncated, of another kind than its name says
│   └── MediaTooLarge     over a limit of `MediaLimits`
├── CheckpointError       a model name or folder that cannot be loaded
├── VoiceError            a voice that the checkpoint does not have
├── PromptError           a request the prompt format cannot express
└── ConversationError     a saved conversation that cannot be continued
"""

from __future__ import annotations


class TandemError(Exception):
    """Base of every error that is the user's to solve. str(error) is one line with the remedy."""


class MediaError(TandemError):
    pass


class MediaNotFound(MediaError):
    pass


class MediaUnreadable(MediaError):
    pass


class MediaTooLarge(MediaError):
    pass


class CheckpointError(TandemError):
    pass


class VoiceError(TandemError):
    pass


class PromptError(TandemError):
    pass


class ConversationError(TandemError):
    pass

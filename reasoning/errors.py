"""What can go wrong with a backend, a profile or a tool. Every message says what to do.

TandemError
├── BackendError           a backend that gave no answer; the Thinker can answer instead
│   ├── BackendUnavailable     not reachable, too slow, overloaded
│   ├── BackendRefused         it said no: key, model name, a request that it does not take
│   └── BackendGarbled         it answered with something that is not its protocol
├── SchemaError            a JSON schema that cannot be used
├── SchemaViolation        an answer that is not JSON of its schema
├── ProfileError           a profile table that is wrong, or a model that fits no profile
└── ToolUnavailable        Python from a model cannot be isolated on this machine, so it is not run
"""

from __future__ import annotations

from multimodal.errors import TandemError


class BackendError(TandemError):
    pass


class BackendUnavailable(BackendError):
    pass


class BackendRefused(BackendError):
    pass


class BackendGarbled(BackendError):
    pass


class SchemaError(TandemError):
    pass


class SchemaViolation(TandemError):
    pass


class ProfileError(TandemError):
    pass


class ToolUnavailable(TandemError):
    pass

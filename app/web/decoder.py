"""Media of unknown origin are opened in a child process: no network, few files to read, bounded memory and time."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.isolation import confine

if TYPE_CHECKING:  # imports torch, which the first page must not wait for
    from multimodal.decode import FrameBudget, MediaInfo
    from multimodal.limits import MediaLimits
    from multimodal.media import AudioClip, Picture, VideoClip

MOST_SEC = 120.0


class MediaDecoder:
    """One child that decodes one medium at a time; it is replaced when it dies or takes too long.

    folder: the only folder whose files it may read, besides the program's own.
    """

    def __init__(self, folder: Path, most_sec: float = MOST_SEC) -> None:
        self._folder = folder
        self._most_sec = most_sec
        self._lock = threading.Lock()
        self._child: tuple[Any, Connection] | None = None

    def warm_up(self) -> None:
        """Start the child, which takes a few seconds, before the first medium comes."""
        with self._lock:
            self._started()

    def probe(self, path: Path, name: str) -> MediaInfo:
        """Raises MediaError, about a file called `name`."""
        return self._call("probe", path, name)

    def picture(self, path: Path, name: str, limits: MediaLimits) -> Picture:
        return self._call("picture", path, name, limits)

    def audio(self, path: Path, name: str, limits: MediaLimits, rate_hz: int = 16_000) -> AudioClip:
        return self._call("audio", path, name, rate_hz, limits)

    def video(self, path: Path, name: str, limits: MediaLimits, budget: FrameBudget) -> VideoClip:
        return self._call("video", path, name, budget, limits)

    def count_pages(self, path: Path, name: str, limits: MediaLimits) -> int:
        return self._call("count_pages", path, name, limits)

    def page(self, path: Path, name: str, number: int, limits: MediaLimits) -> Picture:
        """Page `number`, from 1, of a document."""
        return self._call("page", path, name, number, limits)

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _call(self, what: str, path: Path, name: str, *rest: Any) -> Any:
        from multimodal.errors import MediaTooLarge, MediaUnreadable, TandemError
        from multimodal.source import file_name

        shown = file_name(name)
        with self._lock:
            _, line = self._started()
            try:
                line.send((what, path, *rest))
                if not line.poll(self._most_sec):
                    self._stop()
                    raise MediaTooLarge(f"{shown} takes too long to decode: shorten it or make it smaller")
                kind, result = line.recv()
            except (EOFError, OSError):
                self._stop()
                raise MediaUnreadable(
                    f"{shown} cannot be decoded with the memory there is: make it smaller, or export it again"
                ) from None
        if kind == "error":
            assert isinstance(result, TandemError)
            raise type(result)(str(result).replace(path.name, shown))
        return result

    def _started(self) -> tuple[Any, Connection]:
        if self._child is None or not self._child[0].is_alive():
            self._stop()
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            child = context.Process(target=_serve, args=(theirs, str(self._folder)), name="decoder", daemon=True)
            child.start()
            theirs.close()
            self._child = (child, ours)
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            child, line = self._child
            self._child = None
            child.kill()
            child.join()
            line.close()


def _serve(line: Connection, folder: str) -> None:
    """The child: decode what the parent names until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from multimodal import decode, document
    from multimodal.errors import MediaUnreadable, TandemError

    import pypdfium2  # isort: skip # noqa: F401  its library is out of reach later
    import qwen_vl_utils.vision_process  # isort: skip # noqa: F401  seconds that the first video need not wait for

    torch.set_num_threads(1)
    work: dict[str, Callable[..., Any]] = {
        "probe": decode.probe,
        "picture": decode.read_picture,
        "audio": decode.read_audio,
        "video": decode.read_video,
        "count_pages": document.count_pages,
        "page": document.read_page,
    }
    confine(folder)
    while True:
        try:
            what, path, *rest = line.recv()
        except (EOFError, OSError):
            return
        try:
            answer = ("done", work[what](path, *rest))
        except TandemError as error:
            answer = ("error", error)
        except MemoryError:
            answer = ("error", MediaUnreadable(f"{path.name} needs more memory than there is: make it smaller"))
        line.send(answer)

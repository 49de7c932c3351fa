"""`web`: start the server, say where the page is, and open it."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import socket
import sys
import tempfile
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from app.config import Config, ConfigError

PORT = 7860
MORE_PORTS = 9  # tried after the default one, where no port was asked for


@dataclass(frozen=True)
class WebOptions:
    """port: None for the default one or the next that is free. open_to_network: answer others than this machine.
    ephemeral: keep nothing after the end. browser: open the page. record: a folder that calls are recorded into."""

    host: str = "127.0.0.1"
    port: int | None = None
    open_to_network: bool = False
    ephemeral: bool = False
    browser: bool = True
    record: Path | None = None

    def __post_init__(self) -> None:
        if self.port is not None and not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}: give a number from 0 (any) to 65535")
        if not self.is_local and not self.open_to_network:
            raise ConfigError(
                f"{self.host} can be reached from other machines, and Tandem asks nobody for a password: "
                "add --open-to-network if that is what you want"
            )

    @property
    def is_local(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def serve(config: Config, options: WebOptions) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises ConfigError for what the user can mend."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with contextlib.ExitStack() as stack:
        data_dir = config.data_dir
        if options.ephemeral:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-")))
        os.environ["GRADIO_TEMP_DIR"] = str(data_dir / "page")
        listening = stack.enter_context(_listen(options))
        from app.history.records import HistoryError
        from app.server import Server, create_app
        from app.web.guard import LOCAL_NAMES

        try:
            names = LOCAL_NAMES | {options.host, socket.gethostname().lower()}
            app = create_app(config, data_dir, names, by_address=options.open_to_network, record=options.record)
        except HistoryError as error:
            raise ConfigError(str(error)) from error
        address = _address(options, listening)
        kept = "nothing is kept" if options.ephemeral else f"conversations are kept in {data_dir}"
        print(f"Tandem is at {address} ({kept}; Ctrl-C ends it)", flush=True)
        if options.browser and sys.stdout.isatty():
            threading.Timer(0.5, webbrowser.open, [address]).start()
        Server(app, [listening], options.host).serve_forever()


def _listen(options: WebOptions) -> socket.socket:
    from app.server import listen

    host = "127.0.0.1" if options.host == "localhost" else options.host
    try:
        return listen(host, PORT, MORE_PORTS) if options.port is None else listen(host, options.port)
    except OSError as error:
        port = PORT if options.port is None else options.port
        raise ConfigError(f"{options.host}:{port} cannot be used ({error.strerror}): give another --port") from error


def _address(options: WebOptions, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    host = "localhost" if options.host in ("127.0.0.1", "0.0.0.0", "::", "::1") else options.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

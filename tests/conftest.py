"""What every test stands on: no network, one thread, no settings of the person who runs them, a tiny checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

# Before anything imports torch or transformers: subprocesses inherit these too.
os.environ.update(
    HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", OMP_NUM_THREADS="1", TERM="dumb"
)
for name in [name for name in os.environ if name.startswith("TANDEM_")]:
    del os.environ[name]

import pytest  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.browser import RunningServer


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Stages run in threads of their own; torch's own threads would only fight them for two cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the seeded random checkpoint with voices Ada and Ben."""
    from multimodal.checkpoint_files import write_random_checkpoint

    return write_random_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="module")
def browser(server: RunningServer) -> Iterator[Browser]:
    """For the test modules that run a `server`."""
    from tests.browser import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Page]:
    """The server's page, opened by somebody who was never there."""
    from playwright.sync_api import expect

    from tests.browser import visitor

    with visitor(browser, server) as found:
        found.goto(server.url)
        expect(found.locator("#message")).to_be_focused()
        yield found

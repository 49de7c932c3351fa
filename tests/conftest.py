"""What every test stands on: no network, one thread, no settings of the person who runs them, a tiny checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports torch or transformers: subprocesses inherit these too.
os.environ.update(
    HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", OMP_NUM_THREADS="1", TERM="dumb"
)
for name in [name for name in os.environ if name.startswith("TANDEM_")]:
    del os.environ[name]

import pytest  # noqa: E402


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

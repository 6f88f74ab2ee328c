"""What a run was made with: one line of ``starts.jsonl`` for each start of its training."""

import datetime
import importlib.metadata
import json
import platform
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from attention.errors import writing

PACKAGES = (
    *("attention-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "ml_collections"),
    *("grain", "sentencepiece", "sacrebleu", "numpy"),
)


def record(workdir: Path, said: Mapping[str, Any]) -> None:
    """Adds a start to the run's ``starts.jsonl``: when, where, on what, and what was said.

    Args:
      workdir: the run's directory.
      said: how it was asked for, such as the experiment's file and the flags.
    """
    devices = jax.devices()
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        **said,
        "git": git_revision(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "devices": [f"{device.platform} {device.device_kind}" for device in devices],
        "processes": jax.process_count(),
    }
    path = workdir / "starts.jsonl"
    with writing(path), path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def git_revision() -> str | None:
    """The commit of the source tree, with ``+`` where files differ from it; None outside one."""
    root = str(Path(__file__).resolve().parent)
    command = ["git", "-C", root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

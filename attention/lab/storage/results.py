"""The report that a training ends with, kept in its workdir for whoever collects results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention.lab.storage.files import atomic_write, read_object

_FILE = "result.json"


def write(workdir: Path, report: Mapping[str, Any]) -> None:
    """Keeps a report; it appears whole or not at all."""
    atomic_write(workdir / _FILE, json.dumps(dict(report)) + "\n")


def read(workdir: Path) -> dict[str, Any] | None:
    """The report of a directory's run, or None where none has ended there.

    Raises:
      ValueError: the file is damaged.
    """
    file = workdir / _FILE
    return read_object(file, "remove it and train again") if file.is_file() else None

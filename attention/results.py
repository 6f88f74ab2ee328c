"""The report that a training ends with, kept in its workdir for whoever collects results."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FILE = "result.json"


def write(workdir: Path, report: Mapping[str, Any]) -> None:
    """Keeps a report; it appears whole or not at all."""
    temporary = workdir / f"{_FILE}.tmp"
    temporary.write_text(json.dumps(dict(report)) + "\n", encoding="utf-8")
    os.replace(temporary, workdir / _FILE)


def read(workdir: Path) -> dict[str, Any] | None:
    """The report of a directory's run, or None where none has ended there.

    Raises:
      ValueError: the file is damaged.
    """
    file = workdir / _FILE
    if not file.is_file():
        return None
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}): remove it and train again") from None
    if not isinstance(report, dict):
        raise ValueError(f"{file} is damaged: it needs a JSON object; remove it and train again")
    return report

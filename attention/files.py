"""Small files of a run: written whole or not at all, and JSON objects with words for damage."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_whole(path: Path, text: str) -> None:
    """Writes a file that appears, or changes, whole or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      ValueError: the file holds something else; the text ends with the remedy.
      OSError: the file cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: it needs a JSON object; {remedy}")
    return found

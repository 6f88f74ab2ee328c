"""Small files of a run: written whole or not at all, and JSON objects with words for damage."""

import json
import os
from pathlib import Path
from typing import Any

from attention.errors import RunError, writing


def atomic_write(path: Path, content: str | bytes) -> None:
    """Writes a file that appears, or changes, whole or not at all.

    Raises:
      StorageError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with writing(path):
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      RunError: the file cannot be read or holds something else; the text ends with the remedy.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): {remedy}") from None
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}): {remedy}") from None
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged: it needs a JSON object; {remedy}")
    return found

"""Counts the statements of the Python files in attention/, now and at revisions that are named.

python -m tools.statements 8047c8b
"""

import ast
import io
import subprocess
import sys
import tarfile
from pathlib import Path


def count(sources: list[str]) -> int:
    """The statements in all sources."""
    return sum(isinstance(node, ast.stmt) for s in sources for node in ast.walk(ast.parse(s)))


def at(revision: str) -> list[str]:
    """The sources of attention/ at a revision."""
    command = ["git", "archive", revision, "attention"]
    with tarfile.open(
        fileobj=io.BytesIO(subprocess.run(command, stdout=-1, check=True).stdout)
    ) as tar:
        files = [tar.extractfile(m) for m in tar.getmembers() if m.name.endswith(".py")]
        return [file.read().decode() for file in files if file]


if __name__ == "__main__":
    print("now", count([path.read_text("utf-8") for path in Path("attention").rglob("*.py")]))
    for revision in sys.argv[1:]:
        print(revision, count(at(revision)))

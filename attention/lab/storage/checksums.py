"""A directory's seal: SHA256SUMS, with the SHA-256 of every other file in it.

``sha256sum -c SHA256SUMS`` reads it too. Its last line is the SHA-256 of the lines above.
"""

import hashlib
import os
from pathlib import Path

NAME = "SHA256SUMS"


def write(directory: Path) -> None:
    """Seals a directory: when this returns, its files and their sums are on the disk."""
    for name in (names := _names(directory)):
        sync(directory / name)
    body = "".join(f"{_digest(directory / name)}  {name}\n" for name in names)
    (directory / NAME).write_text(body + _last_line(body), encoding="utf-8")
    sync(directory / NAME)
    for path in [directory, *filter(Path.is_dir, directory.rglob("*"))]:
        sync(path)


def check(directory: Path) -> None:
    """Checks every file.

    Raises:
      OSError: the seal is broken; it names the files that have changed, are missing or are extra.
    """
    sums = _sums(directory)
    names = {*_names(directory)}
    faults = [f"{name} is missing" for name in sorted(sums.keys() - names)]
    faults += [f"{name} is extra" for name in sorted(names - sums.keys())]
    both = sorted(names & sums.keys())
    faults += [f"{name} has changed" for name in both if _digest(directory / name) != sums[name]]
    if faults:
        more = f", and {len(faults) - 3} files more" if len(faults) > 3 else ""
        raise OSError(", ".join(faults[:3]) + more)


def read(directory: Path, name: str) -> bytes:
    """The bytes of one file, checked; raises OSError as ``check`` does."""
    expected = _sums(directory).get(name)
    if expected is None or not (directory / name).is_file():
        raise OSError(f"{name} is missing")
    content = (directory / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != expected:
        raise OSError(f"{name} has changed")
    return content


def sync(path: Path) -> None:
    """Waits until a file, or a directory's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sums(directory: Path) -> dict[str, str]:
    """What the seal says, by the file's path in the directory."""
    if not (directory / NAME).is_file():
        raise OSError(f"{NAME} is missing")
    text = (directory / NAME).read_text(encoding="utf-8", errors="surrogateescape")
    body, mark, rest = text.rpartition("# ")
    if mark + rest != _last_line(body):
        raise OSError(f"{NAME} has changed")
    return {name: digest for digest, _, name in (row.partition("  ") for row in body.splitlines())}


def _last_line(body: str) -> str:
    digest = hashlib.sha256(body.encode("utf-8", "surrogateescape")).hexdigest()
    return f"# {digest} of the lines above\n"


def _names(directory: Path) -> list[str]:
    """Every file in a directory, by its path there, but the seal."""
    paths = (path for path in directory.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted({path.relative_to(directory).as_posix() for path in paths} - {NAME})


def _digest(path: Path) -> str | None:
    """The SHA-256 of a regular file; None of anything else."""
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

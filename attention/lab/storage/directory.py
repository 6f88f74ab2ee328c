"""A run's directory: its config, its result, its lock, and whether a run may go on in it."""

import contextlib
import fcntl
import itertools
import json
import os
import re
import socket
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attention.errors import RunError, StorageError
from attention.lab.config import schema
from attention.lab.storage.files import atomic_write, read_object

Config = Mapping[str, Any]
ON_CHANGE = ("refuse", "continue", "restart")
_CONFIG, _RESULT, _LOCK = "config.json", "result.json", "lock"
_OURS = ("tokenizer.model", "metrics.jsonl", "checkpoints")  # what a run writes after its config


def read_config(workdir: str | Path) -> Config:
    """The config of a run; keys younger than the run have their defaults.

    Raises:
      RunError: there is no run, or its config.json is damaged.
    """
    path = Path(workdir) / _CONFIG
    if not path.is_file():
        raise RunError(f"{workdir} holds no run (no {_CONFIG}): train one there first")
    return schema.completed(read_object(path, "restore it"))


def write_config(workdir: Path, config: Config) -> None:
    """Makes a directory that was claimed the run's; what else a run writes comes after this."""
    atomic_write(workdir / _CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_result(workdir: Path, report: Mapping[str, Any]) -> None:
    """Keeps the report that a training ends with, for whoever collects results."""
    atomic_write(workdir / _RESULT, json.dumps(dict(report)) + "\n")


def read_result(workdir: Path) -> dict[str, Any] | None:
    """The report of a directory's run, or None where none has ended there.

    Raises:
      RunError: the file is damaged.
    """
    file = workdir / _RESULT
    return read_object(file, "remove it and train again") if file.is_file() else None


def inside(root: str | Path, name: str) -> Path:
    """The directory of a run by its name, which cannot lead out of the root.

    Raises:
      ValueError: the name is not 1 to 200 letters, digits and ``._=,+-``, beginning with a letter
        or a digit.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=,+-]{0,199}", name):
        raise RunError(
            f"run name is {name!r}; it needs 1 to 200 letters, digits and ._=,+- of which the "
            "first is a letter or a digit"
        )
    return Path(root) / name


@contextlib.contextmanager
def claimed(workdir: str | Path, config: Config, on_change: str = "refuse") -> Iterator[Path]:
    """Makes or reopens a run's directory for one training process; ``write_config`` is to follow.

    Args:
      workdir: the directory; its parents are made too.
      config: the resolved config of this run.
      on_change: what to do where the directory holds a run of another config: "refuse" with the
        difference, "continue" with the new config, or "restart", which moves the old run aside.

    Raises:
      ValueError: the configs differ, what is there is no run, or ``on_change`` is unknown.
      OSError: the directory cannot be written, or another process trains in it.
    """
    if on_change not in ON_CHANGE:
        raise RunError(f"on_change is {on_change!r}; choose one of {', '.join(ON_CHANGE)}")
    path = Path(workdir).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"workdir {path} cannot be made ({error.strerror}); choose another --workdir"
        ) from None
    with locked(path):
        if (path / _CONFIG).exists():
            _settle(path, differences(read_config(path), config), on_change)
        elif strangers := [name for name in _OURS if (path / name).exists()]:
            raise RunError(
                f"{path} has {', '.join(strangers)} but no {_CONFIG}, so it is no run of ours; "
                "choose another --workdir"
            )
        yield path


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`key: old -> new` for each key that may not change when a run goes on."""
    was, now = dict(schema.flatten(old)), dict(schema.flatten(new))
    names = [n for n in sorted({*was, *now}) if not schema.may_change(n)]
    return [f"{n}: {was.get(n)!r} -> {now.get(n)!r}" for n in names if was.get(n) != now.get(n)]


def _settle(path: Path, changes: list[str], on_change: str) -> None:
    if not changes:
        return
    listed = "; ".join(changes)
    if on_change == "refuse":
        raise RunError(
            f"{path} holds a run of another config ({listed}); choose another --workdir, or say "
            "--on_change=continue or --on_change=restart"
        )
    if on_change == "continue":
        warnings.warn(f"{path} goes on with another config ({listed})", stacklevel=2)
    else:
        aside = _set_aside(path)
        warnings.warn(f"the run in {path}, of another config, is moved to {aside}", stacklevel=2)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of a directory that is there; the kernel frees it however the process ends.

    Raises:
      OSError: the directory cannot be written, or another process holds its lock.
    """
    try:
        stream = (path / _LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"workdir {path} cannot be written ({error.strerror}); choose another --workdir"
        ) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            raise RunError(
                f"workdir {path} is in use by {holder}; wait for it, or choose another --workdir"
            ) from None
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        stream.flush()
        yield


def _set_aside(path: Path) -> Path:
    """Moves all of a run but its lock into a new directory beside it; its config goes last."""
    names = (path.with_name(f"{path.name}.old.{number}") for number in itertools.count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    aside.mkdir()
    moved = [entry for entry in path.iterdir() if entry.name != _LOCK]
    for entry in sorted(moved, key=lambda entry: entry.name == _CONFIG):
        entry.rename(aside / entry.name)
    return aside

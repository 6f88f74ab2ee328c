"""A run's directory: its config, its lock, and whether a run may go on in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attention import schema

Config = dict[str, Any]
ON_CHANGE = ("refuse", "continue", "restart")


def read_config(workdir: str | Path) -> Config:
    """The config of a run.

    Raises:
      FileNotFoundError: there is no run.
      ValueError: config.json is damaged.
    """
    path = Path(workdir) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{workdir} holds no run (no config.json): train one there first")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} is damaged: it needs a JSON object")
    return config


@contextlib.contextmanager
def claimed(workdir: str | Path, config: Config, on_change: str = "refuse") -> Iterator[Path]:
    """Makes or reopens a run's directory for one training process.

    Args:
      workdir: the directory; its parents are made too.
      config: the resolved config of this run.
      on_change: what to do where the directory holds a run of another config: "refuse" with the
        difference, "continue" with the new config, or "restart", which moves the old run aside.

    Raises:
      ValueError: the configs differ, or ``on_change`` is unknown.
      OSError: the directory cannot be written, or another process trains in it.
    """
    if on_change not in ON_CHANGE:
        raise ValueError(f"on_change is {on_change!r}; choose one of {', '.join(ON_CHANGE)}")
    path = Path(workdir).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(f"workdir {path} cannot be made: {error.strerror}") from None
    with _lock(path):
        if (path / "config.json").exists():
            changes = differences(read_config(path), config)
            if changes and on_change == "refuse":
                raise ValueError(
                    f"{path} holds a run of another config ({'; '.join(changes)}); choose another "
                    "--workdir, or say --on_change=continue or --on_change=restart"
                )
            if changes and on_change == "restart":
                _set_aside(path)
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        temporary = path / "config.json.tmp"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path / "config.json")
        yield path


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`key: old -> new` for each key that may not change when a run goes on."""
    was, now = dict(schema.flatten(old)), dict(schema.flatten(new))
    names = [n for n in sorted({*was, *now}) if not schema.may_change(n)]
    return [f"{n}: {was.get(n)!r} -> {now.get(n)!r}" for n in names if was.get(n) != now.get(n)]


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds ``lock`` in the directory; the kernel frees it however the process ends."""
    try:
        stream = (path / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise type(error)(f"workdir {path} cannot be written: {error.strerror}") from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            raise BlockingIOError(
                f"workdir {path} is in use by {holder}; wait for it, or choose another --workdir"
            ) from None
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        stream.flush()
        yield


def _set_aside(path: Path) -> None:
    """Moves all of a run but its lock into a directory beside it."""
    aside = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}.old")
    aside.mkdir()
    for entry in path.iterdir():
        if entry.name != "lock":
            entry.rename(aside / entry.name)

"""What a run begins with that starts from another: its parameters, state and vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention.errors import ConfigError, UserError
from attention.lab.runs import load as trained
from attention.lab.storage import directory

Config = Mapping[str, Any]

_FREE = ("dropout", "ff_dropout", "dropout_rate", "remat")  # shape no parameter
_VOCABULARY = ("source_lang", "target_lang", "vocab_size")


def load(config: Config, path: Path) -> trained.Trained | None:
    """The best checkpoint of ``train.init_from``; None without one, or once ``path`` has its own.

    Args:
      config: of the run that begins.
      path: its workdir.

    Raises:
      OSError: there is no such run, it has no checkpoint yet, or it is damaged.
      ValueError: it is of another model or vocabulary, or damaged.
    """
    source = config["train"]["init_from"]
    if source is None or _has_begun(config, path):
        return None
    try:
        was = directory.read_config(source)
        if changes := directory.differences(what_counts(was), what_counts(config)):
            raise ConfigError(
                f"the model or vocabulary of {source} is another ({'; '.join(changes)}); make them "
                "alike, or start from another run"
            )
        start = trained.load(source)
    except UserError as error:
        raise ConfigError(f"config.train.init_from: {error}") from None
    kept = path / "tokenizer.model"
    if kept.exists() and kept.read_bytes() != start.task.tokenizer.model:
        raise ConfigError(
            f"config.train.init_from: the vocabulary of {source} is another than that of {path}; "
            "choose another --workdir"
        )
    return start


def _has_begun(config: Config, path: Path) -> bool:
    if not (path / "checkpoints").is_dir():
        return False
    with trained.open_checkpoints(config, path, read_only=True) as checkpoints:
        return bool(checkpoints.steps())


def what_counts(config: Config) -> dict[str, Any]:
    """The part of a config that parameters and vocabulary follow from."""
    names, model, kind = [*_VOCABULARY], _without_free(config["model"]), config["task"]["kind"]
    if model["positions"] == "learned" or kind == "mask_predict":  # lengths are classified
        names.append("max_length")
    data = {name: config["data"][name] for name in names}
    return {"model": model, "data": data, "task": {"kind": kind}}


def _without_free(section: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_free(value) if isinstance(value, Mapping) else value
        for name, value in section.items()
        if name not in _FREE and not (name == "kernel" and isinstance(value, str))  # an algorithm
    }

"""What a run begins with that starts from another: its parameters, state and vocabulary."""

from pathlib import Path

from attention.errors import ConfigError, UserError
from attention.lab.build import Experiment, parameter_keys
from attention.lab.runs import load as trained
from attention.lab.storage import directory


def load(experiment: Experiment, path: Path) -> trained.Trained | None:
    """The best checkpoint of ``train.init_from``; None without one, or once ``path`` has its own.

    Args:
      experiment: of the run that begins.
      path: its workdir.

    Raises:
      OSError: there is no such run, it has no checkpoint yet, or it is damaged.
      ValueError: it is of another model or vocabulary, or damaged.
    """
    source = experiment.loop.init_from
    if source is None or _has_begun(experiment, path):
        return None
    try:
        was = parameter_keys(directory.read_config(source))
        if changes := directory.differences(was, experiment.parameter_keys):
            raise ConfigError(
                f"the model or vocabulary of {source} is another ({'; '.join(changes)}); make them "
                "alike, or start from another run"
            )
        start = trained.load(source, allow_import=experiment.imports)
    except UserError as error:
        raise ConfigError(f"config.train.init_from: {error}") from None
    kept = path / "tokenizer.model"
    if kept.exists() and kept.read_bytes() != start.task.tokenizer.model:
        raise ConfigError(
            f"config.train.init_from: the vocabulary of {source} is another than that of {path}; "
            "choose another --workdir"
        )
    return start


def _has_begun(experiment: Experiment, path: Path) -> bool:
    if not (path / "checkpoints").is_dir():
        return False
    with trained.open_checkpoints(experiment, path, read_only=True) as checkpoints:
        return bool(checkpoints.steps())

"""The directories of a run's checkpoints: which there are, which are whole, which may go."""

import json
import re
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

from attention.errors import RunError
from attention.lab.storage import checksums

NOTES = "notes.json"  # beside the arrays: the data's state, the score, shapes and dtypes


class Damaged(RunError):
    """A checkpoint that is not what was saved."""


class StepDirectories:
    """A directory a step, named by its number, sealed (see ``checksums``) before it has that name.

    Args:
      directory: where they lie.
      sign: 1 if a higher score is better, -1 if a lower one is.
    """

    def __init__(self, directory: Path, sign: int):
        self.directory = directory
        self._sign = sign

    def path(self, step: int) -> Path:
        """Where a step's checkpoint lies."""
        return self.directory / str(step)

    def numbered(self) -> tuple[int, ...]:
        """The steps that have a directory, in order."""
        names = (path.name for path in self.directory.iterdir())
        return tuple(sorted(int(name) for name in names if re.fullmatch("0|[1-9][0-9]*", name)))

    def sealed(self) -> tuple[int, ...]:
        """The steps that have a directory with a seal, in order."""
        return tuple(s for s in self.numbered() if (self.path(s) / checksums.NAME).is_file())

    def begin(self, step: int, notes: dict[str, Any]) -> Path:
        """Makes the directory that is to be a step's, still under another name."""
        path = self.directory / f"saving.{step}"
        path.mkdir()
        (path / NOTES).write_text(json.dumps(notes), encoding="utf-8")
        return path

    def finish(self, step: int, path: Path) -> None:
        """Seals a directory and gives it its name."""
        checksums.write(path)
        path.rename(self.path(step))
        checksums.sync(self.directory)

    def prune(self, keep: int) -> None:
        """Deletes all but the latest ``keep`` and the best."""
        steps = self.sealed()
        for step in {*steps[:-keep]} - {self.best()}:
            leaving = self.directory / f"deleting.{step}"
            self.path(step).rename(leaving)
            shutil.rmtree(leaving)

    def clean(self) -> None:
        """Removes what a killed process left half done; moves aside what nobody finished."""
        for kind in ("saving.*", "deleting.*"):
            for path in self.directory.glob(kind):
                shutil.rmtree(path)
        for step in sorted({*self.numbered()} - {*self.sealed()}):
            warnings.warn(f"{self._damaged(step, f'{checksums.NAME} is missing')}", stacklevel=3)
            self.move_aside(step)

    def check(self, step: int) -> None:
        """Raises Damaged, which names the file, unless a step is what was saved."""
        try:
            checksums.check(self.path(step))
        except OSError as error:
            raise self._damaged(step, error) from None

    def notes(self, step: int) -> dict[str, Any]:
        """What ``begin`` was given for a step; raises Damaged as ``check`` does."""
        try:
            notes: dict[str, Any] = json.loads(checksums.read(self.path(step), NOTES))
        except (OSError, ValueError) as error:
            raise self._damaged(step, error) from None
        return notes

    def best(self, *, strict: bool = False) -> int | None:
        """The step with the best score; one whose notes are damaged has none or, strict, raises."""
        scores = {}
        for step in self.sealed():
            try:
                scores[step] = self.notes(step)["score"]
            except Damaged:
                if strict:
                    raise
        scored = [step for step, score in scores.items() if score is not None]
        return max(scored, key=lambda step: self._sign * scores[step], default=None)

    def move_aside(self, step: int) -> None:
        """Gives a step's directory another name: it is no checkpoint any more."""
        self.path(step).rename(self.directory / f"damaged.{step}.{time.time_ns()}")

    def _damaged(self, step: int, fault: Exception | str) -> Damaged:
        others = ", ".join(str(s) for s in self.sealed() if s != step) or "none"
        return Damaged(
            f"checkpoint {step} in {self.directory} is damaged ({fault}); the others are {others}"
        )

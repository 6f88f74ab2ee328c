"""The table of a sweep: ranked by validation score, seeds grouped, failures with their reasons."""

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attention.lab.storage.files import atomic_write

SEED = "seed"
FINISHED, FAILED, MISSING = "finished", "failed", "not run"


@dataclass(frozen=True)
class Row:
    """A trial, and what came of it.

    Attributes:
      name: of the trial.
      overrides: values by config key.
      score: of the best checkpoint on the validation split; None if it has not finished.
      reason: why it failed; empty if it has not.
    """

    name: str
    overrides: Mapping[str, Any]
    score: float | None = None
    reason: str = ""

    @property
    def state(self) -> str:
        """Whether it has finished, failed, or not run yet."""
        return FINISHED if self.score is not None else FAILED if self.reason else MISSING


@dataclass(frozen=True)
class Group:
    """Trials that differ in their seed alone.

    Attributes:
      overrides: what they share.
      rows: the trials.
    """

    overrides: Mapping[str, Any]
    rows: tuple[Row, ...]

    @property
    def scores(self) -> list[float]:
        """The scores of those that finished."""
        return [row.score for row in self.rows if row.score is not None]

    @property
    def mean(self) -> float | None:
        """The mean score, or None if none has finished."""
        return statistics.fmean(self.scores) if self.scores else None

    @property
    def deviation(self) -> float | None:
        """The sample's standard deviation of at least two scores."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None


def ranked(rows: Sequence[Row], mode: str) -> list[Group]:
    """Groups by their mean score, the best first; those without a score are last."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(json.dumps(_shared(row), sort_keys=True), []).append(row)
    made = [Group(_shared(several[0]), tuple(several)) for several in groups.values()]
    sign = -1 if mode == "max" else 1
    return sorted(made, key=lambda g: math.inf if g.mean is None else sign * g.mean)


def winner(groups: Sequence[Group], mode: str) -> Row | None:
    """The best trial of the best group."""
    if not groups or groups[0].mean is None:
        return None
    best = max if mode == "max" else min
    finished = [row for row in groups[0].rows if row.score is not None]
    return best(finished, key=lambda row: row.score or 0.0)


def markdown(
    groups: Sequence[Group], metric: str, won: str = "", test: Mapping[str, Any] | None = None
) -> str:
    """The table for people: one line for each group, then the failures."""
    keys = sorted({key for group in groups for key in group.overrides})
    head = ["rank", *keys, f"valid {metric}", "trials"]
    lines = [_line(head), _line(["---"] * len(head))]
    for rank, group in enumerate(groups, start=1):
        values = [_show(group.overrides.get(key, "")) for key in keys]
        place = str(rank) if group.mean is not None else ""
        done = f"{len(group.scores)} of {len(group.rows)}"
        lines.append(_line([place, *values, spread(group), done]))
    if won:
        shown = f"{test['score']:.2f} {metric} on the test split" if test else "not yet tested"
        lines += ["", f"Winner: {won}, {shown}."]
    for row in (row for group in groups for row in group.rows if row.score is None):
        because = f": {row.reason}" if row.reason else ""
        lines += ["", f"{row.state.capitalize()}: {row.name}{because}"]
    return "\n".join(lines) + "\n"


def write_csv(path: Path, groups: Sequence[Group], metric: str) -> None:
    """The table for programs: one line for each trial, in the order of the ranks."""
    keys = sorted({key for group in groups for row in group.rows for key in row.overrides})
    stream = io.StringIO(newline="")
    out = csv.writer(stream)
    out.writerow(["rank", "name", *keys, "state", f"valid_{metric}", "mean", "deviation", "reason"])
    for rank, group in enumerate(groups, start=1):
        for row in group.rows:
            values = [_show(row.overrides.get(key, "")) for key in keys]
            figures = [row.score, group.mean, group.deviation]  # None is written as nothing
            place = rank if group.mean is not None else ""
            out.writerow([place, row.name, *values, row.state, *figures, row.reason])
    atomic_write(path, stream.getvalue())


def spread(group: Group) -> str:
    """`36.20 ± 0.31` of several seeds, `36.20` of one."""
    if group.mean is None:
        return ""
    if group.deviation is None:
        return f"{group.mean:.2f}"
    return f"{group.mean:.2f} ± {group.deviation:.2f}"


def label(group: Group) -> str:
    """A group by its values, for pictures."""
    parts = [f"{key.rpartition('.')[2]}={_show(value)}" for key, value in group.overrides.items()]
    return ", ".join(parts) or "default"


def _shared(row: Row) -> dict[str, Any]:
    return {key: value for key, value in row.overrides.items() if key != SEED}


def _show(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

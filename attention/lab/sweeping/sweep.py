"""A whole sweep: check every trial, run what is missing, rank, and let the winner meet the test."""

import contextlib
import functools
import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attention.errors import ConfigError
from attention.lab import build
from attention.lab.pictures import plots
from attention.lab.storage.directory import ON_CHANGE, locked
from attention.lab.storage.files import atomic_write, read_object
from attention.lab.sweeping import table
from attention.lab.sweeping.commands import Job, Outcome, run_job, say
from attention.lab.sweeping.ray_pool import RayPool
from attention.lab.sweeping.running import Pool, row_of, run_trials
from attention.lab.sweeping.slurm_pool import SlurmPool
from attention.lab.sweeping.spaces import Overrides, Sweep
from attention.lab.sweeping.studies import Study
from attention.lab.sweeping.table import Group, Row
from attention.lab.sweeping.trials import Trial, check_taken, flags, name_of, spec_of

EXECUTORS = ("local", "ray", "slurm", "print")
Resolve = Callable[[str, list[str]], dict[str, Any]]
OpenPool = Callable[[], contextlib.AbstractContextManager[Pool]]


@dataclass(frozen=True, eq=False)
class Plan:
    """A sweep and how it was asked for.

    Attributes:
      sweep: what to try.
      spec: the experiment's file, and its argument behind a colon.
      said: flags of the config that hold for every trial.
      workdir: where everything goes.
      resolve: makes the config of a spec and flags.
      program: what starts ``launch.py``.
      on_change: see ``attention.lab.storage.directory.claimed``.
    """

    sweep: Sweep
    spec: str
    said: Sequence[str]
    workdir: Path
    resolve: Resolve
    program: Sequence[str]
    on_change: str = "refuse"

    def trial(self, overrides: Mapping[str, Any]) -> Trial:
        """A trial of overrides that can be used; raises as ``resolve`` and ``experiment`` do."""
        spec = spec_of(self.spec, overrides)
        config = self.resolve(spec, [*self.said, *flags(overrides)])
        check_taken(overrides, config)
        name, experiment = name_of(overrides), build.experiment(config)
        return Trial(name, dict(overrides), experiment, self.workdir / "trials" / name)

    def command(self, trial: Trial) -> list[str]:
        """What trains a trial and evaluates it on the validation split."""
        return [
            *self.program,
            "train",
            f"--config={spec_of(self.spec, trial.overrides)}",
            f"--workdir={trial.path}",
            "--final_split=valid",
            *([f"--on_change={self.on_change}"] if self.on_change != "refuse" else []),
            *self.said,
            *flags(trial.overrides),
        ]

    def job(self, trial: Trial) -> Job:
        """The same for a pool."""
        log = trial.path / "log.txt"
        return Job(trial.name, tuple(self.command(trial)), os.getcwd(), str(log))


def sweep(plan: Plan, *, executor: str = "local", open_pool: OpenPool | None = None) -> int:
    """Runs the trials that have not finished, writes the table, evaluates the winner on test.

    Args:
      plan: what to try.
      executor: "local" (Ray on this machine), "ray" (a running cluster), "slurm", or "print",
        which writes the commands of what is missing to stdout and runs none.
      open_pool: opens what runs the trials, instead of the executor's.

    Returns:
      The exit code: 0, or 1 if a trial or the evaluation failed.

    Raises:
      ValueError, TypeError, NotImplementedError: a trial cannot be used; nothing was started.
      OSError: the directory cannot be written or is in use.
    """
    _check(plan, executor)
    corners = [plan.trial(overrides) for overrides in _corners(plan.sweep)]
    metrics = sorted({trial.experiment.checkpointing.metric for trial in corners})
    if len(metrics) > 1:
        raise ConfigError(f"checkpoint.metric is {', '.join(metrics)}; one sweep needs one metric")
    mode = corners[0].experiment.checkpointing.metric_mode
    plan.workdir.mkdir(parents=True, exist_ok=True)
    open_pool = open_pool or functools.partial(_open, plan, executor)
    with locked(plan.workdir), contextlib.ExitStack() as stack:
        # Opened by its first job.
        pool = functools.cache(lambda: stack.enter_context(open_pool()))
        run = run_job if executor == "print" else functools.partial(_run_in, pool)
        if executor == "print":
            rows = [row_of(trial) for trial in corners]
            _print_missing(plan, corners, rows)
        elif plan.sweep.trials:
            count = len(corners)  # all are handed over: the pool has a queue
            rows = run_trials(iter(corners), pool, plan.job, count=count, parallel=count)
        else:
            study = Study(plan.sweep, plan.workdir / "study.journal", mode, plan.trial)
            count, parallel = plan.sweep.count, plan.sweep.parallel
            rows = run_trials(
                iter(study), pool, plan.job, count=count, parallel=parallel, tell=study.tell
            )
        code, summary = _conclude(plan, rows, metrics[0], mode, run)
    if executor != "print":  # whose stdout is commands and nothing else
        print(json.dumps(summary), flush=True)
    return code


def _run_in(pool: Callable[[], Pool], job: Job) -> Outcome:
    pool().submit(job)
    return pool().wait()[1]


def _check(plan: Plan, executor: str) -> None:
    if executor not in EXECUTORS:
        raise ConfigError(f"executor is {executor!r}; choose one of {', '.join(EXECUTORS)}")
    if plan.on_change not in ON_CHANGE:
        raise ConfigError(f"on_change is {plan.on_change!r}; choose one of {', '.join(ON_CHANGE)}")
    if executor == "print" and not plan.sweep.trials:
        raise ConfigError("a study needs each score before it goes on, so it cannot be printed")
    if (plan.workdir / "config.json").exists():
        raise ConfigError(f"{plan.workdir} holds a single run; choose another --workdir")


def _corners(sweep: Sweep) -> list[Overrides]:
    """The trials; of a study a few that show whether its keys and ranges can be used."""
    if sweep.trials:
        return list(sweep.trials)
    middle = {name: space.ends[0] for name, space in sweep.ranges.items()}
    ends = [(name, value) for name, space in sweep.ranges.items() for value in space.ends]
    return [middle | {name: value} for name, value in ends]


def _open(plan: Plan, executor: str) -> contextlib.AbstractContextManager[Pool]:
    if executor == "slurm":
        return SlurmPool(plan.sweep, plan.workdir / "slurm")
    return RayPool(plan.sweep, cluster=executor == "ray")


def _print_missing(plan: Plan, trials: Sequence[Trial], rows: Sequence[Row]) -> None:
    """One command a line, each for a shell in this directory."""
    missing = [t for t, row in zip(trials, rows, strict=True) if row.score is None]
    for trial in missing:
        print(shlex.join(plan.command(trial)))
    if missing:
        say(f"{len(missing)} commands, to be run in {os.getcwd()}; sweep again to collect results")


def _conclude(
    plan: Plan, rows: list[Row], metric: str, mode: str, run: Callable[[Job], Outcome]
) -> tuple[int, dict[str, Any]]:
    """Writes the table, with the winner's score on the test split once all trials were tried.

    Returns:
      The exit code, and what is to be the last line on stdout.
    """
    groups = table.ranked(rows, mode)
    best = table.winner(groups, mode)
    report, wrong = None, ""
    if best is not None and all(row.state != table.MISSING for row in rows):
        report, wrong = _test(plan, best, run)
    _write(plan.workdir, groups, metric, best.name if best else "", report)
    if wrong:
        say(f"the winner could not be evaluated on the test split: {wrong}")
    states = [row.state for row in rows]
    failed = states.count(table.FAILED)
    return int(bool(failed or wrong)), {
        "winner": best.name if best else None,
        "overrides": best.overrides if best else None,
        "metric": metric,
        "score": groups[0].mean,
        "deviation": groups[0].deviation,
        "finished": states.count(table.FINISHED),
        "failed": failed,
        "test": report,
        "workdir": str(plan.workdir),
    }


def _test(
    plan: Plan, best: Row, run: Callable[[Job], Outcome]
) -> tuple[dict[str, Any] | None, str]:
    """The winner's report on the test split, and why there is none; made once."""
    file = plan.workdir / "test.json"
    kept = read_object(file, "remove it") if file.is_file() else {}
    if (kept.get("trial"), kept.get("valid")) == (best.name, best.score):
        return kept["report"], ""
    path = plan.workdir / "trials" / best.name
    command = [*plan.program, "evaluate", f"--workdir={path}", "--split=test"]
    command += [f"--allow_import={name}" for name in plan.trial(best.overrides).experiment.imports]
    outcome = run(Job("test", tuple(command), os.getcwd(), str(plan.workdir / "test.log")))
    if outcome.reason:
        return None, outcome.reason
    report = json.loads(outcome.last)
    kept = {"trial": best.name, "valid": best.score, "report": report}
    atomic_write(file, json.dumps(kept) + "\n")
    return report, ""


def _write(
    workdir: Path,
    groups: list[Group],
    metric: str,
    best: str,
    report: Mapping[str, Any] | None,
) -> None:
    text = table.markdown(groups, metric, best, report)
    (workdir / "results.md").write_text(text, encoding="utf-8")
    table.write_csv(workdir / "results.csv", groups, metric)
    scored = [group for group in groups if group.scores]
    if scored:
        labels, scores = [table.label(g) for g in scored], [g.scores for g in scored]
        plots.ranking(labels, scores, metric, workdir / "plots" / "sweep.png")
    say(text)

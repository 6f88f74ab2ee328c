"""Runs what is missing of a sweep, one process a trial, and shows how far it is."""

from collections.abc import Callable, Iterator
from typing import Any

from attention.lab.storage.metrics import clock
from attention.lab.sweeping.commands import Job, Outcome, say
from attention.lab.sweeping.table import FAILED, FINISHED, Row
from attention.lab.sweeping.trials import Trial, failure_of, score_of, write_failure

# Runs jobs side by side: ``submit(job)`` takes a job, which waits until there is room; ``wait()``
# gives the next job that ends, and its Outcome; ``slots`` is for how many jobs there is room.
Pool = Any


def run_trials(
    trials: Iterator[Trial],
    pool: Callable[[], Pool],
    job_of: Callable[[Trial], Job],
    *,
    count: int,
    parallel: int,
    tell: Callable[[Trial, float], None] = lambda trial, score: None,
) -> list[Row]:
    """Runs each trial that has not finished, and returns a row for each, in the order asked.

    Args:
      trials: the trials; each is taken when there is room for it.
      pool: gives what runs them; not called before there is a job.
      job_of: makes a trial's job.
      count: how many trials there are in all.
      parallel: how many may run at once; 0 for as many as there is room for.
      tell: takes the score of each trial that has finished.
    """
    rows: dict[str, Row | None] = {}  # None while it runs
    running: dict[str, Trial] = {}
    seconds: list[float] = []
    more = True
    while more or running:
        while more and len(running) < (parallel or max(1, pool().slots)):
            trial = next(trials, None)
            if trial is None:
                more = False
                break
            row = rows[trial.name] if trial.name in rows else row_of(trial)
            if row is not None and row.score is not None:
                rows[trial.name] = row
                tell(trial, row.score)
            elif trial.name not in rows:
                rows[trial.name], running[trial.name] = None, trial
                pool().submit(job_of(trial))
        if running:
            say(_progress(rows, count, pool().slots, seconds))
            job, outcome = pool().wait()
            trial = running.pop(job.name)
            row = rows[trial.name] = settle(trial, outcome)
            seconds.append(outcome.seconds)
            shown = f"failed: {row.reason}" if row.score is None else f"scored {row.score:.2f}"
            say(f"{trial.name} {shown}")
            if row.score is not None:
                tell(trial, row.score)
    return [row for row in rows.values() if row is not None]


def row_of(trial: Trial) -> Row:
    """What the trial's directory says; what is damaged there counts as not run."""
    try:
        score, reason = score_of(trial), failure_of(trial) or ""
    except (ValueError, OSError):
        score, reason = None, ""
    return Row(trial.name, trial.overrides, score, "" if score is not None else reason)


def settle(trial: Trial, outcome: Outcome) -> Row:
    """The row of a trial that has just ended; why it failed is kept in its directory."""
    score, reason = None, outcome.reason
    if not reason:
        try:
            score = score_of(trial)
        except (ValueError, OSError) as error:
            reason = str(error)
        if score is None:
            reason = reason or "it ended without a finite score, or of another version"
    write_failure(trial, reason or None)
    return Row(trial.name, trial.overrides, score, reason)


def _progress(rows: dict[str, Row | None], count: int, slots: int, seconds: list[float]) -> str:
    """One line: trials done, running, failed and to come, and the time that they will take."""
    states = [row.state if row else "" for row in rows.values()]
    done, failed = states.count(FINISHED), states.count(FAILED)
    left = max(count - done - failed, states.count(""))
    at_once = max(1, min(slots, left))
    parts = [f"{done} done", f"{min(at_once, states.count(''))} running", f"{failed} failed"]
    parts.append(f"{left} of {count} left")
    if seconds:
        mean = sum(seconds) / len(seconds)
        parts.append(f"about {clock(mean * left / at_once)} to go")
    return f"sweep: {', '.join(parts)}"

"""Runs jobs on SLURM, by submitit."""

import contextlib
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

from attention.errors import ConfigError
from attention.lab.sweeping.commands import Job, Outcome, one_line, run_job
from attention.lab.sweeping.spaces import Sweep


class SlurmPool(contextlib.AbstractContextManager):
    """A SLURM job for each job; use it in ``with``, whose end cancels what still runs.

    Args:
      needs: the sweep, for what a job needs.
      folder: where submitit keeps its files; every node must see it.
      cluster: "slurm", or another of submitit's executors.
      poll: seconds between looks at the queue.

    Raises:
      ValueError: submitit or SLURM is missing, or a setting is unknown to submitit.
    """

    slots = 1_000  # SLURM has a queue of its own

    def __init__(self, needs: Sweep, folder: Path, *, cluster: str = "slurm", poll: float = 5.0):
        # Else its import takes over the process's logging, and writes to stdout.
        os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")
        try:
            import submitit
        except ImportError:
            raise ConfigError(
                "--executor=slurm needs submitit: pip install -e .[sweep], or print the commands "
                "for another launcher with --executor=print"
            ) from None
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise ConfigError("--executor=slurm: there is no sbatch here; run it where SLURM is")
        self._submitit, self._poll = submitit, poll
        self._jobs: list[tuple[Job, Any]] = []
        self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        settings = {"name": "sweep", "cpus_per_task": math.ceil(needs.cpus)}
        if needs.gpus:
            settings["gpus_per_node"] = math.ceil(needs.gpus)
        try:
            self._executor.update_parameters(**settings | dict(needs.slurm))
        except (NameError, TypeError, ValueError) as error:
            raise ConfigError(f"needing(slurm=...): {one_line(str(error))}") from None

    def submit(self, job: Job) -> None:
        """Puts a job into SLURM's queue."""
        self._jobs.append((job, self._executor.submit(run_job, job)))

    def wait(self) -> tuple[Job, Outcome]:
        """The next job that ends."""
        while True:
            for entry in self._jobs:
                if entry[1].done():
                    self._jobs.remove(entry)
                    return entry[0], self._outcome(entry[1])
            time.sleep(self._poll)

    def __exit__(self, *exc: object) -> None:
        for _, handle in self._jobs:
            handle.cancel()

    def _outcome(self, handle: Any) -> Outcome:
        try:
            return handle.result()
        except self._submitit.core.utils.UncompletedJobError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            last = one_line(lines[-1])[:300] if lines else "no word"
            return Outcome(f"SLURM job {handle.job_id} ended in state {handle.state}: {last}")

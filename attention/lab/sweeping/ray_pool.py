"""Runs jobs on Ray: one started on this machine, or a cluster that runs already."""

import contextlib
import math
import os
from typing import Any

from attention.errors import ConfigError
from attention.lab.sweeping.commands import Job, Outcome, one_line, run_job
from attention.lab.sweeping.spaces import Sweep

_ATTEMPTS = 3  # Ray waits half a minute, which on a machine that is busy may be too short
MISSING = (
    "--executor={0} needs ray, which is not installed: pip install -e .[sweep], or print the "
    "commands for another launcher with --executor=print"
)


class RayPool(contextlib.AbstractContextManager):
    """Jobs as Ray tasks, each of which starts one process; use it in ``with``.

    Args:
      needs: the sweep, for what a job needs.
      cluster: attach to a running cluster, where paths mean the same on every machine; else start
        a Ray of our own, which only this machine can reach and which ends with us.

    Raises:
      ValueError: ray is missing, there is no cluster, or it can never have what a job needs.
      OSError: Ray did not start.
    """

    def __init__(self, needs: Sweep, *, cluster: bool = False):
        # Read when ray is imported, and by the processes that it starts.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if not cluster:  # or Ray takes 127.0.0.1 for the outer address, and listens on all of them
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # A job that asks for no GPU sees those there are, as it would without Ray.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError:
            raise ConfigError(MISSING.format("ray" if cluster else "local")) from None
        self._ray = ray
        self._pending: dict[Any, Job] = {}
        self._start(cluster, needs)
        wanted = {"CPU": needs.cpus, "GPU": needs.gpus, **needs.resources}
        there = ray.cluster_resources()
        rooms = [there.get(name, 0) / much for name, much in wanted.items() if much]
        self.slots = int(min(rooms, default=1))  # for so many jobs there is room now
        if not self.slots and not cluster:
            ray.shutdown()
            asked = ", ".join(f"{much:g} {name}" for name, much in wanted.items() if much)
            raise ConfigError(
                f"a trial needs {asked}, which this machine has not: change "
                "needing(...) in sweep(), or use --executor=ray on a cluster that has it"
            )
        self._task = ray.remote(run_job).options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            resources=dict(needs.resources),
            max_retries=0,
        )

    def submit(self, job: Job) -> None:
        """Queues a job; Ray starts it when there is room."""
        self._pending[self._task.remote(job)] = job

    def wait(self) -> tuple[Job, Outcome]:
        """The next job that ends."""
        (ready,), _ = self._ray.wait([*self._pending], num_returns=1)
        job = self._pending.pop(ready)
        try:
            return job, self._ray.get(ready)
        except self._ray.exceptions.RayError as error:  # the worker died, its job with it
            kind = type(error).__name__
            return job, Outcome(f"Ray could not finish it: {kind}: {one_line(str(error))[:300]}")

    def __exit__(self, *exc: object) -> None:
        self._ray.shutdown()

    def _start(self, cluster: bool, needs: Sweep) -> None:
        quiet: dict[str, Any] = dict(log_to_driver=False, logging_level="ERROR")
        if cluster:
            try:
                self._ray.init(address="auto", **quiet)
            except ConnectionError:
                raise ConfigError(
                    "--executor=ray found no running cluster: start one (ray start --head), set "
                    "RAY_ADDRESS, or leave the flag out to start Ray on this machine alone"
                ) from None
            return
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._ray.init(
                    address="local",
                    num_cpus=max(_cores(), math.ceil(needs.cpus)),
                    include_dashboard=False,
                    object_store_memory=100_000_000,  # it holds commands and lines, nothing more
                    _node_ip_address="127.0.0.1",
                    **quiet,
                )
                return
            except Exception as error:  # Ray has no narrower one for a start that took too long
                self._ray.shutdown()
                if not left:
                    raise ConfigError(
                        f"Ray did not start on this machine ({one_line(str(error))[:200]}); try "
                        "again, or print the commands with --executor=print"
                    ) from None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

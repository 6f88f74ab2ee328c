"""Times two things in turn, so that what else the machine does falls on both alike.

Other benchmarks import this; it measures nothing by itself.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

HEADER = (
    "| what | times as fast: median | quartiles | seconds | seconds of the other |\n"
    "| --- | ---: | ---: | ---: | ---: |"
)


class Ratio(NamedTuple):
    """How many times as fast as b a is: median and quartiles of the pairs; median seconds."""

    median: float
    low: float
    high: float
    seconds_a: float
    seconds_b: float

    def row(self, name: str) -> str:
        """A row of the Markdown table that ``HEADER`` begins."""
        return (
            f"| {name} | {self.median:.2f} | {self.low:.2f} to {self.high:.2f} "
            f"| {self.seconds_a:.4g} | {self.seconds_b:.4g} |"
        )


def use_processors(count: int = 2) -> None:
    """Keeps this process to ``count`` processors; to be called before jax or torch is imported.

    Raises:
      RuntimeError: if the process may use fewer.
    """
    there = sorted(os.sched_getaffinity(0))
    if len(there) < count:
        raise RuntimeError(f"{count} processors are needed, and this process may use {len(there)}")
    os.sched_setaffinity(0, there[:count])
    os.environ["OMP_NUM_THREADS"] = str(count)


def paired(
    a: Callable[[], None],
    b: Callable[[], None],
    *,
    pairs: int = 15,
    warm_up: int = 2,
    pause: float = 0.0,
) -> Ratio:
    """Runs a and b in turn, each first in every second pair, and compares within pairs.

    Args:
      a: what is measured; it returns when its work is done (``jax.block_until_ready``).
      b: what it is measured against, likewise.
      pairs: how often each is timed.
      warm_up: runs of each beforehand, which compile and fill caches.
      pause: seconds before each run, in which threads of the other that still spin come to rest.
    """
    if pairs < 2:
        raise ValueError(f"pairs is {pairs}: quartiles need at least 2")
    for _ in range(warm_up):
        a()
        b()
    seconds: list[tuple[float, float]] = []
    for number in range(pairs):
        if number % 2:
            second_b = _time(b, pause)
            seconds.append((_time(a, pause), second_b))
        else:
            seconds.append((_time(a, pause), _time(b, pause)))
    low, median, high = statistics.quantiles(
        [second_b / second_a for second_a, second_b in seconds], n=4, method="inclusive"
    )
    return Ratio(
        median, low, high, *(statistics.median(side) for side in zip(*seconds, strict=True))
    )


def _time(run: Callable[[], None], pause: float) -> float:
    time.sleep(pause)
    started = time.perf_counter()
    run()
    return time.perf_counter() - started

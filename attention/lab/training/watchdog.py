"""Ends a process in which nothing happens any more, as when one of many devices hangs."""

import contextlib
import faulthandler
from collections.abc import Iterator


class Watchdog:
    """Ends the process unless ``pet`` is called again in time; waits for its first call.

    Then the stacks of all threads go to stderr, and the exit code is 1.

    Args:
      seconds: the time; 0 for any.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def pet(self) -> None:
        """Starts the time anew."""
        if self._seconds:
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=2)  # stderr

    @contextlib.contextmanager
    def asleep(self) -> Iterator[None]:
        """Time that passes meanwhile does not count."""
        self.close()
        yield
        self.pet()

    def close(self) -> None:
        """Stops the time until ``pet`` is called again."""
        if self._seconds:
            faulthandler.cancel_dump_traceback_later()

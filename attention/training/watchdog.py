"""Ends a process in which nothing happens any more, as when one of many devices hangs."""

import contextlib
import faulthandler
import os
import sys
import threading
from collections.abc import Iterator

from attention.training.interrupts import same_command

_TICKS = 20  # a process that was itself stopped for a while has not let them pass


class Watchdog:
    """Counts the time since ``pet`` was last called, from its first call on."""

    def __init__(self) -> None:
        self._waited = 0
        self._awake = False
        self._what = ""

    def pet(self, what: str) -> None:
        """Something has happened: ``what``."""
        self._waited, self._what, self._awake = 0, what, True

    @contextlib.contextmanager
    def asleep(self) -> Iterator[None]:
        """Time that passes meanwhile does not count."""
        self._awake, awake = False, self._awake
        try:
            yield
        finally:
            self._waited, self._awake = 0, awake

    def _watch(self, seconds: float, done: threading.Event) -> None:
        while not done.wait(seconds / _TICKS):
            self._waited += 1
            if self._awake and self._waited >= _TICKS:
                self._end(seconds)

    def _end(self, seconds: float) -> None:
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        print(
            f"nothing has happened for {seconds:g} seconds after {self._what}, so this process"
            f" ends (train.watchdog_seconds); to go on from the last checkpoint: {same_command()}",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)


@contextlib.contextmanager
def watchdog(seconds: float) -> Iterator[Watchdog]:
    """Watches over what is done within: see ``Watchdog``.

    When ``seconds`` pass without a ``pet``, the stacks of all threads go to stderr, then a line
    that says how to go on, and the process ends with exit code 1. Before the first ``pet``, while
    programs are compiled, it may take any time. 0 watches over nothing.
    """
    dog, done = Watchdog(), threading.Event()
    thread = threading.Thread(target=dog._watch, args=(seconds, done), daemon=True)
    if seconds:
        thread.start()
    try:
        yield dog
    finally:
        done.set()
        if seconds:
            thread.join()

"""SIGTERM and SIGINT: a training ends its step and saves; whatever else runs just ends."""

import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_ASKED = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """The process was asked to end; ``code`` is the exit code that says by which signal."""

    def __init__(self, number: int, done: str = ""):
        name = signal.Signals(number).name
        super().__init__(f"stopped by {name}{done}; to go on: {shlex.join(sys.orig_argv)}")
        self.code = 128 + number


class Interrupts:
    """Whether the process was asked to end: call it, as ``train(should_stop=...)`` does."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> bool:
        return self.number != 0

    def raise_if_asked(self, done: str) -> None:
        """Raises Interrupted, which tells what was done, if the process was asked to end."""
        if self.number:
            raise Interrupted(self.number, done)


@contextlib.contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Notes the first SIGTERM and the first SIGINT; a second of the same kind kills at once.

    Outside the main thread, where Python takes no signals, nothing is changed.
    """
    asked = Interrupts()

    def note(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        asked.number = asked.number or number

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, note) for number in _ASKED}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def end_when_asked() -> None:
    """From here on, a SIGTERM or SIGINT raises Interrupted; a second one kills at once."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Interrupted(number)

    for number in _ASKED:
        signal.signal(number, end)

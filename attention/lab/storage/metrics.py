"""Where metrics go: metrics.jsonl, TensorBoard, and a line or a bar for whoever watches."""

import contextlib
import json
import math
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from attention.errors import writing
from attention.lab.storage.files import atomic_write


class MetricsWriter(contextlib.AbstractContextManager):
    """Writes metrics of a run into its workdir, and its progress to a stream.

    ``metrics.jsonl`` has one JSON object a line, with "step" and the metrics at full precision
    (null if not finite). ``tb/`` has the same for TensorBoard. Close it, or use it in ``with``.

    Args:
      workdir: an existing directory.
      steps: the number of the last step.
      resume_step: entries of later steps, and a line cut short, are dropped.
      stream: for progress: a bar if it is a terminal, else a line each time metrics are logged.

    Raises:
      OSError: if the workdir cannot be written.
    """

    def __init__(
        self,
        workdir: str | Path,
        *,
        steps: int,
        resume_step: int = 0,
        stream: TextIO | None = None,
    ):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        self._steps = steps
        self._stream = sys.stderr if stream is None else stream
        path = Path(workdir) / "metrics.jsonl"
        _drop_after(path, resume_step)
        self._file = path.open("a", encoding="utf-8")
        (Path(workdir) / "tb").mkdir(exist_ok=True)
        # Not SummaryWriter: when its thread dies, as on a full disk, its callers wait for ever.
        self._board = EventsWriter(str(Path(workdir) / "tb" / "events"))
        if resume_step:
            # Makes TensorBoard drop what came later.
            start = SessionLog(status=SessionLog.START)
            self._board.write_event(_event(resume_step + 1, session_log=start))
        self._bar = self._make_bar(resume_step) if self._stream.isatty() else None

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds one line to metrics.jsonl, flushed, and the same to TensorBoard."""
        from tensorboardX.summary import scalar

        finite = {n: float(x) if math.isfinite(x) else None for n, x in metrics.items()}
        with writing(f"{self._file.name} or tb/"):
            for name, value in metrics.items():
                self._board.write_event(_event(step, summary=scalar(name, float(value))))
            self._file.write(json.dumps({"step": step, **finite}, allow_nan=False) + "\n")
            self._file.flush()
            self._board.flush()

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Moves the bar, if there is one; fit for ``train(on_step=...)``."""
        if self._bar is not None:
            self._bar.set_postfix_str(_summary(metrics), refresh=False)
            self._bar.update(step - self._bar.n)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes metrics, and a line of progress if there is no bar; fit for ``on_log``."""
        self.write(step, metrics)
        if self._bar is None:
            left = clock((self._steps - step) * metrics.get("perf/step_seconds", math.nan))
            self.say(f"step {step}/{self._steps}  {_summary(metrics)}  {left} left")

    def say(self, text: str) -> None:
        """Prints a line to the stream, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Flushes and closes everything."""
        if self._bar is not None:
            self._bar.close()
        for part in (self._file, self._board):
            with contextlib.suppress(OSError):  # what could not be flushed has told so before
                part.close()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _make_bar(self, start: int) -> Any:
        from tqdm import tqdm

        return tqdm(
            total=self._steps,
            initial=start,
            file=self._stream,
            unit="step",
            dynamic_ncols=True,
            bar_format="{n_fmt}/{total_fmt} |{bar}| {remaining} left, {postfix}",
        )


def _event(step: int, **content: Any) -> Any:
    """An event as TensorBoard reads it."""
    from tensorboardX.proto.event_pb2 import Event

    return Event(step=step, wall_time=time.time(), **content)


def read_metrics(workdir: str | Path) -> list[dict[str, float | None]]:
    """Returns the lines of a run's metrics.jsonl, without those that are damaged or cut short.

    Raises:
      OSError: there is no such file, or it cannot be read.
    """
    return [entry for _, entry in _entries(Path(workdir) / "metrics.jsonl")]


def _entries(path: Path) -> list[tuple[str, dict[str, float | None]]]:
    """Whole lines and what they say; warns of how many are no metrics of a step."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    written = [line for line in lines[:-1] if line]  # after the last newline: cut short
    found = [(line, entry) for line in written if (entry := _entry(line))]
    if len(found) < len(written):
        damaged = len(written) - len(found)
        warnings.warn(f"{path}: {damaged} damaged lines are left out", stacklevel=3)
    return found


def _entry(line: str) -> dict[str, float | None] | None:
    """The metrics of one line, or None if it is damaged."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = entry.get("step") if isinstance(entry, dict) else None
    numbers = isinstance(step, int) and all(
        value is None or isinstance(value, int | float) for value in entry.values()
    )
    return entry if numbers and not isinstance(step, bool) else None


def _drop_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = [line for line, entry in _entries(path) if (entry["step"] or 0) <= step]
    atomic_write(path, "".join(f"{line}\n" for line in kept))


def _summary(metrics: Mapping[str, float]) -> str:
    parts = []
    if "train/loss" in metrics:
        parts.append(f"loss {metrics['train/loss']:.4f}")
    if "perf/tokens_per_second" in metrics:
        parts.append(f"{metrics['perf/tokens_per_second']:,.0f} tokens/s")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` under an hour; `?` for what is not known."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

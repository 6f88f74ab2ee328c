"""When to give up: after so many evaluations without a better score."""

import dataclasses
import math


@dataclasses.dataclass
class EarlyStop:
    """Counts evaluations in a row without a better score.

    Args:
      patience: how many are allowed; None to go on for ever.
      metric_mode: "max" if a higher score is better, else "min".
    """

    patience: int | None = None
    metric_mode: str = "max"
    best: float | None = None
    since: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.since >= self.patience

    def see(self, score: float) -> None:
        """Takes note of an evaluation's score; one that is not finite is never better."""
        sign = 1 if self.metric_mode == "max" else -1
        if math.isfinite(score) and (self.best is None or sign * score > sign * self.best):
            self.best, self.since = score, 0
        else:
            self.since += 1

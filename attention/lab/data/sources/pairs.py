"""Sentence pairs: what every reader and generator of parallel text hands on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pairs:
    """Source sentences and their targets, in order.

    Args:
        source: sentences of the source side.
        target: sentences of the target side; `target[i]` belongs to `source[i]`.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.source)

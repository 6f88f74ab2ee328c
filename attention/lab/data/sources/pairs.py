"""Sentence pairs: what every reader and generator of parallel text hands on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pairs:
    """Source sentences and their targets, in order.

    Args:
        source: sentences of the source side.
        target: sentences of the target side; `target[i]` belongs to `source[i]`.

    Raises:
        ValueError: the two sides differ in length.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.source) != len(self.target):
            raise ValueError(
                f"source has {len(self.source)} sentences and target has {len(self.target)}: "
                "a pair needs one of each"
            )

    def __len__(self) -> int:
        return len(self.source)

"""The parts of a conjunction."""

from __future__ import annotations

from collections.abc import Iterator

from attention.masks.base import And, Everything, Mask


def conjuncts(mask: Mask | None) -> Iterator[Mask]:
    """The parts that all have to allow a pair, but for those that allow everything."""
    if isinstance(mask, And):
        yield from conjuncts(mask.left)
        yield from conjuncts(mask.right)
    elif mask is not None and not isinstance(mask, Everything):
        yield mask

"""How masks become pytrees, and positions arrays."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import jax
import numpy as np

_M = TypeVar("_M", bound=type)


def pytree(*arrays: str) -> Callable[[_M], _M]:
    """Registers a frozen dataclass as a pytree whose leaves are the fields named.

    Unflattening does not run ``__init__``, so that checks never meet a tracer or a placeholder.
    """

    def register(cls: _M) -> _M:
        static = tuple(f.name for f in dataclasses.fields(cls) if f.name not in arrays)

        def flatten(mask: Any) -> tuple[tuple, tuple]:
            return (
                tuple((jax.tree_util.GetAttrKey(name), getattr(mask, name)) for name in arrays),
                tuple(getattr(mask, name) for name in static),
            )

        def unflatten(meta: tuple, leaves: Iterable) -> Any:
            mask: Any = object.__new__(cls)
            for name, value in zip((*static, *arrays), (*meta, *leaves), strict=True):
                object.__setattr__(mask, name, value)
            return mask

        jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
        return cls

    return register


def dense_positions(q_len: int, k_len: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions 0..q_len-1 and 0..k_len-1 in the shapes that ``Mask.at`` takes."""
    q_pos = np.arange(q_len, dtype=np.int32)[None, None, :, None]
    k_pos = np.arange(k_len, dtype=np.int32)[None, None, None, :]
    return q_pos, k_pos

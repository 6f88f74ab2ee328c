"""The letters that name array axes, and shape checks with helpful errors.

Arrays carry their axes in their name, as in ``q_BQHD``:

    B batch           Q query length      K key length        T length where both are one
    H heads           G key/value heads   D query, key size   E value size of a head
    M model size      F feed-forward size V vocabulary        S source length
    R features, rank  W window            N blocks, beams     C block size
    P pairs of a query and a key, as the edges of a graph
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

Tree = Any  # a pytree of arrays


@dataclass(frozen=True)
class Sizes:
    """The static sizes an Attention may need to make its parameters.

    Attributes:
      heads: number of heads, H.
      size: features of a query or key in one head, D.
      value_size: features of a value in one head, E.
      model_size: features of the layer's input, M.
      kv_heads: heads of keys and values, G; H where None.
    """

    heads: int
    size: int
    value_size: int
    model_size: int
    kv_heads: int | None = None


def accumulator(dtype: Any) -> Any:
    """The dtype in which scores and sums are kept: at least float32, float64 for float64 tests."""
    return jnp.promote_types(dtype, jnp.float32)


def product(subscripts: str, left: jax.Array, right: jax.Array, dtype: Any = None) -> jax.Array:
    """A product in the dtype of the narrower side, summed in at least float32."""
    narrow = min(left.dtype, right.dtype, key=lambda d: d.itemsize)
    return jnp.einsum(
        subscripts,
        left.astype(narrow),
        right.astype(narrow),
        preferred_element_type=dtype or accumulator(narrow),
    )


def unit(x: jax.Array) -> jax.Array:
    """x / |x| along the last axis, found at least in float32, in x's dtype.

    Where x is too short to have a direction it is 0, and so is the gradient.

    >>> unit(jnp.array([[3.0, 4.0], [0.0, 0.0]]))
    Array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    dtype, x = x.dtype, x.astype(accumulator(x.dtype))
    square = jnp.square(x).sum(axis=-1, keepdims=True)
    some = square > 1e-24  # used twice: else the gradient is 0 times one that is not finite
    return jnp.where(some, x * jax.lax.rsqrt(jnp.where(some, square, 1)), 0).astype(dtype)


def check_qkv(q_BQHD: jax.Array, k_BKHD: jax.Array, v_BKHE: jax.Array) -> None:
    """Raises ValueError or TypeError where queries, keys and values do not fit together."""
    for name, x in (("q_BQHD", q_BQHD), ("k_BKHD", k_BKHD), ("v_BKHE", v_BKHE)):
        if x.ndim != 4:
            raise ValueError(
                f"{name} has shape {x.shape}; it needs four axes: batch, length, heads, features"
            )
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"{name} has dtype {x.dtype}; it needs a floating dtype: cast it first")
    q_rows, k_rows, v_rows = (len(x) for x in (q_BQHD, k_BKHD, v_BKHE))
    if not q_rows == k_rows == v_rows:
        raise ValueError(
            f"batch sizes differ: q has {q_rows}, k {k_rows}, v {v_rows}; they must be equal"
        )
    if k_BKHD.shape[1] != v_BKHE.shape[1]:
        raise ValueError(
            f"k has {k_BKHD.shape[1]} positions and v {v_BKHE.shape[1]}; each key needs one value"
        )
    if q_BQHD.shape[3] != k_BKHD.shape[3]:
        raise ValueError(
            f"q has {q_BQHD.shape[3]} features a head and k {k_BKHD.shape[3]}; they must be equal"
        )
    heads, kv_heads = q_BQHD.shape[2], k_BKHD.shape[2]
    if kv_heads != v_BKHE.shape[2] or heads % kv_heads:
        raise ValueError(
            f"heads differ: q has {heads}, k {kv_heads}, v {v_BKHE.shape[2]}; those of k and v "
            "must be equal, and divide q's"
        )


def check_scores(name: str, shape: tuple[int, ...], scores: tuple[int, ...]) -> None:
    """Raises ValueError where ``shape`` does not broadcast to the scores' [B, H, Q, K]."""
    fits = all(a in (1, b) for a, b in zip(reversed(shape), reversed(scores), strict=False))
    if len(shape) > len(scores) or not fits:
        raise ValueError(
            f"{name} has shape {shape}; it needs to broadcast to the scores, [B, H, Q, K] = "
            f"{list(scores)}"
        )

"""Soft permutations: matrices whose rows and columns sum to one, or nearly.

Sinkhorn 1964, "A relationship between arbitrary positive matrices and doubly stochastic matrices".
"""

import jax
import jax.numpy as jnp
from jax import lax

_NONE = -1e30  # in logarithms: exp(_NONE - x) is 0 for any score x; an infinity has no gradient


def balanced(s_BHNJ: jax.Array, may_BHNJ: jax.Array, iterations: int, causal: bool) -> jax.Array:
    """exp(s), rows and then columns divided by their sums, again and again.

    Args:
      s_BHNJ: logarithms, at least float32.
      may_BHNJ: which entries may differ from zero, broadcastable.
      iterations: how often rows and columns are divided.
      causal: whether the sum of a column runs over the rows so far alone, so that no row depends on
        a later one.

    Returns:
      The matrix: columns sum to one, where anything may stand in them, and rows nearly. Causally
      no sum of a whole column is one; each entry is its share of the column so far.

        >>> balanced(jnp.zeros((1, 1, 2, 2)), jnp.eye(2, dtype=bool)[None, None], 3, False)[0, 0]
        Array([[1., 0.],
               [0., 1.]], dtype=float32)
    """

    def divided(s_BHNJ: jax.Array, _: None) -> tuple[jax.Array, None]:
        s_BHNJ = kept(s_BHNJ - jax.nn.logsumexp(s_BHNJ, axis=3, keepdims=True))
        if causal:
            return kept(s_BHNJ - lax.cumlogsumexp(s_BHNJ, axis=2)), None
        return kept(s_BHNJ - jax.nn.logsumexp(s_BHNJ, axis=2, keepdims=True)), None

    def kept(s_BHNJ: jax.Array) -> jax.Array:
        return jnp.where(may_BHNJ, s_BHNJ, _NONE)

    s_BHNJ, _ = lax.scan(divided, kept(s_BHNJ), length=iterations)
    return jnp.where(may_BHNJ, jnp.exp(s_BHNJ), 0)

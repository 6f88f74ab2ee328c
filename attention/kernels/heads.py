"""Masks that differ by head: the heads that share a mask are computed together."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.kernels.rows import zero_padding
from attention.masks import Mask, PerHead, conjuncts


def check_heads(mask: Mask | None, heads: int) -> None:
    """Raises ValueError if a mask differs by head and was made for another number of heads."""
    for one in conjuncts(mask):
        if isinstance(one, PerHead) and len(one.masks) != heads:
            raise ValueError(
                f"PerHead has masks for {len(one.masks)} heads, and attention has {heads}; "
                "give it one mask for each head"
            )


def differs_by_head(mask: Mask | None) -> bool:
    """Whether the mask differs by head."""
    return any(isinstance(one, PerHead) for one in conjuncts(mask))


def by_head(
    compute: Callable[..., jax.Array],
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    v_BKHE: jax.Array,
    mask: Mask,
    extras: Any,
) -> jax.Array:
    """``compute(q, k, v, mask, extras)`` for the heads of each mask, concatenated.

    Args:
      compute: attention under a mask that is the same for all heads.
      q_BQHD, k_BKHD, v_BKHE: queries, keys, values, all with H heads.
      mask: has a ``PerHead`` among its conjuncts.
      extras: a tree of arrays with the heads second (H or 1) where they have four axes.
    """
    heads = q_BQHD.shape[2]
    by_head = [one.masks for one in conjuncts(mask) if isinstance(one, PerHead)]
    shared = [one for one in conjuncts(mask) if not isinstance(one, PerHead)]
    groups: list[tuple[Mask, list[int]]] = []
    for head, masks in enumerate(zip(*by_head, strict=True)):
        of_head = functools.reduce(operator.and_, masks)
        same = next((members for other, members in groups if _equal(other, of_head)), None)
        if same is None:
            groups.append((of_head, [head]))
        else:
            same.append(head)

    def take(tree: Any, members: list[int]) -> Any:
        def take_leaf(leaf: Any) -> Any:
            leaf = jnp.asarray(leaf)
            by_head = leaf.ndim == 4 and leaf.shape[1] == heads > 1
            return leaf[:, np.array(members)] if by_head else leaf

        return jax.tree.map(take_leaf, tree)

    outs = []
    for of_heads, members in groups:
        of_heads = take(functools.reduce(operator.and_, shared, of_heads), members)
        q, k, v = (x[:, :, np.array(members)] for x in (q_BQHD, k_BKHD, v_BKHE))
        # A position may be padding for these heads, and real for others.
        q, k, v = zero_padding(q, k, v, of_heads)
        outs.append(compute(q, k, v, of_heads, take(extras, members)))
    order = np.argsort(np.concatenate([members for _, members in groups]))
    return jnp.concatenate(outs, axis=2)[:, :, order]


def _equal(one: Mask, other: Mask) -> bool:
    """Whether two masks are known to be equal; masks with arrays only if they are one object."""
    if one is other:
        return True
    static = not jax.tree.leaves(one) and not jax.tree.leaves(other)
    return static and one == other

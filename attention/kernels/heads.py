"""Heads of one mask each: every group of heads that share one is worked out by itself."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks import Mask, PerHead, conjuncts


def check_heads(mask: Mask | None, heads: int) -> None:
    """Raises ValueError where a mask differs by head and was made for another number of them."""
    for part in conjuncts(mask):
        if isinstance(part, PerHead) and len(part.masks) != heads:
            raise ValueError(
                f"PerHead has masks for {len(part.masks)} heads, and attention has {heads}; "
                "give it one mask for each head"
            )


def differs(mask: Mask | None) -> bool:
    """Whether heads have masks of their own."""
    return any(isinstance(part, PerHead) for part in conjuncts(mask))


def by_head(
    compute: Callable[..., jax.Array],
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    v_BKHE: jax.Array,
    mask: Mask,
    extras: Any,
) -> jax.Array:
    """``compute(q, k, v, mask, extras)`` for the heads of each mask, put together again.

    Args:
      compute: attention under a mask that is the same for all heads.
      q_BQHD, k_BKHD, v_BKHE: queries, keys, values, all with H heads.
      mask: has a ``PerHead`` among its conjuncts.
      extras: a tree of arrays with the heads second (H or 1) where they have four axes.
    """
    heads = q_BQHD.shape[2]
    parts = list(conjuncts(mask))
    differing = [part.masks for part in parts if isinstance(part, PerHead)]
    others = [part for part in parts if not isinstance(part, PerHead)]
    groups: list[tuple[Any, list[int]]] = []
    for head, masks in enumerate(zip(*differing, strict=True)):
        own = functools.reduce(operator.and_, masks)
        same = next((members for other, members in groups if _equal(other, own)), None)
        if same is None:
            groups.append((own, [head]))
        else:
            same.append(head)

    def of(tree: Any, chosen: np.ndarray) -> Any:
        def pick(leaf: Any) -> Any:
            leaf = jnp.asarray(leaf)
            return leaf[:, chosen] if leaf.ndim == 4 and leaf.shape[1] == heads > 1 else leaf

        return jax.tree.map(pick, tree)

    outs = []
    for own, members in groups:
        chosen = np.array(members)
        own = of(functools.reduce(operator.and_, others, own), chosen)
        mine = (x[:, :, chosen] for x in (q_BQHD, k_BKHD, v_BKHE))
        outs.append(compute(*mine, own, of(extras, chosen)))
    places = np.argsort(np.concatenate([members for _, members in groups]))
    return jnp.concatenate(outs, axis=2)[:, :, places]


def _equal(one: Mask, other: Mask) -> bool:
    """Whether two masks are known to be the same; those with arrays only if they are one object."""
    if one is other:
        return True
    static = not jax.tree.leaves(one) and not jax.tree.leaves(other)
    return static and one == other

"""Masks that say two things alone: what is padding, and whether the future is hidden.

Attentions that never make single scores follow no other mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from attention.masks.base import Mask, as_mask
from attention.masks.conjunctions import conjuncts
from attention.masks.padding import Lengths, Valid
from attention.masks.patterns import Causal


@dataclass(frozen=True)
class Plain:
    """What such a mask says.

    Attributes:
      causal: whether a query sees its own position and those before it alone.
      q_real_BQ, k_real_BK: which queries and keys are no padding, bool.
    """

    causal: bool
    q_real_BQ: jax.Array
    k_real_BK: jax.Array


def plainly(asker: Any, mask: Any, q_BQX: jax.Array, k_BKX: jax.Array) -> Plain:
    """Reads a mask that is a conjunction of ``Causal``, ``Lengths`` and ``Valid``, or None.

    Args:
      asker: the attention that asks, whose name stands in errors.
      mask: as it was given.
      q_BQX, k_BKX: arrays with the batch and the length first.

    Raises:
      NotImplementedError: another mask, or a causal one across sequences.
      ValueError: a mask made for another length.
    """
    (batch, q_len), k_len = q_BQX.shape[:2], k_BKX.shape[1]
    mask, name = as_mask(mask), type(asker).__name__
    _check_parts(name, mask)
    causal = any(isinstance(part, Causal) for part in conjuncts(mask))
    if causal and q_len != k_len:
        raise NotImplementedError(
            f"{name} cannot attend causally across two sequences, {q_len} queries to {k_len} keys; "
            "use Softmax"
        )
    if causal and asker.capabilities.causal == "no":
        raise NotImplementedError(
            f"{name} cannot attend causally; use Softmax or Linear{asker.capabilities.remedy}"
        )
    mask.check(q_len, k_len)
    q_real, k_real = (
        jnp.broadcast_to(jnp.ones((1, length), bool) if real is None else real, (batch, length))
        for real, length in zip(mask.padding(q_len, k_len), (q_len, k_len), strict=True)
    )
    return Plain(causal, q_real, k_real)


def plainly_at(asker: Any, mask: Any, pos_BQ: jax.Array) -> jax.Array:
    """Which of the positions are no padding, bool [B, Q], as a step of decoding asks.

    Args:
      asker, mask: as for ``plainly``.
      pos_BQ: whole numbers.

    Raises:
      NotImplementedError: another mask than ``plainly`` reads.
    """
    mask = as_mask(mask)
    _check_parts(type(asker).__name__, mask)
    see_BHQQ = mask.at(pos_BQ[:, None, :, None], pos_BQ[:, None, None, :])
    real_BQ = jnp.diagonal(see_BHQQ[:, 0], axis1=1, axis2=2)  # none of these masks has heads
    return jnp.broadcast_to(real_BQ, pos_BQ.shape)


def _check_parts(name: str, mask: Mask) -> None:
    for part in conjuncts(mask):
        if not isinstance(part, Causal | Lengths | Valid):
            raise NotImplementedError(
                f"{name} cannot follow a mask of {type(part).__name__}, since it makes no single "
                "scores; use Causal, Lengths and Valid, joined by &, or another attention: Softmax "
                "follows every mask"
            )

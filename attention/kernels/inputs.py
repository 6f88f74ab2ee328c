"""Queries, keys and values as an attention computes on them: checked, with padding set to zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from attention.biases import Bias, as_bias
from attention.errors import UnsupportedError
from attention.kernels.heads import check_heads
from attention.kernels.rows import zero_padding
from attention.masks import Causal, Lengths, Mask, Valid, as_mask, conjuncts, dense_positions
from attention.shapes import check_qkv, check_scores


class Inputs(NamedTuple):
    """What an attention computes on.

    Attributes:
      q_BQHD, k_BKHD, v_BKHE: queries, keys and values; zero at padding where ``read_inputs`` made
        them. Some attentions take fewer heads of keys and values.
      mask: who may attend to whom.
      bias: added to the scores, or None.
      x_BTM: the layer's input, or None.
    """

    q_BQHD: jax.Array
    k_BKHD: jax.Array
    v_BKHE: jax.Array
    mask: Mask
    bias: Bias | None = None
    x_BTM: Any = None

    def under(self, pattern: Mask) -> Inputs:
        """The inputs under one more mask; raises ValueError where it is for other numbers."""
        check_heads(pattern, self.q_BQHD.shape[2])
        return self._replace(mask=self.mask & pattern)

    @property
    def causal(self) -> bool:
        """Whether the mask hides later keys."""
        return is_causal(self.mask)

    @property
    def q_real_BQ(self) -> jax.Array:
        """Which queries are not padding, bool [B, Q]."""
        batch, q_len = self.q_BQHD.shape[:2]
        return whole_padding(self.mask.padding(q_len, self.k_BKHD.shape[1])[0], batch, q_len)

    @property
    def k_real_BK(self) -> jax.Array:
        """Which keys are not padding, bool [B, K]."""
        batch, k_len = self.k_BKHD.shape[:2]
        return whole_padding(self.mask.padding(self.q_BQHD.shape[1], k_len)[1], batch, k_len)


@dataclass(frozen=True)
class RowsOfBias(Bias):
    """A bias given as an array, [B or 1, H or 1, Q, K], of which the rows are the new queries."""

    bias_BHQK: jax.Array

    def at(self, q_pos: Any, k_pos: Any) -> jax.Array:
        return jnp.take_along_axis(self.bias_BHQK, k_pos, axis=3, mode="clip")


def read_inputs(
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    v_BKHE: jax.Array,
    mask: Any = None,
    bias: Any = None,
    x_BTM: jax.Array | None = None,
) -> Inputs:
    """Checks shapes and dtypes, makes values of mask and bias, and zeroes padding.

    A NaN in padding would otherwise reach valid rows as 0 · NaN.

    Raises:
      ValueError: shapes do not fit.
      TypeError: an array is not floating, or a mask not boolean.
    """
    mask, bias = checked(q_BQHD, k_BKHD, v_BKHE, mask, bias)
    if x_BTM is not None and x_BTM.shape[:2] != q_BQHD.shape[:2]:
        raise ValueError(
            f"x_BTM has shape {x_BTM.shape}; it needs q's batch and length, {q_BQHD.shape[:2]}"
        )
    return Inputs(*zero_padding(q_BQHD, k_BKHD, v_BKHE, mask), mask, bias, x_BTM)


def checked(q: Any, k: Any, v: Any, mask: Any, bias: Any) -> tuple[Mask, Bias | None]:
    """The mask and the bias as values, if all shapes fit."""
    check_qkv(q, k, v)
    (batch, q_len, heads, _), k_len = q.shape, k.shape[1]
    mask, bias = as_mask(mask), as_bias(bias)
    check_heads(mask, heads)
    mask.check(q_len, k_len)
    for name, value in (("mask", mask), ("bias", bias)):
        if value is not None:
            # Positions are abstract: NumPy would compare all those of a mask without arrays.
            made = jax.eval_shape(value.at, *dense_positions(q_len, k_len))
            check_scores(name, made.shape, (batch, heads, q_len, k_len))
    return mask, bias


def is_causal(mask: Mask) -> bool:
    """Whether ``Causal`` is among the masks that all have to allow a pair."""
    return any(isinstance(part, Causal) for part in conjuncts(mask))


def check_padding_and_causal(name: str, mask: Mask) -> None:
    """Raises UnsupportedError unless the mask is Causal, Lengths and Valid, joined by &."""
    for part in conjuncts(mask):
        if not isinstance(part, Causal | Lengths | Valid):
            raise UnsupportedError(
                f"{name} cannot follow a mask of {type(part).__name__}, since it makes no single "
                "scores; use Causal, Lengths and Valid, joined by &, or another attention: Softmax "
                "follows every mask"
            )


def real_at(mask: Mask, pos_BQ: jax.Array) -> jax.Array:
    """Which of these positions are not padding, bool [B, Q]; the mask is causal and padding."""
    see_BHQQ = mask.at(pos_BQ[:, None, :, None], pos_BQ[:, None, None, :])
    real_BQ = jnp.diagonal(see_BHQQ[:, 0], axis1=1, axis2=2)  # none of these masks has heads
    return jnp.broadcast_to(real_BQ, pos_BQ.shape)


def whole_padding(real_BT: jax.Array | None, batch: int, length: int) -> jax.Array:
    """One side of ``Mask.padding`` as an array, bool [B, T]."""
    return jnp.broadcast_to(True if real_BT is None else real_BT, (batch, length))

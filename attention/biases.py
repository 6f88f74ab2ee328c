"""What is added to the scores: values with an entry for every pair of positions.

A bias is made tile by tile, like a mask, so that none need ever be in memory whole; and it speaks
of absolute positions, so that a query decoded from a cache gets the same bias as in the full pass.
Every array in it has the batch first (B or 1) and, having four axes, the heads second (H or 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

_B = TypeVar("_B", bound="Bias")


class Bias:
    """What all biases share: a tile of one, and the gradient that a tile's gradient gives it."""

    def at(self, q_pos: Any, k_pos: Any) -> jax.Array:
        """The bias of queries at ``q_pos`` [B or 1, 1, Q, 1] and keys at ``k_pos`` [.., 1, K].

        Returns:
          floating, broadcastable to [B, H, Q, K].
        """
        raise NotImplementedError(f"{type(self).__name__} must define at(q_pos, k_pos)")

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        """The bias of a tile whose corner may be traced."""
        return self.at(*_corner_positions(q_first, k_first, q_size, k_size))

    def pulled(self: _B, grad: _B, ds_BHQK: jax.Array, q_first: Any, k_first: Any) -> _B:
        """``grad``, this bias's gradient so far, and what the gradient of a tile adds to it."""
        q_pos, k_pos = _corner_positions(q_first, k_first, *ds_BHQK.shape[2:])
        return self.pulled_at(grad, ds_BHQK, q_pos, k_pos)

    def pulled_at(self: _B, grad: _B, ds_BHQK: jax.Array, q_pos: Any, k_pos: Any) -> _B:
        """The same for positions as ``at`` takes them."""
        made, pull = jax.vjp(lambda bias: bias.at(q_pos, k_pos), self)
        (more,) = pull(_summed_to(ds_BHQK, made.shape).astype(made.dtype))
        return jax.tree.map(jnp.add, grad, more)

    def dense(self, q_len: int, k_len: int) -> jax.Array:
        """The bias whole, for short sequences and for tests."""
        return self.tile(0, 0, q_len, k_len)


@partial(jax.tree_util.register_dataclass, data_fields=["bias_BHQK"], meta_fields=[])
@dataclass(frozen=True)
class Given(Bias):
    """A bias given as an array, [B or 1, H or 1, Q or 1, K or 1]."""

    bias_BHQK: jax.Array

    def at(self, q_pos: Any, k_pos: Any) -> jax.Array:
        def pick(bias_HQK: jax.Array, q_Q: jax.Array, k_K: jax.Array) -> jax.Array:
            if bias_HQK.shape[1] > 1:
                bias_HQK = jnp.take(bias_HQK, q_Q, axis=1, mode="clip")
            return (
                jnp.take(bias_HQK, k_K, axis=2, mode="clip") if bias_HQK.shape[2] > 1 else bias_HQK
            )

        rows = max(self.bias_BHQK.shape[0], q_pos.shape[0], k_pos.shape[0])
        arrays = (self.bias_BHQK, q_pos[:, 0, :, 0], k_pos[:, 0, 0, :])
        return jax.vmap(pick)(*(jnp.broadcast_to(x, (rows, *x.shape[1:])) for x in arrays))

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        start, sizes = self._corner(q_first, k_first, q_size, k_size)
        return jax.lax.dynamic_slice(self.bias_BHQK, start, sizes)

    def pulled(self, grad: Given, ds_BHQK: jax.Array, q_first: Any, k_first: Any) -> Given:
        """Adds to a slice in place, where the transposed slice would be as wide as the array."""
        start, sizes = self._corner(q_first, k_first, *ds_BHQK.shape[2:])
        old = jax.lax.dynamic_slice(grad.bias_BHQK, start, sizes)
        new = old + _summed_to(ds_BHQK, sizes).astype(old.dtype)
        return Given(jax.lax.dynamic_update_slice(grad.bias_BHQK, new, start))

    def _corner(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> tuple[list, tuple]:
        batch, heads, q_len, k_len = self.bias_BHQK.shape
        start = [0, 0, q_first if q_len > 1 else 0, k_first if k_len > 1 else 0]
        start = [jnp.asarray(first, jnp.int32) for first in start]
        return start, (batch, heads, min(q_size, q_len), min(k_size, k_len))


@partial(jax.tree_util.register_dataclass, data_fields=["slope_1H11"], meta_fields=[])
@dataclass(frozen=True)
class ALiBi(Bias):
    """-slope·|q - k|, a slope for each head (Press et al. 2022, "Train Short, Test Long").

    The paper is causal, so its q - k is never negative; for an encoder the distance is taken both
    ways. The slopes are constants: they get no gradient.
    """

    slope_1H11: jax.Array

    @classmethod
    def of(cls, heads: int) -> ALiBi:
        """The slopes of section 3: for 2^n heads 2^(-8i/2^n), i from 1; between powers interleaved.

        Raises:
          ValueError: heads is below 1.
        """
        if heads < 1:
            raise ValueError(f"heads is {heads}; ALiBi needs at least one")
        power = 2 ** math.floor(math.log2(heads))
        slopes = [2 ** (-8 * i / power) for i in range(1, power + 1)]
        slopes += [2 ** (-4 * i / power) for i in range(1, 2 * (heads - power), 2)]
        return cls(jnp.asarray(slopes, jnp.float32)[None, :, None, None])

    def at(self, q_pos: Any, k_pos: Any) -> jax.Array:
        return -jax.lax.stop_gradient(self.slope_1H11) * jnp.abs(q_pos - k_pos)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["table_1HR1"],
    meta_fields=["max_distance", "bidirectional"],
)
@dataclass(frozen=True)
class Relative(Bias):
    """A trained scalar for each head and each bucket of k - q (Raffel et al. 2020, "T5", 2.1).

    Half of the buckets are exact distances, the other half grow logarithmically up to
    ``max_distance``, beyond which all share the last.

    Attributes:
      table_1HR1: R buckets a head.
      max_distance: tokens.
      bidirectional: keys after the query have half of the buckets for themselves (encoders);
        otherwise they share the bucket of distance 0 (decoders, which do not see them).
    """

    table_1HR1: jax.Array
    max_distance: int = 128
    bidirectional: bool = True

    def at(self, q_pos: Any, k_pos: Any) -> jax.Array:
        bucket_BQK = self.bucket(k_pos - q_pos)[:, 0]
        table_HR = self.table_1HR1[:, :, :, 0]
        if table_HR.shape[0] == 1:
            return jnp.moveaxis(table_HR[0][:, bucket_BQK], 0, 1)
        return table_HR[:, :, bucket_BQK[0]]

    def bucket(self, difference: Any) -> jax.Array:
        """The bucket of each k - q, int32."""
        buckets, difference = self.table_1HR1.shape[2], jnp.asarray(difference)
        first: Any = 0
        if self.bidirectional:
            buckets //= 2
            first = jnp.where(difference > 0, buckets, 0)
            distance = jnp.abs(difference)
        else:
            distance = jnp.maximum(-difference, 0)
        exact = buckets // 2
        share = jnp.log(jnp.maximum(distance, 1) / exact) / math.log(self.max_distance / exact)
        far = exact + (share * (buckets - exact)).astype(jnp.int32)
        return first + jnp.where(distance < exact, distance, jnp.minimum(far, buckets - 1))


def as_bias(bias: Any) -> Bias | None:
    """A bias from a bias, a floating array broadcastable to [B, H, Q, K], or None."""
    if bias is None or isinstance(bias, Bias):
        return bias
    bias = jnp.asarray(bias)
    if not jnp.issubdtype(bias.dtype, jnp.floating):
        raise TypeError(f"bias has dtype {bias.dtype}; it needs a floating dtype")
    if bias.ndim > 4:
        raise ValueError(f"bias has shape {bias.shape}; it needs to broadcast to [B, H, Q, K]")
    return Given(bias.reshape((1,) * (4 - bias.ndim) + bias.shape))


def _corner_positions(q_first: Any, k_first: Any, q_size: int, k_size: int) -> tuple[Any, Any]:
    """The positions of a tile, as ``Bias.at`` takes them."""
    q_pos = np.arange(q_size, dtype=np.int32)[None, None, :, None] + q_first
    return q_pos, np.arange(k_size, dtype=np.int32)[None, None, None, :] + k_first


def _summed_to(ds_BHQK: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Adds up the axes along which a bias of ``shape`` was broadcast."""
    spread = [a for a, (n, m) in enumerate(zip(ds_BHQK.shape, shape, strict=True)) if n != m]
    return ds_BHQK.sum(axis=spread, keepdims=True)

"""Random bits that cost little on a CPU: a hash of a counter, under a key.

Threefry takes some forty times as long as the arithmetic that its bits decide on; a hash is fused
into that arithmetic, and the bits are never in memory. Good for dropping entries, and for nothing
that must resist an adversary.
"""

import math

import jax
import jax.numpy as jnp

_STRIDE, _MIX = 0x9E3779B9, (0x7FEB352D, 0x846CA68B, 0x2C1B3C6D)  # odd; well mixing multipliers


def words(rng: jax.Array, index: jax.Array) -> jax.Array:
    """A random word of 32 bits for each index, the same wherever and whenever it is made.

    For one key, different indices have different words.

    Args:
      rng: a typed key, which is itself first drawn from, so that neighbouring keys may be used.
      index: uint32, any shape.

    Returns:
      uint32 of the index's shape.
    """
    add, flip = jax.random.bits(rng, (2,), jnp.uint32)
    return mixed(index * jnp.uint32(_STRIDE) + add, flip)


def mixed(x: jax.Array, flip: jax.typing.ArrayLike = 0) -> jax.Array:
    """A bijection of words in which every bit of the result depends on every bit of x.

    Three rounds of xor-shift and multiplication, as in the finaliser of MurmurHash3 (Appleby 2011);
    ``flip`` comes in after the first.
    """
    x = (x ^ (x >> 16)) * jnp.uint32(_MIX[0]) ^ jnp.uint32(flip)
    x = (x ^ (x >> 15)) * jnp.uint32(_MIX[1])
    x = (x ^ (x >> 16)) * jnp.uint32(_MIX[2])
    return x ^ (x >> 16)


def kept(rng: jax.Array, rate: float, shape: tuple[int, ...]) -> jax.Array:
    """Which entries dropout at ``rate`` keeps: bool, True with probability 1 - rate.

    The rate is met to 2**-32. Entries are counted in row-major order, modulo 2**32.

    >>> mask_BTM = kept(jax.random.key(0), 0.25, (8, 100, 100))
    >>> bool(abs(mask_BTM.mean() - 0.75) < 0.01)
    True
    """
    index = jnp.zeros(shape, jnp.uint32)
    for axis in range(len(shape)):
        stride = math.prod(shape[axis + 1 :]) % 2**32
        index += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride)
    return words(rng, index) >= jnp.uint32(min(round(rate * 2**32), 2**32 - 1))

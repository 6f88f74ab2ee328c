"""Where a token stands: sinusoids that are added, rotations that queries and keys undergo."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.shapes import accumulator


def sinusoids(pos: Any, size: int, *, base: float = 10_000.0) -> jax.Array:
    """Sinusoidal position vectors (Vaswani et al. 2017, section 3.5).

    PE(p, 2i) = sin(p / base^(2i/size)) and PE(p, 2i+1) = cos of the same.

    Args:
      pos: integer positions, any shape.
      size: features M; even.
      base: the longest wavelength is 2π·base.

    Returns:
      float32 of shape [*pos.shape, size].

    Raises:
      ValueError: size is odd.
    """
    if size % 2:
        raise ValueError(f"size is {size}; sinusoidal positions need an even number of features")
    angle = _angles(pos, size, base, jnp.float32)
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(*jnp.shape(pos), size)


@dataclass(frozen=True)
class Rotary:
    """Rotary positions (Su et al. 2021, "RoFormer", equation 34).

    Features 2i and 2i+1 of a head are turned by the angle p / base^(2i/D), so that the product of
    a query and a key depends on the distance between them only.
    """

    base: float = 10_000.0

    def rotate(self, x_BTHD: jax.Array, pos_BT: Any) -> jax.Array:
        """Turns every head's features by the angle of its position; norms are kept.

        Raises:
          ValueError: D is odd.
        """
        size = x_BTHD.shape[-1]
        if size % 2:
            raise ValueError(f"a head has {size} features; rotary positions need an even number")
        dtype = accumulator(x_BTHD.dtype)
        angle = _angles(pos_BT, size, self.base, dtype)[:, :, None, :]
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        even, odd = x_BTHD[..., 0::2].astype(dtype), x_BTHD[..., 1::2].astype(dtype)
        turned = jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
        return turned.reshape(x_BTHD.shape).astype(x_BTHD.dtype)


def _angles(pos: Any, size: int, base: float, dtype: Any) -> jax.Array:
    """p / base^(2i/size) for i below size/2: [*pos.shape, size/2]."""
    rate = base ** (-np.arange(0, size, 2) / size)
    return jnp.multiply.outer(jnp.asarray(pos, dtype), jnp.asarray(rate, dtype))

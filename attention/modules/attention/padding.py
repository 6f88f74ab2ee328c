"""Padding, zeroed before a layer's first product."""

from typing import Any

import jax
import jax.numpy as jnp

from attention.masks import as_mask


def zero_padding(
    x_BTM: jax.Array, mask: Any, *, queries: bool = False, keys: bool = False
) -> jax.Array:
    """Zeroes positions that are padding in every part they play, before the first product.

    A NaN there stays there.
    """
    if mask is None:
        return x_BTM
    lengths = (x_BTM.shape[1] if queries else None, x_BTM.shape[1] if keys else None)
    as_mask(mask).check(*lengths)
    real_BT = jnp.zeros((1, x_BTM.shape[1]), bool)
    for part_BT, length in zip(as_mask(mask).padding(*lengths), lengths, strict=True):
        if length is not None:
            if part_BT is None:
                return x_BTM
            real_BT = real_BT | part_BT
    return jnp.where(real_BT[..., None], x_BTM, 0)

"""Mask-predict (Ghazvininejad et al. 2019): all tokens at once, the doubtful ones again.

>>> import jax.numpy as jnp
>>> from attention.decoding import mask_predict
>>> def fill(tokens_BT):  # token 5 at the first place, 6 at the second, ...
...     return jnp.zeros((1, 3, 9)).at[0, jnp.arange(3), 5 + jnp.arange(3)].set(9.0)
>>> mask_predict(fill, jnp.array([2]), length=3, iterations=2, mask=1, pad=0).tokens_BT
Array([[5, 6, 0]], dtype=int32)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Fill = Callable[[jax.Array], jax.Array]


class Filled(NamedTuple):
    """What was filled in.

    Attributes:
      tokens_BT: int32, pad from each row's length on.
      log_probs_BT: log-probability of each token when it was last filled in; 0 at padding.
    """

    tokens_BT: jax.Array
    log_probs_BT: jax.Array


def mask_predict(
    fill: Fill, length_B: jax.Array, *, length: int, iterations: int, mask: int, pad: int
) -> Filled:
    """Fills in sequences of known lengths.

    The first iteration fills in all tokens at once. Iteration t of T, from 0 on, masks the
    ⌊n (T - t) / T⌋ tokens of a row of n that had the smallest probabilities, and fills them in
    again, given the rest; what is not masked keeps its probability (section 3.1).

    Args:
      fill: from tokens_BT, some of them ``mask``, to logits_BTV of every position.
      length_B: tokens of each row, at most ``length``.
      length: T of the arrays.
      iterations: at least 1; with 1 the whole is one pass.
      mask, pad: ids of the two tokens.

    Raises:
      ValueError: no iteration.
    """
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}; it needs to be at least 1")
    real_BT = jnp.arange(length)[None] < length_B[:, None]

    def iterate(number: jax.Array, now: Filled) -> Filled:
        count_B = length_B * (iterations - number) // iterations
        masked_BT = real_BT & (_rank(jnp.where(real_BT, now.log_probs_BT, 1)) < count_B[:, None])
        logits_BTV = fill(jnp.where(masked_BT, mask, now.tokens_BT))
        token_BT, log_p_BT = _most_probable(logits_BTV.astype(jnp.float32))
        return Filled(
            jnp.where(masked_BT, token_BT, now.tokens_BT),
            jnp.where(masked_BT, log_p_BT, now.log_probs_BT),
        )

    nothing = Filled(jnp.full(real_BT.shape, pad, jnp.int32), jnp.zeros(real_BT.shape, jnp.float32))
    return lax.fori_loop(0, iterations, iterate, nothing)


def _most_probable(logits_BTV: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The first of the greatest logits of each position, and its log-probability.

    On a CPU in a third of the time of ``argmax`` and ``max`` of ``log_softmax``; the least of
    floating-point ids is found faster than that of integers.
    """
    greatest_BT1 = logits_BTV.max(axis=-1, keepdims=True)
    id_V = jnp.arange(logits_BTV.shape[-1], dtype=jnp.float32)
    token_BT = jnp.where(logits_BTV == greatest_BT1, id_V[None, None], id_V[-1]).min(axis=-1)
    log_p_BT = -jnp.log(jnp.exp(logits_BTV - greatest_BT1).sum(axis=-1))
    return token_BT.astype(jnp.int32), log_p_BT


def _rank(x_BT: jax.Array) -> jax.Array:
    """Each number's place in its row, from the smallest; of equals the first comes first."""
    x_BT1, x_B1S = x_BT[:, :, None], x_BT[:, None]
    earlier_TS = jnp.tri(x_BT.shape[1], k=-1, dtype=bool)
    return ((x_B1S < x_BT1) | ((x_B1S == x_BT1) & earlier_TS[None])).sum(axis=2)

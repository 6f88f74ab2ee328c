"""How scheduled sampling picks a token from the first pass's logits."""

import dataclasses
import math

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Argmax:
    """The most probable token."""

    def tokens(self, logits_BTV: jax.Array, *, rng: jax.Array) -> jax.Array:
        """Returns tokens_BT, int32."""
        del rng
        return jnp.argmax(logits_BTV, axis=-1)

    def weights(self, logits_BTV: jax.Array) -> jax.Array:
        """Returns what stands for the choice in a gradient: the softmax."""
        return jax.nn.softmax(logits_BTV, axis=-1)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A token drawn from ``softmax(logits / temperature)``.

    Args:
      temperature: above 0; small is near to Argmax.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be a finite number > 0, got {self.temperature}")

    def tokens(self, logits_BTV: jax.Array, *, rng: jax.Array) -> jax.Array:
        """Returns tokens_BT, int32."""
        return draw(rng, jax.lax.stop_gradient(logits_BTV) / self.temperature)

    def weights(self, logits_BTV: jax.Array) -> jax.Array:
        """Returns what stands for the choice in a gradient: the softmax."""
        return jax.nn.softmax(logits_BTV / self.temperature, axis=-1)


def draw(rng: jax.Array, logits_BTV: jax.Array) -> jax.Array:
    """Draws one token a position from the softmax, with one random number for each.

    The inverse of the cumulative distribution, in two levels (a block of the vocabulary, then a
    token in it): ``jax.random.categorical`` needs V random numbers a token, which are dear on CPUs.

    Args:
      rng: a typed key.
      logits_BTV: any float dtype; -inf is never drawn.

    Returns:
      tokens_BT, int32.
    """
    size = logits_BTV.shape[-1]
    block = math.ceil(math.sqrt(size))
    x_BTV = logits_BTV.astype(jnp.promote_types(logits_BTV.dtype, jnp.float32))
    p_BTV = jnp.exp(x_BTV - jnp.max(x_BTV, axis=-1, keepdims=True))
    p_BTV = jnp.pad(p_BTV, ((0, 0), (0, 0), (0, -size % block)))
    p_BTNC = p_BTV.reshape(*p_BTV.shape[:-1], -1, block)
    uniform_BT = jax.random.uniform(rng, x_BTV.shape[:-1], x_BTV.dtype)
    block_BT, rest_BT = _invert(jnp.sum(p_BTNC, axis=-1), uniform_BT)
    p_BTC = jnp.take_along_axis(p_BTNC, block_BT[..., None, None], axis=-2)[..., 0, :]
    inside_BT, _ = _invert(p_BTC, rest_BT)
    return (block_BT * block + inside_BT).astype(jnp.int32)


def _invert(p_BTN: jax.Array, uniform_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Which of N the number in [0, 1) falls on, and where in it, again in [0, 1)."""
    end_BTN = jnp.cumsum(p_BTN, axis=-1)
    at_BT1 = (uniform_BT * end_BTN[..., -1])[..., None]
    # Rounding may push the number past the last end, onto what has no weight: hold it back.
    last_BT = p_BTN.shape[-1] - 1 - jnp.argmax(p_BTN[..., ::-1] > 0, axis=-1)
    index_BT = jnp.minimum(jnp.sum(end_BTN <= at_BT1, axis=-1), last_BT)
    share_BT1 = jnp.take_along_axis(p_BTN, index_BT[..., None], axis=-1)
    start_BT1 = jnp.take_along_axis(end_BTN, index_BT[..., None], axis=-1) - share_BT1
    return index_BT, jnp.clip((at_BT1 - start_BT1) / share_BT1, 0, 1)[..., 0]

"""What scheduled sampling reads in place of gold, made from the first pass's logits.

Hard mixes choose one token. Soft ones read a mean of embeddings, by weights over the vocabulary, as
in Mihaylova & Martins 2019, "Scheduled Sampling for Transformers", section 3.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Argmax:
    """The most probable token."""

    def choose(self, logits_BTV: jax.Array, *, rng: jax.Array) -> jax.Array:
        """Returns what is read: tokens_BT, int32, or weights_BTV that add up to one.

        Weights have gradients.
        """
        return jnp.argmax(logits_BTV, axis=-1)

    def weights(self, logits_BTV: jax.Array) -> jax.Array:
        """Returns what stands in a gradient for a token that was chosen: weights_BTV."""
        return jax.nn.softmax(logits_BTV, axis=-1)


@dataclasses.dataclass(frozen=True)
class Soft:
    """All tokens, weighted by ``softmax(logits / temperature)``.

    Args:
      temperature: above 0; small is near to Argmax, large to the mean of all embeddings.
    """

    temperature: float = 1.0

    def choose(self, logits_BTV: jax.Array, *, rng: jax.Array) -> jax.Array:
        """Returns weights_BTV."""
        return self.weights(logits_BTV)

    def weights(self, logits_BTV: jax.Array) -> jax.Array:
        """Returns the softmax."""
        return jax.nn.softmax(logits_BTV / self.temperature, axis=-1)


@dataclasses.dataclass(frozen=True)
class Sample(Soft):
    """A token drawn from ``softmax(logits / temperature)``.

    Args:
      temperature: above 0; small is near to Argmax.
    """

    def choose(self, logits_BTV: jax.Array, *, rng: jax.Array) -> jax.Array:
        """Returns tokens_BT."""
        return draw(rng, jax.lax.stop_gradient(logits_BTV) / self.temperature)


@dataclasses.dataclass(frozen=True)
class Gumbel(Soft):
    """All tokens, weighted by ``softmax((logits + g) / temperature)``, g standard Gumbel numbers.

    As the temperature falls this nears a token drawn from ``softmax(logits)`` (Jang et al. 2017;
    Goyal et al. 2017 for scheduled sampling).

    Args:
      temperature: above 0.
    """

    def choose(self, logits_BTV: jax.Array, *, rng: jax.Array) -> jax.Array:
        """Returns weights_BTV."""
        return self.weights(logits_BTV + jax.random.gumbel(rng, logits_BTV.shape, logits_BTV.dtype))


@dataclasses.dataclass(frozen=True)
class TopK(Soft):
    """The k most probable tokens, weighted by ``softmax(logits / temperature)`` among themselves.

    Args:
      temperature: above 0; large is near to the plain mean of the k embeddings.
      k: how many, from 1 to the vocabulary's size.
    """

    k: int = 5

    def weights(self, logits_BTV: jax.Array) -> jax.Array:
        """Returns the softmax of the k, and zeros."""
        top_BTK, at_BTK = jax.lax.top_k(logits_BTV, self.k)
        p_BTK = jax.nn.softmax(top_BTK / self.temperature, axis=-1)
        zero_BTV = jnp.zeros_like(logits_BTV)
        return jnp.put_along_axis(zero_BTV, at_BTK, p_BTK, axis=-1, inplace=False)


Mix = Argmax | Soft


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

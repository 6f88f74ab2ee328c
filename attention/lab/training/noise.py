"""What the decoder reads in training: gold, noisy gold, or gold mixed with its own predictions."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from attention.lab.training.decays import Constant, Decay, Exponential, InverseSigmoid, Linear
from attention.lab.training.mixes import Argmax, Gumbel, Mix, Sample, Soft, TopK

__all__ = [
    "Argmax",
    "Constant",
    "Decay",
    "Exponential",
    "Gumbel",
    "InverseSigmoid",
    "Linear",
    "Mix",
    "Sample",
    "ScheduledSampling",
    "Soft",
    "TeacherForcing",
    "TokenNoise",
    "TopK",
]

Predict = Callable[[jax.Array], jax.Array]
Embed = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class TeacherForcing:
    """The decoder reads gold."""

    def decoder_input(
        self,
        gold_BT: jax.Array,
        predict: Predict,
        embed: Embed,
        *,
        rng: jax.Array,
        step: jax.typing.ArrayLike,
        valid_BT: jax.Array,
    ) -> jax.Array:
        """Returns the embedded decoder input; see ``ScheduledSampling.decoder_input``."""
        return embed(gold_BT)


@dataclasses.dataclass(frozen=True)
class TokenNoise:
    """The decoder reads gold in which a share of the tokens is replaced by random ones.

    Args:
      rate: the probability that a token is replaced; each token has a coin of its own.
      vocab_size: random tokens are drawn evenly from [first_token, vocab_size).
      first_token: the first id that stands for text; those below it are markers.
    """

    rate: float
    vocab_size: int
    first_token: int = 4

    def corrupt(self, gold_BT: jax.Array, *, rng: jax.Array, valid_BT: jax.Array) -> jax.Array:
        """Replaces tokens; the first column (bos) and padding stay as they are."""
        rng_coin, rng_token = jax.random.split(rng)
        random_BT = jax.random.randint(
            rng_token, gold_BT.shape, self.first_token, self.vocab_size, gold_BT.dtype
        )
        return jnp.where(coins(rng_coin, self.rate, valid_BT), random_BT, gold_BT)

    def decoder_input(
        self,
        gold_BT: jax.Array,
        predict: Predict,
        embed: Embed,
        *,
        rng: jax.Array,
        step: jax.typing.ArrayLike,
        valid_BT: jax.Array,
    ) -> jax.Array:
        """Returns the embedded decoder input; see ``ScheduledSampling.decoder_input``."""
        return embed(self.corrupt(gold_BT, rng=rng, valid_BT=valid_BT))


@dataclasses.dataclass(frozen=True)
class ScheduledSampling:
    """The decoder reads gold mixed, token by token, with what it would have said itself.

    Two passes, as a Transformer needs (Mihaylova & Martins 2019, section 3): the first reads gold,
    and its prediction for position t - 1 may take the place of gold at t in the second, whose loss
    is the one that counts. Each token tosses its own coin (Bengio et al. 2015, section 2.4).

    Args:
      decay: the probability of gold by step; the share of predictions is one minus it.
      mix: what is read in place of gold, made from the first pass's logits.
      backprop: False stops gradients at the first pass. True lets them through: of soft mixes as
        they are; where a token was chosen, by a straight-through estimator: forward, the chosen
        token's embedding; backward into the first pass's logits, the embedding weighted by their
        softmax.
      before: token noise on the gold that both passes read.
    """

    decay: Decay
    mix: Mix = Argmax()
    backprop: bool = False
    before: TokenNoise | None = None

    def decoder_input(
        self,
        gold_BT: jax.Array,
        predict: Predict,
        embed: Embed,
        *,
        rng: jax.Array,
        step: jax.typing.ArrayLike,
        valid_BT: jax.Array,
    ) -> jax.Array:
        """Returns the embedded decoder input.

        Args:
          gold_BT: the gold target shifted right: its first column is bos, which always stays.
          predict: the first pass, from embedded input y_BTM to logits_BTV.
          embed: from tokens_BT, or weights_BTV, to y_BTM; linear in the weights, so without
            positions.
          rng: a typed key.
          step: the training step, a scalar.
          valid_BT: False at padding, which stays as it is.

        Returns:
          y_BTM, for the second pass.
        """
        rng_before, rng_coin, rng_mix = jax.random.split(rng, 3)
        if self.before is not None:
            gold_BT = self.before.corrupt(gold_BT, rng=rng_before, valid_BT=valid_BT)
        logits_BTV = predict(embed(gold_BT))
        if not self.backprop:
            logits_BTV = jax.lax.stop_gradient(logits_BTV)
        swap_BT = coins(rng_coin, 1.0 - self.decay.gold_probability(step), valid_BT)
        # What is predicted at t - 1 is read at t; column 0, wrapped around, is never used.
        chosen = jnp.roll(self.mix.choose(logits_BTV, rng=rng_mix), 1, axis=1)
        if chosen.ndim == 3:
            return jnp.where(swap_BT[..., None], embed(chosen), embed(gold_BT))
        y_BTM = embed(jnp.where(swap_BT, chosen.astype(gold_BT.dtype), gold_BT))
        if self.backprop:
            soft_BTV = jnp.roll(self.mix.weights(logits_BTV), 1, axis=1)
            y_BTM += _gradient_only(embed, soft_BTV, swap_BT)
        return y_BTM


def coins(rng: jax.Array, rate: jax.typing.ArrayLike, valid_BT: jax.Array) -> jax.Array:
    """Tosses one coin a token, True at ``rate``; False in the first column and at padding."""
    heads_BT = jax.random.bernoulli(rng, rate, valid_BT.shape)
    return heads_BT & valid_BT.astype(bool) & (jnp.arange(valid_BT.shape[1]) > 0)[None, :]


def _gradient_only(embed: Embed, soft_BTV: jax.Array, swap_BT: jax.Array) -> jax.Array:
    """Exactly zero, with the gradient of the softly embedded tokens where ``swap_BT``."""
    zero_BTV = jnp.where(swap_BT[..., None], soft_BTV - jax.lax.stop_gradient(soft_BTV), 0)
    y_BTM = embed(zero_BTV)
    return y_BTM - jax.lax.stop_gradient(y_BTM)

"""Copying from the source: See et al. 2017, "Get To The Point", section 2.2."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.masks import Lengths
from attention.modules.attention.padding import zero_padding
from attention.modules.parameters import parameter
from attention.protocols import Attention
from attention.shapes import accumulator


class Source(NamedTuple):
    """What may be copied.

    Attributes:
      tokens_BS: int ids.
      memory_BSM: what the last layer of the decoder asks, zero at padding.
    """

    tokens_BS: jax.Array
    memory_BSM: jax.Array


def source_of(
    tokens_BS: jax.Array | None, memories: Sequence[jax.Array], lengths_B: jax.Array
) -> Source:
    """The source of these tokens, given what each of the decoder's layers asks.

    Raises:
      ValueError: the tokens are not told.
    """
    if tokens_BS is None:
        raise ValueError("what is copied are the source's tokens: give source_BS")
    return Source(tokens_BS, zero_padding(memories[-1], Lengths(None, lengths_B), keys=True))


class PointerGenerator(nn.Module):
    """P(v) = p P_vocabulary(v) + (1 - p) Σ_s a_s [source token s is v] (equation 9).

    p = σ(w_cᵀ c + w_sᵀ s + w_xᵀ x + b) (equation 8), a being the attention's weights, c = Σ_s a_s
    memory_s, s the decoder's output and x its input. What a lacks to a sum of one (where monotonic
    attention has gone beyond the source, or there is none) is generated: P always sums to one. More
    than one, by dropout or by rounding, is scaled down to one. In the beginning p is 1/2.

    Attributes:
      dtype: compute dtype of p's scores; probabilities are float32 or better.

    Cost: S·M multiply-adds a target token, and a scatter into an array of the logits' size.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        logits_BTV: jax.Array,
        y_BTM: jax.Array,
        x_BTM: jax.Array,
        weights_BTS: jax.Array,
        source: Source,
    ) -> jax.Array:
        """Log-probabilities, which stand for logits.

        Args:
          logits_BTV: scores of the vocabulary.
          y_BTM: the decoder's output, from which they are.
          x_BTM: the decoder's input.
          weights_BTS: how much each source token weighs, zero at padding.
          source: the source, of which one row may serve several, the beams of one sentence, which
            stand together.
        """
        shape, rows = logits_BTV.shape, len(source.tokens_BS)
        logits_BTV, y_BTM, x_BTM, weights_BTS = (
            x.reshape(rows, -1, x.shape[-1]) for x in (logits_BTV, y_BTM, x_BTM, weights_BTS)
        )
        weights_BTS = weights_BTS / jnp.maximum(weights_BTS.sum(axis=-1, keepdims=True), 1)
        context_BTM = jnp.einsum(
            "BTS,BSM->BTM", weights_BTS.astype(self.dtype), source.memory_BSM.astype(self.dtype)
        )
        score_BT1 = self._score(context_BTM, y_BTM, x_BTM)
        copied_BTV = _by_token(weights_BTS, source.tokens_BS, logits_BTV.shape[-1])
        lacking_BT1 = jnp.maximum(1 - weights_BTS.sum(axis=-1, keepdims=True), 0)
        log_generate_BT1 = jax.nn.log_sigmoid(score_BT1)
        log_copy_BT1 = jax.nn.log_sigmoid(-score_BT1)
        log_generate_BT1 = _log_add(log_generate_BT1, log_copy_BT1, lacking_BT1)
        log_vocabulary_BTV = log_generate_BT1 + jax.nn.log_softmax(logits_BTV, axis=-1)
        return _log_add(log_vocabulary_BTV, log_copy_BT1, copied_BTV).reshape(shape)

    def _score(self, *features_BTM: jax.Array) -> jax.Array:
        """The logit of generating, [B, T, 1]."""
        dtype = accumulator(self.dtype)
        w_NM = parameter(
            self,
            "kernel",
            nn.initializers.zeros,
            (None, "model"),
            (len(features_BTM), features_BTM[0].shape[-1]),
        )
        bias = parameter(self, "bias", nn.initializers.zeros, (), ())
        x_NBTM = jnp.stack([x_BTM.astype(self.dtype) for x_BTM in features_BTM])
        score_BT = jnp.einsum(
            "NBTM,NM->BT", x_NBTM, w_NM.astype(self.dtype), preferred_element_type=dtype
        )
        return (score_BT + bias.astype(dtype))[..., None]


def check_copies(cross: Attention | None) -> None:
    """Raises NotImplementedError where there are no weights to copy by."""
    if cross is None or not cross.capabilities.normalised:
        name = "a decoder without it" if cross is None else type(cross).__name__
        raise NotImplementedError(
            f"{name} cannot tell how much is copied from each source token, since "
            "its weights are no shares of one; use Softmax as cross-attention, or copy nothing"
        )


def _by_token(weights_BTS: jax.Array, tokens_BS: jax.Array, vocab_size: int) -> jax.Array:
    """The weights of each token's places in the source together, [B, T, V]."""

    def of_sentence(weights_TS: jax.Array, tokens_S: jax.Array) -> jax.Array:
        return (
            jnp.zeros((len(weights_TS), vocab_size), weights_TS.dtype)
            .at[:, tokens_S]
            .add(weights_TS)
        )

    return jax.vmap(of_sentence)(weights_BTS, tokens_BS)


def _log_add(log_a: jax.Array, log_b: jax.Array, c: jax.Array) -> jax.Array:
    """log(a + b c), with gradients that are finite where c is zero."""
    some = c > 0
    log_bc = log_b + jnp.log(jnp.where(some, c, 1))
    return jnp.where(some, jnp.logaddexp(log_a, log_bc), log_a)

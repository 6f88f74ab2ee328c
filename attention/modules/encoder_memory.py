"""Which of the encoder's layers each layer of the decoder asks.

Each module here takes the encoder's states (its embedded input, then the output of each layer) to
one memory for each layer of the decoder, or to one for all of them.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.modules.layers import normalised
from attention.modules.normalisation import BatchNorm
from attention.modules.parameters import parameter


class LastLayer(nn.Module):
    """All ask the last layer (Vaswani et al. 2017).

    Attributes:
      layers: of the encoder, and of the decoder.
    """

    layers: int

    def __call__(self, states: Sequence[jax.Array]) -> list[jax.Array]:
        return [states[-1]]


class SameLayer(nn.Module):
    """Layer i asks layer i (He et al. 2018, "Layer-Wise Coordination").

    Attributes:
      layers: of the encoder, and of the decoder.
    """

    layers: int

    def __call__(self, states: Sequence[jax.Array]) -> list[jax.Array]:
        return list(states[1:])


class LayerMixture(nn.Module):
    """Each layer asks a mean of the states, by learned weights of its own, softmax over them.

    Bapna et al. 2018, "Training Deeper Neural Machine Translation Models with Transparent
    Attention". All weigh the same at the start.

    Attributes:
      layers: of the encoder, and of the decoder.
      levels: how many of the uppermost states are mixed; all of them, the embedded input too, if 0.
    """

    layers: int
    levels: int = 0

    @nn.compact
    def __call__(self, states: Sequence[jax.Array]) -> list[jax.Array]:
        if not 0 <= self.levels <= len(states):
            raise ValueError(
                f"LayerMixture(levels={self.levels}): an encoder of {self.layers} layers has "
                f"{len(states)} states to mix; choose at most as many, or 0 for all"
            )
        stacked_NBSM = jnp.stack(states[-(self.levels or len(states)) :])
        weights_LN = parameter(
            self, "weights", nn.initializers.zeros, (None, None), (self.layers, len(stacked_NBSM))
        )
        weights_LN = jax.nn.softmax(weights_LN, axis=-1).astype(stacked_NBSM.dtype)
        return list(jnp.einsum("LN,NBSM->LBSM", weights_LN, stacked_NBSM))


def each_normalised(
    norm: nn.Module, memories: Sequence[jax.Array], real_BS: jax.Array
) -> list[jax.Array]:
    """The memories normalised.

    Raises:
      NotImplementedError: a BatchNorm has more than one, of which its running means would be a mix.
    """
    if len(memories) > 1 and isinstance(norm, BatchNorm):
        raise NotImplementedError(
            f"BatchNorm cannot normalise {len(memories)} memories that differ; use "
            "encoder_memory=LastLayer, or pre_norm=False"
        )
    return [normalised(norm, memory_BSM, real_BS) for memory_BSM in memories]

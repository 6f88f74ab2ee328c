"""GRU: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder"."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.variants.mixers import recurrence
from attention.variants.mixers.recurrence import Recurrent


@dataclass(frozen=True)
class GRU(Recurrent):
    """h' = z h + (1 - z) tanh(W x + U (r ⊙ h) + b), equations 5 to 8.

    The gates r and z are σ(W x + U h + b), with weights of their own. As the paper has it, r resets
    the hidden state before the product with U; cuDNN's form, which resets the product, is another
    function. The paper leaves out biases; here they start from zero. Directions and padding are as
    in ``LSTM``.

    Attributes:
      hidden: R, features of the hidden state of a direction; the model's M if 0.
      bidirectional: forward and backward, for encoders; otherwise forward, which is causal.

    Cost: T·R·(3·(M + R) + M) multiply-adds a direction, in T steps one after the other; a cached
    step keeps h alone.

        >>> from attention.shapes import Sizes
        >>> params, _ = GRU(hidden=3).init(jax.random.key(0), Sizes(1, 4, 4, 4))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> GRU(hidden=3).mix(params, {}, jnp.ones((1, 5, 4)), None)[0].shape
        (1, 5, 4)
    """

    name: ClassVar[str] = "gru"
    causal_defaults: ClassVar[Mapping[str, Any]] = {"bidirectional": False}
    forms: ClassVar[tuple[Mapping[str, Any], ...]] = ({"bidirectional": False},)

    hidden: int = 0
    bidirectional: bool = True

    biases: ClassVar[tuple[float, ...]] = (0.0, 0.0, 0.0)
    remembered: ClassVar[int] = 1

    def step(
        self, w_NRGR: jax.Array, carry: recurrence.Carry, x_NBGR: jax.Array
    ) -> recurrence.Carry:
        """The next h."""
        (h_NBR,) = carry
        gates_NBGR = jax.nn.sigmoid(x_NBGR[:, :, :2] + recurrence.product(h_NBR, w_NRGR[:, :, :2]))
        r_NBR, z_NBR = gates_NBGR[:, :, 0], gates_NBGR[:, :, 1]
        reset_NBGR = recurrence.product(r_NBR * h_NBR, w_NRGR[:, :, 2:])
        new_NBR = jnp.tanh((x_NBGR[:, :, 2:] + reset_NBGR)[:, :, 0])
        return (z_NBR * h_NBR + (1 - z_NBR) * new_NBR,)

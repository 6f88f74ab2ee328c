"""LSTM: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory"; forget gates: Gers et al. 2000."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.variants.mixers import recurrence
from attention.variants.mixers.recurrence import Recurrent


@dataclass(frozen=True)
class LSTM(Recurrent):
    """c' = σ(f) c + σ(i) tanh(g) and h' = σ(o) tanh(c'), where i, f, g, o are W x + U h + b.

    Both directions (Schuster & Paliwal 1997) each have parameters of their own; a linear map brings
    their outputs together to the model's size. Padding leaves the memory as it is, so that the
    backward direction starts at a row's last real token. Departures: no peepholes, and forget gates
    start open, from a bias of 1, as Gers et al. have it.

    Attributes:
      hidden: R, features of the hidden state of a direction; the model's M if 0.
      bidirectional: forward and backward, for encoders; otherwise forward, which is causal.

    Cost: T·R·(4·(M + R) + M) multiply-adds a direction, in T steps one after the other; a cached
    step keeps h and c alone.

        >>> from attention.shapes import Sizes
        >>> params, _ = LSTM(hidden=3).init(jax.random.key(0), Sizes(1, 4, 4, 4))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> LSTM(hidden=3).mix(params, {}, jnp.ones((1, 5, 4)), None)[0].shape
        (1, 5, 4)
    """

    name: ClassVar[str] = "lstm"
    causal_defaults: ClassVar[Mapping[str, Any]] = {"bidirectional": False}
    forms: ClassVar[tuple[Mapping[str, Any], ...]] = ({"bidirectional": False},)

    hidden: int = 0
    bidirectional: bool = True

    biases: ClassVar[tuple[float, ...]] = (0.0, 1.0, 0.0, 0.0)
    remembered: ClassVar[int] = 2

    def step(
        self, w_NRGR: jax.Array, carry: recurrence.Carry, x_NBGR: jax.Array
    ) -> recurrence.Carry:
        """The next h and c."""
        h_NBR, c_NBR = carry
        gates_NBGR = x_NBGR + recurrence.product(h_NBR, w_NRGR)
        i, f, g, o = (gates_NBGR[:, :, gate] for gate in range(4))
        c_NBR = jax.nn.sigmoid(f) * c_NBR + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c_NBR), c_NBR

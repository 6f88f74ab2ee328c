"""The base of recurrent networks as token mixers: a cell run over time, in one or both directions.

Arrays have N directions (1 or 2),
G gates and R features of the hidden state.
"""

import abc
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from attention.masks.arrays import check_whole
from attention.protocols import Capabilities, MixerInputs, Needs, TokenMixer, WithAxes, require
from attention.shapes import Sizes, Tree, accumulator

_glorot = jax.nn.initializers.variance_scaling(
    1.0, "fan_avg", "uniform", in_axis=1, out_axis=-1, batch_axis=(0, 2)
)
_orthogonal = jax.nn.initializers.orthogonal()

Carry = tuple[jax.Array, ...]  # what a cell remembers, each [N, B, R]; the first is its output


class Recurrent(TokenMixer):
    """The mixer of a cell.

    Attributes:
      hidden: R, features of the hidden state of a direction; the model's M if 0.
      bidirectional: forward and backward, for encoders; otherwise forward, which is causal.
      biases: what the bias of each gate starts from; as many as there are gates.
      remembered: how many arrays a carry has.
    """

    hidden: int
    bidirectional: bool
    biases: ClassVar[tuple[float, ...]]
    remembered: ClassVar[int]

    @abc.abstractmethod
    def step(self, w_NRGR: jax.Array, carry: Carry, x_NBGR: jax.Array) -> Carry:
        """One time step, given the recurrent weights and what the input gives to each gate."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of range."""
        check_whole(self, 0, "hidden")
        if not isinstance(self.bidirectional, bool):
            raise ValueError(
                f"{type(self).__name__}(bidirectional={self.bidirectional!r}): needs True or False"
            )

    @property
    def capabilities(self) -> Capabilities:
        """Causal, and decoded from a cache, in one direction only."""
        return Capabilities(
            causal="no" if self.bidirectional else "exact",
            decoding="no" if self.bidirectional else "cached",
            projections="none",
            masks="padding and causal",
            attends_globally="all",
            one_way=("bidirectional", False),
            time="n·d²",
            memory="n·d",
            otherwise="with bidirectional=False it is causal" if self.bidirectional else "",
        )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """Weights of inputs, Glorot; of the hidden state, orthogonal; of the output; and biases."""
        ways, gates = 1 + self.bidirectional, len(self.biases)
        hidden, model = self.hidden or sizes.model_size, sizes.model_size
        rng_in, rng_hidden, rng_out = jax.random.split(rng, 3)
        # One after another: on CPUs (jaxlib 0.10.2) a batch of factorisations waits for threads of
        # the pool that it runs in; two such at once, of two layers, have both of two cores wait.
        rng_X = jax.random.split(rng_hidden, ways * gates)
        w_XRR = lax.map(lambda leaf_rng: _orthogonal(leaf_rng, (hidden, hidden)), rng_X)
        w_NRGR = w_XRR.reshape(ways, gates, hidden, hidden).swapaxes(1, 2)
        bias_NGR = jnp.broadcast_to(jnp.array(self.biases)[None, :, None], (ways, gates, hidden))
        w_NRM = _glorot(rng_out, (1, ways * hidden, 1, model)).reshape(ways, hidden, model)
        w_NMGR = _glorot(rng_in, (ways, model, gates, hidden))
        return {
            "input": WithAxes(w_NMGR, (None, "model", None, "hidden")),
            "hidden": WithAxes(w_NRGR, (None, None, None, "hidden")),
            "bias": WithAxes(bias_NGR, (None, None, "hidden")),
            "out": WithAxes(w_NRM, (None, "hidden", "model")),
            "out_bias": WithAxes(jnp.zeros(model), ("model",)),
        }, {}

    def _mix(
        self, params: Tree, state: Tree, inputs: MixerInputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        """Runs over time from nothing; padding is passed over, wherever it stands."""
        x_BTM, real_BT, _ = inputs
        ways, _, _, hidden = params["input"].shape
        nothing_NBR = jnp.zeros((ways, len(x_BTM), hidden), accumulator(x_BTM.dtype))
        out_BTM, _ = self._run(params, (nothing_NBR,) * self.remembered, x_BTM, real_BT)
        return out_BTM, state

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """The carry: as much for any length."""
        require(self, Needs(cached=True))
        nothing_BR = jnp.zeros((batch, params["input"].shape[-1]), accumulator(dtype))
        return {
            "carry_BR": (nothing_BR,) * self.remembered,
            "index_B": jnp.zeros((batch,), jnp.int32),
        }

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: MixerInputs
    ) -> tuple[jax.Array, Tree]:
        """Runs over Q further positions."""
        carry = tuple(carry_BR[None] for carry_BR in cache["carry_BR"])
        out_BQM, carry = self._run(params, carry, inputs.x_BTM, inputs.real_BT)
        return out_BQM, {"carry_BR": tuple(carry_NBR[0] for carry_NBR in carry)}

    def _run(
        self, params: Tree, carry: Carry, x_BTM: jax.Array, real_BT: jax.Array
    ) -> tuple[jax.Array, Carry]:
        """The outputs, and the last carry; the second direction runs backward."""
        dtype = carry[0].dtype
        ways = len(params["input"])
        w_NMGR, w_NRGR, w_NRM = (params[n].astype(x_BTM.dtype) for n in ("input", "hidden", "out"))
        x_NTBM, real_NTB = (
            jnp.stack([x, jnp.flip(x, axis=0)][:ways])
            for x in (x_BTM.swapaxes(0, 1), real_BT.swapaxes(0, 1))
        )
        x_TNBGR = jnp.einsum("NTBM,NMGR->TNBGR", x_NTBM, w_NMGR, preferred_element_type=dtype)
        x_TNBGR += params["bias"].astype(dtype)[None, :, None]

        def body(carry: Carry, at: tuple[jax.Array, jax.Array]) -> tuple[Carry, jax.Array]:
            x_NBGR, real_NB = at
            new = self.step(w_NRGR, carry, x_NBGR)
            carry = tuple(
                jnp.where(real_NB[..., None], after, before)
                for after, before in zip(new, carry, strict=True)
            )
            return carry, carry[0].astype(x_BTM.dtype)

        carry, h_TNBR = lax.scan(body, carry, (x_TNBGR, real_NTB.swapaxes(0, 1)))
        h_NTBR = jnp.stack([h_TNBR[:, 0], *(jnp.flip(h_TNBR[:, n], 0) for n in range(1, ways))])
        out_BTM = jnp.einsum("NTBR,NRM->BTM", h_NTBR, w_NRM, preferred_element_type=dtype)
        return out_BTM + params["out_bias"].astype(dtype)[None, None], carry


def product(h_NBR: jax.Array, w_NRGR: jax.Array) -> jax.Array:
    """What the hidden state gives to each gate, [N, B, G, R]; multiplied in the weights' dtype."""
    return jnp.einsum(
        "NBR,NRGS->NBGS", h_NBR.astype(w_NRGR.dtype), w_NRGR, preferred_element_type=h_NBR.dtype
    )

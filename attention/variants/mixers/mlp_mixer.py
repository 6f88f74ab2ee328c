"""MLP-Mixer: Tolstikhin et al. 2021, "MLP-Mixer: An all-MLP Architecture for Vision"."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from attention.masks.arrays import check_whole
from attention.protocols import Capabilities, MixerInputs, TokenMixer, WithAxes
from attention.shapes import Sizes, Tree, accumulator

_glorot = jax.nn.initializers.xavier_uniform()


@dataclass(frozen=True)
class Mixer(TokenMixer):
    """W₂ gelu(W₁ u + b₁) + b₂ over positions, the same for every feature u (equation 1).

    The weights are made for one length, to which sentences are filled up with zeros; padding within
    a sentence is zeros in its place. What follows it in the paper, the same over features, is the
    feed-forward layer around it.

    Attributes:
      length: the longest sequence, in tokens.
      hidden: D_S in the paper, features of the hidden layer.

    Cost: 2·T·M·hidden multiply-adds.

    Raises:
      ValueError: a field is out of range; in use, a sequence is longer than ``length``.

        >>> mixer, x_BTM = Mixer(length=8, hidden=4), jnp.ones((1, 5, 6))
        >>> params, _ = mixer.init(jax.random.key(0), Sizes(1, 6, 6, 6))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> mixer.mix(params, {}, x_BTM, None)[0].shape
        (1, 5, 6)
    """

    name: ClassVar[str] = "mixer"

    length: int = 512
    hidden: int = 256

    capabilities: ClassVar[Capabilities] = Capabilities(
        fixed_length=True,
        projections="none",
        masks="padding and causal",
        time="n·r·d",
        memory="n·d",
        attends_globally="all",
    )

    def __post_init__(self) -> None:
        check_whole(self, 1, "length", "hidden")

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """W₁ [length, hidden] and W₂ [hidden, length], and their biases."""
        rng_in, rng_out = jax.random.split(rng)
        return {
            "in": WithAxes(_glorot(rng_in, (self.length, self.hidden)), ("position", "hidden")),
            "in_bias": WithAxes(jnp.zeros(self.hidden), ("hidden",)),
            "out": WithAxes(_glorot(rng_out, (self.hidden, self.length)), ("hidden", "position")),
            "out_bias": WithAxes(jnp.zeros(self.length), ("position",)),
        }, {}

    def _mix(
        self, params: Tree, state: Tree, inputs: MixerInputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        """Mixes positions; where zeros would stand, beyond the end, nothing is multiplied."""
        x_BTM = inputs.x_BTM
        length, dtype = x_BTM.shape[1], accumulator(x_BTM.dtype)
        w_TF, w_FT = (params[name].astype(x_BTM.dtype) for name in ("in", "out"))
        x_BMT = x_BTM.swapaxes(1, 2)
        h_BMF = jnp.einsum("BMT,TF->BMF", x_BMT, w_TF[:length], preferred_element_type=dtype)
        h_BMF += params["in_bias"].astype(dtype)[None, None]
        h_BMF = jax.nn.gelu(h_BMF, approximate=False).astype(x_BTM.dtype)
        y_BMT = jnp.einsum("BMF,FT->BMT", h_BMF, w_FT[:, :length], preferred_element_type=dtype)
        y_BMT += params["out_bias"].astype(dtype)[None, None, :length]
        return y_BMT.swapaxes(1, 2), state

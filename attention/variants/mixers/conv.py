"""Convolutions over tokens: depthwise separable, lightweight and dynamic.

Wu et al. 2019, "Pay Less Attention with Lightweight and Dynamic Convolutions"; Kaiser et al. 2018,
"Depthwise Separable Convolutions for Neural Machine Translation".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.masks.arrays import check_whole
from attention.protocols import Capabilities, MixerInputs, TokenMixer, WithAxes
from attention.shapes import Sizes, Tree, accumulator

KINDS = "separable", "light", "dynamic"
_glorot = jax.nn.initializers.xavier_uniform()


@dataclass(frozen=True)
class Conv(TokenMixer):
    """out(Σ_o w_o u_(t + o)) over the offsets o from -left to right.

    "separable": u is the layer's input, w a weight for each feature and offset, ``out`` a linear
    map over features. "light" (section 3): u is a gated linear unit of the input, and H heads each
    have one softmax over offsets, which all of their features share. "dynamic" (section 4): the
    same with a softmax that a linear map makes from u_t.

    What a token does not see counts nothing, as beyond the ends of the sentence: padding, and under
    a causal mask the offsets above zero. The paper's causal kernel is ``right=0``, whose softmax
    spends no weight on what is not there. Departure: without DropConnect.

    Attributes:
      kind: "separable", "light" or "dynamic".
      left, right: how many tokens before and after its own position one sees.

    Cost: T·M² multiply-adds for "separable", 3·T·M² for the others, and for "dynamic" T·M·H·W more,
    with W = left + right + 1; beside them T·M·W, as products of single numbers. A cached step keeps
    ``left`` tokens.

    Raises:
      ValueError: a field is out of range, or heads do not divide the model's size.

        >>> params, _ = Conv("light").init(jax.random.key(0), Sizes(2, 2, 2, 4))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> Conv("light").mix(params, {}, jnp.ones((1, 5, 4)), None)[0].shape
        (1, 5, 4)
    """

    name: ClassVar[str] = "conv"
    causal_defaults: ClassVar[Mapping[str, Any]] = {"left": 6, "right": 0}

    kind: str = "separable"
    left: int = 3
    right: int = 3

    capabilities: ClassVar[Capabilities] = Capabilities(
        causal="exact",
        decoding="cached",
        projections="none",
        masks="padding and causal",
        time="n·w·d + n·d²",
        memory="n·d",
        one_way=("right", 0),
    )

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Conv(kind={self.kind!r}): needs one of {', '.join(KINDS)}")
        check_whole(self, 0, "left", "right")

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """The kernel, the linear maps, and their biases."""
        model, heads, width = sizes.model_size, sizes.heads, self.left + self.right + 1
        rng_in, rng_kernel, rng_out = jax.random.split(rng, 3)
        params = {
            "out": WithAxes(_glorot(rng_out, (model, model)), (None, "model")),
            "out_bias": WithAxes(jnp.zeros(model), ("model",)),
        }
        if self.kind == "separable":
            w_WM = jax.random.normal(rng_kernel, (width, model)) / width**0.5
            return params | {"kernel": WithAxes(w_WM, (None, "model"))}, {}
        if model % heads:
            raise ValueError(
                f"Conv(kind={self.kind!r}): needs heads that divide the model's size, got {heads} "
                f"for {model}"
            )
        w_M2M = _glorot(rng_in, (2, model, model)).swapaxes(0, 1)
        params |= {
            "in": WithAxes(w_M2M, ("model", None, None)),
            "in_bias": WithAxes(jnp.zeros((2, model)), (None, None)),
        }
        if self.kind == "light":
            w_WH = _glorot(rng_kernel, (width, heads))
            return params | {"kernel": WithAxes(w_WH, (None, "heads"))}, {}
        w_MWH = _glorot(rng_kernel, (model, width * heads)).reshape(model, width, heads)
        return params | {"kernel": WithAxes(w_MWH, ("model", None, "heads"))}, {}

    def _mix(
        self, params: Tree, state: Tree, inputs: MixerInputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        """Convolves each sentence with zeros before and after it."""
        u_BTM = self._convolved_input(params, inputs)
        right = 0 if inputs.causal else self.right
        around_BTM = jnp.pad(u_BTM, ((0, 0), (self.left, right), (0, 0)))
        return self._out(params, u_BTM, around_BTM), state

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """The latest ``left`` tokens, as they are convolved; zeros before the first."""
        return {
            "u_BLM": jnp.zeros((batch, self.left, sizes.model_size), dtype),
            "index_B": jnp.zeros((batch,), jnp.int32),
        }

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: MixerInputs
    ) -> tuple[jax.Array, Tree]:
        """Convolves Q further tokens with those before them."""
        u_BQM = self._convolved_input(params, inputs)
        around_BTM = jnp.concatenate([cache["u_BLM"], u_BQM], axis=1)
        return self._out(params, u_BQM, around_BTM), {"u_BLM": around_BTM[:, u_BQM.shape[1] :]}

    def _convolved_input(self, params: Tree, inputs: MixerInputs) -> jax.Array:
        """u: the input, or a gated linear unit of it; zero at padding."""
        x_BTM, real_BT, _ = inputs
        if self.kind == "separable":
            return x_BTM
        dtype = accumulator(x_BTM.dtype)
        u_BT2M = jnp.einsum(
            "BTM,MGN->BTGN", x_BTM, params["in"].astype(x_BTM.dtype), preferred_element_type=dtype
        )
        u_BT2M += params["in_bias"].astype(dtype)[None, None]
        u_BTM = u_BT2M[:, :, 0] * jax.nn.sigmoid(u_BT2M[:, :, 1])
        return jnp.where(real_BT[..., None], u_BTM, 0).astype(x_BTM.dtype)

    def _weights(self, params: Tree, u_BTM: jax.Array) -> jax.Array:
        """w_BTWH, or [1, 1, W, H] where all tokens have the same; H is M for "separable"."""
        dtype = accumulator(u_BTM.dtype)
        if self.kind == "separable":
            return params["kernel"].astype(dtype)[None, None]
        if self.kind == "light":
            return jax.nn.softmax(params["kernel"].astype(dtype), axis=0)[None, None]
        w_MWH = params["kernel"].astype(u_BTM.dtype)
        s_BTWH = jnp.einsum("BTM,MWH->BTWH", u_BTM, w_MWH, preferred_element_type=dtype)
        return jax.nn.softmax(s_BTWH, axis=2)

    def _out(self, params: Tree, u_BTM: jax.Array, around_BTM: jax.Array) -> jax.Array:
        """The tokens u with what stands around them convolved, and mapped."""
        w_BTWH = self._weights(params, u_BTM)
        dtype, (batch, length, model), heads = w_BTWH.dtype, u_BTM.shape, w_BTWH.shape[3]
        around_BTHC = around_BTM.reshape(batch, -1, heads, model // heads)
        y_BTHC = jnp.zeros((batch, length, heads, model // heads), dtype)
        for offset in range(around_BTM.shape[1] - length + 1):
            seen_BTHC = around_BTHC[:, offset : offset + length].astype(dtype)
            y_BTHC += w_BTWH[:, :, offset, :, None] * seen_BTHC
        y_BTM = y_BTHC.reshape(batch, length, model).astype(u_BTM.dtype)
        out_BTM = jnp.einsum(
            "BTM,MN->BTN", y_BTM, params["out"].astype(y_BTM.dtype), preferred_element_type=dtype
        )
        return out_BTM + params["out_bias"].astype(dtype)[None, None]

"""Longformer: Beltagy et al. 2020, "Longformer: The Long-Document Transformer"."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from attention import masks
from attention.kernels import Inputs, attend_by_softmax, softmax_attention
from attention.protocols import Capabilities, WithAxes
from attention.shapes import Sizes, Tree
from attention.variants.patterns import windows
from attention.variants.patterns.base import PatternAttention

_NAMES = ("global_query", "global_key", "global_value")
_INIT = jax.nn.initializers.variance_scaling(1.0, "fan_avg", "uniform", in_axis=0, out_axis=(1, 2))


@dataclass(frozen=True)
class Longformer(PatternAttention):
    """A window for every token, perhaps dilated, and global tokens with projections of their own.

    Global tokens are seen by all, and see all (section 3.1): a token that is not global asks with
    the layer's queries and keys, q_s and k_s; a global one with q_g, k_g and v_g, which are further
    projections of the layer's input. Without global tokens it is causal where a mask says so, as
    the paper's language models are (section 4.1).

    Attributes:
      left, right: how many keys before and after its own position a token sees, a number for each
        head, or one for all.
      step: positions from one of them to the next, likewise.
      first: how many tokens from the start are global.
      positions: further ones, by position; each sequence has to reach the last.
      dropout_rate: share of attention weights dropped in training.
      kernel: how the window is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(left + right + 1 + g)·(D + E) multiply-adds a head, g·K·(D + E) for g global tokens,
    and 3·K·M·D for their projections; a cached step keeps as many keys as the head that looks
    farthest needs.

    Raises:
      ValueError: a number is out of range, or there are several for unlike numbers of heads; in
        use, for another number of heads than the attention has, or a position lies beyond the
        length.

        >>> local, x_BTHD = Longformer(left=2, right=2, first=0), jnp.ones((1, 9, 2, 4))
        >>> local.attend({}, {}, x_BTHD, x_BTHD, x_BTHD, masks.Causal())[0].shape
        (1, 9, 2, 4)
    """

    name: ClassVar[str] = "longformer"
    causal_defaults: ClassVar[Mapping[str, Any]] = {"first": 0}
    forms: ClassVar[tuple[Mapping[str, Any], ...]] = ({"first": 0},)

    left: int | tuple[int, ...] = (64,)
    right: int | tuple[int, ...] = (64,)
    step: int | tuple[int, ...] = (1,)
    first: int = 1
    positions: tuple[int, ...] = ()
    dropout_rate: float = 0.0
    kernel: str = "auto"

    def __post_init__(self) -> None:
        windows.check(self)
        object.__setattr__(self, "positions", self._chosen().positions)

    @property
    def capabilities(self) -> Capabilities:
        """Causal and decoded from a cache without global tokens only."""
        if self._has_global():
            return Capabilities(
                bias=True,
                needs_x=True,
                otherwise="without global tokens, first=0, it is causal",
                time="n·(w + g)·d",
                memory="n·d",
                attends_globally="first",
            )
        return Capabilities(
            causal="exact",
            bias=True,
            decoding="cached",
            grouped=True,
            time="n·(w + g)·d",
            memory="n·d",
            attends_globally="first",
        )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """The global tokens' projections: kernels [M, H, D or E] and biases."""
        if not self._has_global():
            return {}, {}
        ends = (sizes.size, sizes.size, sizes.value_size)
        axes = ("model", "heads", "head_size")
        params = {}
        for name, size, leaf_rng in zip(_NAMES, ends, jax.random.split(rng, 3), strict=True):
            shape = (sizes.model_size, sizes.heads, size)
            params[name] = {
                "kernel": WithAxes(_INIT(leaf_rng, shape), axes),
                "bias": WithAxes(jnp.zeros(shape[1:]), axes[1:]),
            }
        return params, {}

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        return self._gathered(params, inputs, rng), state

    def _gather(self, params: Tree, state: Tree, inputs: Inputs) -> tuple[jax.Array, Tree]:
        """Global tokens gather ``v`` too, not values of their own."""
        return self._gathered(params, inputs, None, global_BKHE=inputs.v_BKHE), state

    def pattern(self, heads: int) -> masks.Mask:
        """Who may look at whom."""
        return windows.pattern(self, also=self._chosen())

    def reach(self) -> int:
        """As far as the farthest key of any head."""
        return windows.reach(self)

    def _chosen(self) -> masks.Global:
        return masks.Global(self.first, self.positions)

    def _has_global(self) -> bool:
        return self.first > 0 or bool(self.positions)

    def _gathered(
        self,
        params: Tree,
        inputs: Inputs,
        rng: jax.Array | None,
        global_BKHE: jax.Array | None = None,
    ) -> jax.Array:
        """The values of ``v``; global tokens those of ``global_BKHE``, or of their own if None."""
        rngs = (None, None) if rng is None else jax.random.split(rng)
        of_window = partial(
            attend_by_softmax, dropout_rate=self.dropout_rate, rng=rngs[0], kernel=self.kernel
        )
        mask, length = inputs.mask, inputs.q_BQHD.shape[1]
        if not self._has_global():
            return of_window(inputs.under(windows.pattern(self)))
        chosen = self._chosen()
        chosen.check(length, length)
        out_BQHE = of_window(inputs.under(windows.pattern(self, also=chosen.keys())))
        chosen_G = masks.positions_of(chosen, length)
        if not len(chosen_G):
            return out_BQHE
        q_BGHD, k_g, v_g = self._projected(params, inputs, chosen_G)
        v_g = v_g if global_BKHE is None else global_BKHE
        q_pos, k_pos = chosen_G[None, None, :, None], np.arange(length)[None, None, None]
        see = mask.at(q_pos, k_pos)
        see = jnp.broadcast_to(see, (*see.shape[:2], len(chosen_G), length))
        bias = None if inputs.bias is None else inputs.bias.at(q_pos, k_pos)
        rows_BGHE = softmax_attention(
            q_BGHD, k_g, v_g, see, bias=bias, dropout_rate=self.dropout_rate, rng=rngs[1]
        ).astype(out_BQHE.dtype)
        for g, position in enumerate(chosen_G.tolist()):
            row_B1HE = rows_BGHE[:, g : g + 1]
            out_BQHE = jax.lax.dynamic_update_slice_in_dim(out_BQHE, row_B1HE, position, 1)
        return out_BQHE

    def _projected(
        self, params: Tree, inputs: Inputs, chosen_G: np.ndarray
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """q_g of the global tokens, and k_g and v_g of all."""
        dtype = inputs.q_BQHD.dtype
        q_x_BTM, k_x_BTM = (
            jnp.where(real_BT[..., None], inputs.x_BTM, 0)
            for real_BT in (inputs.q_real_BQ, inputs.k_real_BK)
        )
        q_BGHD = _project(params[_NAMES[0]], q_x_BTM[:, chosen_G], dtype)
        k_BTHD, v_BTHE = (_project(params[name], k_x_BTM, dtype) for name in _NAMES[1:])
        return q_BGHD, k_BTHD, v_BTHE


def _project(params: Tree, x_BTM: jax.Array, dtype: Any) -> jax.Array:
    """x W + b, [B, T, H, D]."""
    x_BTM, w_MHD, b_HD = (a.astype(dtype) for a in (x_BTM, params["kernel"], params["bias"]))
    y_XN = x_BTM.reshape(-1, x_BTM.shape[-1]) @ w_MHD.reshape(len(w_MHD), -1)
    return y_XN.reshape(*x_BTM.shape[:2], *b_HD.shape) + b_HD[None, None]

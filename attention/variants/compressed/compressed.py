"""Memory-compressed attention (Liu et al. 2018).

"Generating Wikipedia by Summarizing Long Sequences".
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels import Inputs, softmax_attention
from attention.kernels.decode import cache as cache_of_heads
from attention.kernels.decode.step import step_attention
from attention.kernels.inputs import real_at
from attention.masks import (
    Causal,
    Completed,
    Everything,
    Mask,
    Valid,
    conjuncts,
)
from attention.masks.arrays import check_whole
from attention.protocols import Attention, Capabilities, WithAxes
from attention.shapes import Sizes, Tree, accumulator

_INIT = jax.nn.initializers.lecun_normal(in_axis=(1, 2), out_axis=3, batch_axis=0)


@dataclass(frozen=True)
class Compressed(Attention):
    """Softmax attention to keys and values that a strided convolution makes fewer (T-DMCA).

    Key j, and its value, mixes the ``kernel`` positions from ``stride``·j on, and all channels of a
    head; padding counts as zero. Under a causal mask a query sees what is complete: the first
    kernel - 1 see nothing, and get zero. Otherwise a last key of fewer positions is seen too, and
    every key in which some token is real.

    The paper's convolution mixes all channels of the layer; here each head has its own, and neither
    has a bias: in keys it would change no softmax, and the output is linear in the values.

    Attributes:
      kernel: C, positions that a key is made of, in tokens; at least ``stride``.
      stride: positions from one key to the next.
      dropout_rate: share of attention weights dropped in training.

    Cost: Q·K/stride·(D + E) multiply-adds a head, and K·C/stride·(D² + E²) for the convolutions. A
    cached step is linear in the prefix, of which it keeps keys and values made so far.

    Raises:
      ValueError: a field is out of range.

        >>> compressed, x_BTHD = Compressed(), jnp.ones((1, 7, 2, 4))
        >>> params, _ = compressed.init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> params["keys"].shape
        (2, 3, 4, 4)
        >>> out_BTHE, _ = compressed.attend(params, {}, x_BTHD, x_BTHD, x_BTHD, Causal())
        >>> out_BTHE[0].any(axis=(1, 2)).astype(int)
        Array([0, 0, 1, 1, 1, 1, 1], dtype=int32)
    """

    name: ClassVar[str] = "compressed"

    kernel: int = 3
    stride: int = 3
    dropout_rate: float = 0.0

    capabilities: ClassVar[Capabilities] = Capabilities(
        causal="exact",
        cross=True,
        decoding="cached",
        masks="padding and causal",
        time="n²·d/s",
        memory="n·d",
        attends_globally="all",
    )

    def __post_init__(self) -> None:
        check_whole(self, 1, "kernel", "stride")
        if self.kernel < self.stride:
            raise ValueError(
                f"Compressed(kernel={self.kernel}): needs at least stride, {self.stride}, "
                "else some tokens are in no key"
            )
        if not 0.0 <= self.dropout_rate < 1.0:
            raise ValueError(f"Compressed(dropout_rate={self.dropout_rate}): needs to be in [0, 1)")

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """The convolutions' kernels, "keys" [H, C, D, D] and "values" [H, C, E, E]."""
        axes = ("heads", None, "head_size", None)
        ends = {"keys": sizes.size, "values": sizes.value_size}
        return {
            name: WithAxes(_INIT(leaf_rng, (sizes.heads, self.kernel, size, size)), axes)
            for (name, size), leaf_rng in zip(ends.items(), jax.random.split(rng), strict=True)
        }, {}

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        k_BNHD = self._convolved(inputs.k_BKHD, params["keys"])
        v_BNHE = self._convolved(inputs.v_BKHE, params["values"])
        mask = self._mask_of_made(inputs)
        out_BQHE = softmax_attention(
            inputs.q_BQHD, k_BNHD, v_BNHE, mask, dropout_rate=self.dropout_rate, rng=rng
        )
        return out_BQHE, state

    def _gather(self, params: Tree, state: Tree, inputs: Inputs) -> tuple[jax.Array, Tree]:
        """Values weighed by how much they move an output: the derivative's Frobenius norm.

        In ``attend`` channels mix, and no single number weighs a value. All Q·K norms are made.
        """
        q_BQHD, k_BKHD, v_BKHE = inputs[:3]
        eye_BKHK = jnp.eye(k_BKHD.shape[1], dtype=v_BKHE.dtype)[None, :, None]
        eye_BKHK = jnp.where(inputs.k_real_BK[:, :, None, None], eye_BKHK, 0)
        eye_BKHK = jnp.broadcast_to(eye_BKHK, (*k_BKHD.shape[:3], k_BKHD.shape[1]))
        # Of any sum of a head's kernels, weighed, the norm is that of X numbers, at most C.
        w_HCP = params["values"].reshape(*params["values"].shape[:2], -1)
        # One head after another: a batch may wait for ever, see variants.mixers.recurrence.
        w_HXC = lax.map(partial(jnp.linalg.qr, mode="r"), w_HCP.mT)
        v_BNHXK = jnp.einsum("BNCHK,HXC->BNHXK", self._windows(eye_BKHK), w_HXC)
        v_BNHP = v_BNHXK.reshape(*v_BNHXK.shape[:3], -1)
        k_BNHD = self._convolved(k_BKHD, params["keys"])
        out_BQHP = softmax_attention(q_BQHD, k_BNHD, v_BNHP, self._mask_of_made(inputs))
        out_BQHXK = out_BQHP.reshape(*out_BQHP.shape[:3], *v_BNHXK.shape[3:])
        norm_BQHK = jnp.linalg.norm(out_BQHXK, axis=3).astype(v_BKHE.dtype)
        return jnp.einsum("BQHK,BKHE->BQHE", norm_BQHK, v_BKHE), state

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """Room for the keys and values of ``length`` positions, and which have a real token.

        Each position is added to what it is in as it comes, in float32 at least, so that none is
        kept. Keys that the last positions only begin have room too: a longer cache may be grown
        from this one.
        """
        keys = max(1, -(-length // self.stride))
        cache = cache_of_heads.empty(sizes, batch, keys, accumulator(dtype))
        return cache | {"real_BN": jnp.zeros((batch, keys), bool)}

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: Inputs
    ) -> tuple[jax.Array, Tree]:
        q_BQHD, k_BQHD, v_BQHE = inputs[:3]
        (batch, new), keys = q_BQHD.shape[:2], cache["real_BN"].shape[1]
        at_BQ = cache["index_B"][:, None] + jnp.arange(new)[None]
        real_BQ = real_at(inputs.mask, at_BQ)
        first_BQC = at_BQ[..., None] - jnp.arange(self.kernel)[None, None]
        is_in_BQC = real_BQ[..., None] & (first_BQC >= 0) & (first_BQC % self.stride == 0)
        n_BQC = jnp.where(is_in_BQC, first_BQC // self.stride, keys)  # beyond the last: dropped
        b_B11 = jnp.arange(batch)[:, None, None]

        def added(name: str, x_BQHD: jax.Array, w_HCDF: jax.Array) -> jax.Array:
            x_BQHD = jnp.where(real_BQ[:, :, None, None], x_BQHD, 0)
            y_BQCHF = _product("BQHD,HCDF->BQCHF", x_BQHD, w_HCDF)
            kept_BHKF = cache[name]
            return kept_BHKF.at[b_B11, :, n_BQC].add(y_BQCHF.astype(kept_BHKF.dtype), mode="drop")

        kept = {
            "k_BHKD": added("k_BHKD", k_BQHD, params["keys"]),
            "v_BHKE": added("v_BHKE", v_BQHE, params["values"]),
            "real_BN": cache["real_BN"].at[b_B11, n_BQC].set(True, mode="drop"),
            "index_B": cache["index_B"] + new,
        }
        n_111N = jnp.arange(keys)[None, None, None]
        see_BHQN = Completed(self.kernel, self.stride).at(at_BQ[:, None, :, None], n_111N)
        see_BHQN &= real_BQ[:, None, :, None] & kept["real_BN"][:, None, None]
        k_BHND, v_BHNE = (
            kept[name].astype(x.dtype) for name, x in (("k_BHKD", k_BQHD), ("v_BHKE", v_BQHE))
        )
        return step_attention(q_BQHD, k_BHND, v_BHNE, see_BHQN), kept

    def _mask_of_made(self, inputs: Inputs) -> Mask:
        """Which queries see which of the keys that are made."""
        mask = Completed(self.kernel, self.stride) if inputs.causal else Everything()
        if all(isinstance(part, Causal) for part in conjuncts(inputs.mask)):
            return mask
        return mask & Valid(inputs.q_real_BQ, self._windows(inputs.k_real_BK).any(axis=2))

    def _convolved(self, x_BKHD: jax.Array, w_HCDF: jax.Array) -> jax.Array:
        y_BNHF = _product("BNCHD,HCDF->BNHF", self._windows(x_BKHD), w_HCDF)
        return y_BNHF.astype(x_BKHD.dtype)

    def _windows(self, x_BKX: jax.Array) -> jax.Array:
        """The positions that each key is made of, [B, N, C, ...]; zero from the end on."""
        k_len = x_BKX.shape[1]
        last = (-(-k_len // self.stride) - 1) * self.stride
        after = [(0, 0)] * (x_BKX.ndim - 2)
        x_BKX = jnp.pad(x_BKX, ((0, 0), (0, last + self.kernel - k_len), *after))
        parts = [x_BKX[:, c : c + last + 1 : self.stride] for c in range(self.kernel)]
        return jnp.stack(parts, axis=2)


def _product(axes: str, x: jax.Array, w: jax.Array) -> jax.Array:
    """At least in float32."""
    return jnp.einsum(axes, x, w.astype(x.dtype), preferred_element_type=accumulator(x.dtype))

"""Random feature attention: Peng et al. 2021, "Random Feature Attention"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from attention.masks.arrays import check_whole
from attention.protocols import Capabilities, WithAxes
from attention.shapes import Sizes, Tree, unit
from attention.variants.linear import kernelised
from attention.variants.linear.base import LinearAttention


@dataclass(frozen=True)
class RFA(LinearAttention):
    """φ(q)ᵀ Σ φ(k) vᵀ / φ(q)ᵀ Σ φ(k), φ(x) = [sin ωᵀx; cos ωᵀx] / sqrt(R) (equations 3 and 5).

    Queries and keys are scaled to length one, and ω is normal with a learned deviation, 1/σ for
    each feature of a head: for one σ, φ(q)·φ(k) is exp(-|q - k|²/(2σ²)) on average, which is
    exp(qᵀk/σ²) but for a factor. With gates (section 3.2) the causal sums are

        S_t = g_t S_{t-1} + (1 - g_t) φ(k_t) v_tᵀ,    z_t = g_t z_{t-1} + (1 - g_t) φ(k_t)

    for g_t = sigmoid(wᵀx_t + b) of the layer's input, w and b of each head; padding leaves them as
    they are. The paper gates causal attention alone; without a causal mask we let later keys fade
    towards a query as earlier ones do. φ(q)ᵀz estimates a mean over keys, and can be small or even
    negative: its size is kept at least ``floor`` times the keys' number (with gates, what they
    leave of the 1 - g), and its sign as it is.

    Attributes:
      random_features: R, draws of each head; D if 0.
      gated: whether sums fade.
      floor: see above.

    Cost: 2·(Q + K)·R·(D + E) multiply-adds a head, causally also Q·64·(2·R + E); a cached step
    costs 4·R·(D + E), whatever the prefix, of which it keeps 2·R·(E + 1) numbers.

        >>> x_BTHD = jnp.ones((1, 3, 2, 4))
        >>> params, state = RFA().init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> params, state = ({n: x.value for n, x in t.items()} for t in (params, state))
        >>> RFA().attend(params, state, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "rfa"
    forms: ClassVar[tuple[Mapping[str, Any], ...]] = ({"gated": True},)

    random_features: int = 0
    gated: bool = False
    floor: float = 0.01

    def __post_init__(self) -> None:
        check_whole(self, 0, "random_features")
        if not 0.0 < self.floor < 1.0:
            raise ValueError(f"RFA(floor={self.floor!r}): needs to be above 0 and below 1")

    @property
    def capabilities(self) -> Capabilities:
        """With gates it follows one sequence, and needs the layer's input."""
        return Capabilities(
            causal="exact",
            cross=not self.gated,
            decoding="cached",
            needs_x=self.gated,
            masks="padding and causal",
            time="n·r·d",
            memory="n·(d + h·r)",
            across="with gated=False it attends across sequences" if self.gated else "",
            attends_globally="all",
        )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """Logarithms of σ [H, D], and w [M, H] and b [H] of the gates; of state ω [H, R, D]."""
        of_draws, of_gate = jax.random.split(rng)
        params: Tree = {
            "log_sigma": WithAxes(jnp.zeros((sizes.heads, sizes.size)), ("heads", "head_size"))
        }
        if self.gated:
            w_MH = jax.nn.initializers.lecun_normal()(of_gate, (sizes.model_size, sizes.heads))
            params["gate"] = WithAxes(w_MH, ("model", "heads"))
            params["bias"] = WithAxes(jnp.zeros(sizes.heads), ("heads",))
        shape = sizes.heads, self._count(sizes.size), sizes.size
        draws_HRD = jax.random.normal(of_draws, shape)
        return params, {"draws_HRD": WithAxes(draws_HRD, ("heads", None, "head_size"))}

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """A cache of constant size, whatever the ``length``."""
        features = 2 * self._count(sizes.size)
        return kernelised.start_sums(sizes, batch, features, dtype, least=self.floor)

    def _count(self, size: int) -> int:
        return self.random_features or size

    def gathered(
        self, params: Tree, state: Tree, qkv: kernelised.Products, x_BTM: Any
    ) -> tuple[jax.Array, Tree]:
        """By sums of waves; with gates they fade."""
        draws_HRD = lax.stop_gradient(state["draws_HRD"]) * jnp.exp(-params["log_sigma"])[:, None]
        q_BQHR, k_BKHR = (_features(x, draws_HRD) for x in (qkv.q_BQHD, qkv.k_BKHD))
        if not self.gated:
            return kernelised.by_sums(qkv, q_BQHR, k_BKHR, least=self.floor)
        x_BTM = jnp.where(qkv.k_real_BK[..., None], x_BTM, 0).astype(q_BQHR.dtype)
        w_MH, b_H = (params[name].astype(q_BQHR.dtype) for name in ("gate", "bias"))
        gate_BTH1 = (jnp.einsum("BTM,MH->BTH", x_BTM, w_MH) + b_H[None, None])[..., None]
        return kernelised.by_sums(
            qkv,
            q_BQHR,
            k_BKHR,
            weight_BKH1=jax.nn.sigmoid(-gate_BTH1),
            log_gate_BKH1=jax.nn.log_sigmoid(gate_BTH1),
            least=self.floor,
        )


def _features(x_BTHD: jax.Array, draws_HRD: jax.Array) -> jax.Array:
    """[sin; cos] of the draws' products with x at length one, over sqrt(R): [B, T, H, 2·R]."""
    angle_BTHR = jnp.einsum("BTHD,HRD->BTHR", unit(x_BTHD), draws_HRD.astype(x_BTHD.dtype))
    waves_BTHR = jnp.concatenate([jnp.sin(angle_BTHR), jnp.cos(angle_BTHR)], axis=-1)
    return waves_BTHR / math.sqrt(angle_BTHR.shape[-1])

"""How softmax attention under a mask is computed.

>>> import jax.numpy as jnp
>>> from attention.kernels import softmax_attention
>>> from attention.masks import Causal
>>> x_BTHD = jnp.ones((1, 4, 2, 8))
>>> softmax_attention(x_BTHD, x_BTHD, x_BTHD, Causal()).shape
(1, 4, 2, 8)
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from attention.biases import Bias
from attention.kernels.choice import KERNELS, choose, explained
from attention.kernels.dropped import Dropped, check_rate, draw
from attention.kernels.heads import by_head, check_heads, differs_by_head
from attention.kernels.inputs import Inputs, checked, read_inputs
from attention.kernels.request import Request
from attention.kernels.rows import Extras, pad_extras
from attention.kernels.sharded import over_mesh, splits_heads
from attention.masks import Everything, Mask

__all__ = [
    "KERNELS",
    "Inputs",
    "attend_by_softmax",
    "check_heads",
    "explain",
    "read_inputs",
    "softmax_attention",
]


def softmax_attention(
    q_BQHD: jax.Array,
    k_BKGD: jax.Array,
    v_BKGE: jax.Array,
    mask: Any = None,
    *,
    bias: Any = None,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    rng: jax.Array | None = None,
    kernel: str = "auto",
) -> jax.Array:
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1).

    Args:
      q_BQHD: queries, floating.
      k_BKGD: keys; G may be any divisor of H, each head then serving H/G query heads in a row
        (Ainslie et al. 2023, "GQA").
      v_BKGE: values.
      mask: a Mask, a boolean array (True means "may look") or None.
      bias: added to the scaled scores: a Bias, or an array broadcastable to [B, H, Q, K].
      scale: factor on the scores; 1/sqrt(D) by default.
      dropout_rate: share of attention weights dropped, in [0, 1); needs ``rng`` to take effect.
      rng: a typed key; given means training.
      kernel: "auto", or the name of a kernel to force; see ``explain``. The choice changes results
        by rounding only. Reverse-mode derivatives only.

    Returns:
      out_BQHE in v's dtype; a query that sees nothing gets zeros.

    Raises:
      ValueError: shapes do not fit, the rate is out of range, or the kernel is unknown.
      TypeError: an argument or the bias is not floating, or a mask not boolean.
      NotImplementedError: the kernel that is forced cannot do this.

    Cost: (D + E) multiply-adds a head for each pair that the mask shows, and for what else its
    tiles or blocks hold; memory is linear in Q and K.
    """
    inputs = read_inputs(q_BQHD, k_BKGD, v_BKGE, mask, bias)
    return attend_by_softmax(inputs, scale=scale, dropout_rate=dropout_rate, rng=rng, kernel=kernel)


def attend_by_softmax(
    inputs: Inputs,
    *,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    rng: jax.Array | None = None,
    kernel: str = "auto",
) -> jax.Array:
    """``softmax_attention`` of inputs that ``read_inputs`` made."""
    q_BQHD, k_BKGD, v_BKGE, given, bias, _ = inputs
    mask: Any = None if isinstance(given, Everything) else given
    check_rate(dropout_rate)
    dropout = dropout_rate > 0.0 and rng is not None
    (batch, q_len, heads, size), k_len = q_BQHD.shape, k_BKGD.shape[1]
    if 0 in (batch, q_len, k_len):  # nothing to see, or to see it
        return jnp.zeros((batch, q_len, heads, v_BKGE.shape[3]), v_BKGE.dtype)
    dropped = draw(rng, dropout_rate, (batch, heads, q_len, k_len)) if dropout else None  # type: ignore[arg-type]
    scale = 1.0 / math.sqrt(size) if scale is None else scale
    mask, bias, dropped = pad_extras(Extras(mask, bias, dropped), q_len, k_len)
    one = partial(_one_mask, kernel, scale)
    # Splash attention takes heads that differ together, but needs to know which ones they are.
    apart = kernel in ("auto", "sparse") or (kernel == "splash" and splits_heads(q_BQHD, k_BKGD))
    if differs_by_head(mask) and apart:
        k_BKHD, v_BKHE = (jnp.repeat(x, heads // x.shape[2], axis=2) for x in (k_BKGD, v_BKGE))
        return by_head(one, q_BQHD, k_BKHD, v_BKHE, mask, (bias, dropped))
    return one(q_BQHD, k_BKGD, v_BKGE, mask, (bias, dropped))


def _one_mask(
    kernel: str,
    scale: float,
    q_BQHD: jax.Array,
    k_BKGD: jax.Array,
    v_BKGE: jax.Array,
    mask: Mask | None,
    others: tuple[Bias | None, Dropped | None],
) -> jax.Array:
    """Attention by the kernel that suits the mask."""
    bias, dropped = others
    request = _request(q_BQHD, k_BKGD, v_BKGE, mask, bias, dropped is not None)
    chosen = KERNELS[choose(request, kernel)]
    if not chosen.grouped:
        times = q_BQHD.shape[2] // k_BKGD.shape[2]
        k_BKGD, v_BKGE = (jnp.repeat(x, times, axis=2) for x in (k_BKGD, v_BKGE))

    def compute(q: jax.Array, k: jax.Array, v: jax.Array, extras: Extras) -> jax.Array:
        mask, bias, dropped = extras
        return chosen.compute(q, k, v, mask, bias=bias, scale=scale, dropped=dropped)

    return over_mesh(compute, q_BQHD, k_BKGD, v_BKGE, Extras(mask, bias, dropped))  # type: ignore[arg-type]


def explain(
    q_BQHD: Any,
    k_BKGD: Any,
    v_BKGE: Any,
    mask: Any = None,
    *,
    bias: Any = None,
    dropout_rate: float = 0.0,
    kernel: str = "auto",
    platform: str | None = None,
) -> str:
    """Which kernel ``softmax_attention`` takes in training, and why: a line for each kernel.

    Args:
      q_BQHD, k_BKGD, v_BKGE: arrays, or ``jax.ShapeDtypeStruct``.
      mask, bias, dropout_rate, kernel: as for ``softmax_attention``.
      platform: "cpu", "gpu" or "tpu"; the default backend's if None.

    >>> x_BTHD = jax.ShapeDtypeStruct((2, 1_024, 8, 64), "bfloat16")
    >>> print(explain(x_BTHD, x_BTHD, x_BTHD, platform="gpu"))
    cudnn: chosen
    splash: no: it needs a TPU, and the platform is gpu
    sparse: possible, and not profitable
    tiled: possible, and less preferred
    reference: possible, and less preferred
    """
    made, bias = checked(q_BQHD, k_BKGD, v_BKGE, mask, bias)
    mask = None if isinstance(made, Everything) else made
    request = _request(q_BQHD, k_BKGD, v_BKGE, mask, bias, dropout_rate > 0.0, platform)
    return explained(request, kernel)


def _request(
    q: Any, k: Any, v: Any, mask: Any, bias: Any, dropout: bool, platform: str | None = None
) -> Request:
    dtype = jnp.result_type(q.dtype, k.dtype, v.dtype)
    platform = platform or jax.default_backend()
    return Request(q.shape, k.shape, v.shape, dtype, mask, bias, dropout, platform)

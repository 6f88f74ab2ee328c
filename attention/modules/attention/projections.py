"""From features to features, to heads and back, with flax's parameter names and shapes."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.modules.parameters import parameter

_glorot_in = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform", in_axis=0, out_axis=(1, 2))
_glorot_out = nn.initializers.variance_scaling(
    1.0, "fan_avg", "uniform", in_axis=(0, 1), out_axis=2
)


def product(x_BTM: jax.Array, w_MN: jax.Array, dtype: Any = None) -> jax.Array:
    """x W as one product of two matrices: XLA's gradient by W is slow on CPUs with two axes B, T.

    Args:
      x_BTM: any number of axes before M.
      w_MN: the matrix.
      dtype: of the sums and the result; by default that of the arguments.

    Returns:
      y_BTN.
    """
    x_XM = x_BTM.reshape(-1, x_BTM.shape[-1])
    y_XN = jnp.matmul(x_XM, w_MN, preferred_element_type=dtype)
    return y_XN.reshape(*x_BTM.shape[:-1], w_MN.shape[-1])


def dense(features: int, axes: tuple[str, str], dtype: Any, name: str) -> nn.Dense:
    """x W + b by ``product``; ``axes`` are W's logical names."""
    return nn.Dense(
        features,
        dtype=dtype,
        name=name,
        kernel_init=nn.with_logical_partitioning(nn.initializers.xavier_uniform(), axes),
        bias_init=nn.with_logical_partitioning(nn.initializers.zeros, axes[1:]),
        dot_general=lambda x_BTM, w_MN, *_, **__: product(x_BTM, w_MN),
    )


class ToHeads(nn.Module):
    """x W + b, cut into heads: kernel [M, H, D], bias [H, D].

    Attributes:
      heads: H.
      features: H·D; the input's M by default.
      dtype: compute dtype.
      groups: heads that are made, where several of the H share one (keys and values); H if None.
    """

    heads: int
    features: int | None = None
    dtype: Any = jnp.float32
    groups: int | None = None

    @nn.compact
    def __call__(self, x_BTM: jax.Array) -> jax.Array:
        model_size = x_BTM.shape[-1]
        features = model_size if self.features is None else self.features
        if self.heads < 1 or features % self.heads:
            raise ValueError(
                f"heads={self.heads} does not divide {features} features; "
                f"choose a head count that divides {features}"
            )
        size, made = features // self.heads, self.groups or self.heads
        if self.heads % made:
            raise ValueError(
                f"kv_heads={made} does not divide {self.heads} heads; choose a divisor of the heads"
            )
        w_MHD = parameter(
            self, "kernel", _glorot_in, ("model", "heads", "head_size"), (model_size, made, size)
        )
        b_HD = parameter(self, "bias", nn.initializers.zeros, ("heads", "head_size"), (made, size))
        x_BTM, w_MHD, b_HD = (jnp.asarray(a, self.dtype) for a in (x_BTM, w_MHD, b_HD))
        y_BTN = product(x_BTM, w_MHD.reshape(model_size, made * size))
        return y_BTN.reshape(*x_BTM.shape[:-1], made, size) + b_HD[None, None]


class FromHeads(nn.Module):
    """Heads joined and projected to ``model_size`` features: kernel [H, E, M], bias [M]."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x_BTHE: jax.Array, model_size: int) -> jax.Array:
        heads, size = x_BTHE.shape[-2:]
        w_HEM = parameter(
            self, "kernel", _glorot_out, ("heads", "head_size", "model"), (heads, size, model_size)
        )
        b_M = parameter(self, "bias", nn.initializers.zeros, ("model",), (model_size,))
        x_BTHE, w_HEM, b_M = (jnp.asarray(a, self.dtype) for a in (x_BTHE, w_HEM, b_M))
        x_BTN = x_BTHE.reshape(*x_BTHE.shape[:-2], heads * size)
        return product(x_BTN, w_HEM.reshape(heads * size, model_size)) + b_M[None, None]

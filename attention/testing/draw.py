"""Runs a case on inputs that are drawn."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.shapes import Sizes, Tree
from attention.testing.case import Case, Inputs
from attention.testing.masks import Setting, Shape, make_mask, see_of, with_loops


@dataclass(frozen=True)
class Drawn:
    """All that a case is run on.

    ``inputs`` are what attention is differentiated by: q, k, v (and x) of an attention alone, of
    which shared projections leave out k, or k and v; x and memory within a MultiHead.
    """

    case: Case
    sizes: Sizes
    shape: Shape
    variables: Tree
    inputs: Inputs
    mask: Any = None
    bias: Any = None

    @property
    def see_BHQK(self) -> np.ndarray:
        """What the mask shows."""
        return see_of(with_loops(self.mask) if self.case.loops else self.mask, self.shape)

    @property
    def seen_BHQK(self) -> np.ndarray:
        """What the mask and the attention's own pattern show."""
        pattern = self.case.pattern
        if callable(pattern):
            pattern = pattern(self.see_BHQK)
        return self.see_BHQK & see_of(pattern, self.shape)

    def out(self, rng: jax.Array | None = None, **changes: Any) -> np.ndarray:
        """What the case returns, [B, Q, ...]; compiled once for all inputs of a shape.

        It is NumPy's, since each operation on an array of JAX is compiled for each shape.
        """
        drawn = replace(self, **changes)
        function = compiled(drawn.case, drawn.sizes)
        return jax.device_get(function(drawn.variables, drawn.inputs, drawn.mask, drawn.bias, rng))

    def grads(self, **changes: Any) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        """The output, and the gradients of its weighted sum by the inputs and the parameters."""
        drawn = replace(self, **changes)
        function = compiled_grad(drawn.case, drawn.sizes)
        return jax.device_get(function(drawn.inputs, drawn.variables, drawn.mask, drawn.bias))

    def expected(self) -> np.ndarray:
        """What the paper says, in float64."""
        bias = self.bias
        if hasattr(bias, "dense"):
            bias = bias.dense(self.shape.q_len, self.shape.k_len)
        variables, inputs = jax.device_get((self.variables, self.inputs))
        return self.case.expected(variables, inputs, self.see_BHQK, bias)


@functools.cache
def compiled(case: Case, sizes: Sizes) -> Callable:
    return jax.jit(functools.partial(case.apply, sizes))


@functools.cache
def compiled_grad(case: Case, sizes: Sizes) -> Callable:
    def loss(inputs, params, variables, mask, bias):
        out = case.apply(sizes, variables | {"params": params}, inputs, mask, bias)
        return weighted_sum(out), out

    grad = jax.grad(loss, argnums=(0, 1), has_aux=True)

    @jax.jit
    def out_and_grads(inputs, variables, mask, bias):
        grads, out = grad(inputs, variables["params"], variables, mask, bias)
        return out, *grads

    return out_and_grads


def weighted_sum(out: jax.Array) -> jax.Array:
    """What the laws differentiate: each feature of [B, Q, ...] has a weight of its own."""
    weight = 1.0 + jnp.arange(out[0, 0].size, dtype=out.dtype).reshape(out.shape[2:]) / 8
    return (out * weight[None, None]).sum(dtype=jnp.promote_types(out.dtype, "float32"))


def draw(
    setting: Setting,
    seed: int = 0,
    *,
    sizes: Sizes | None = None,
    batch: int = 2,
    q_len: int | None = None,
    k_len: int | None = None,
    dtype: Any = "float32",
    bias: bool = False,
    abstract: bool = False,
) -> Drawn:
    """Inputs, variables, a mask and (where the case has one, or it is asked for) a bias.

    Where nothing will be run, ``abstract`` gives the variables' shapes alone: of an attention made
    for long sequences they may be large.
    """
    case, slot, kind = setting
    random = np.random.default_rng(zlib.crc32(f"{slot} {kind} {seed}".encode()))
    sizes = sizes or case.sizes[0]
    q_len = q_len or case.lengths[0]
    k_len = (k_len or q_len) if slot == "cross" else q_len
    heads = sizes.heads * case.groups
    shape = Shape(batch, heads, q_len, k_len, one=slot != "cross")

    def normal(*axes: int) -> jax.Array:
        return jax.device_put(random.normal(size=axes).astype(jnp.dtype(dtype)))

    inputs = case.draw(normal, sizes, batch, q_len, None if shape.one else k_len)
    variables = (
        jax.eval_shape(lambda: case.init(sizes)) if abstract else variables_of(case, sizes, dtype)
    )
    drawn_bias = None
    if case.bias is not None:
        drawn_bias = case.bias(random, heads, q_len, k_len)
    elif bias:
        drawn_bias = normal(1, heads, q_len, k_len)
    return Drawn(
        case=case,
        sizes=sizes,
        shape=shape,
        variables=variables,
        inputs=inputs,
        mask=make_mask(kind, slot, random, shape),
        bias=drawn_bias,
    )


@functools.cache
def variables_of(case: Case, sizes: Sizes, dtype: Any) -> Tree:
    """Parameters and state; drawn once."""
    variables = case.noisy(sizes)
    return jax.device_put(to_float64(variables) if jnp.dtype(dtype) == "float64" else variables)


def to_float64(tree: Tree) -> Tree:
    return jax.tree.map(
        lambda x: x.astype("float64") if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )

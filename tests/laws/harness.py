"""Runs a case, alone or within a MultiHead, on inputs that are drawn."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies

from attention.protocols import WithAxes
from attention.shapes import Sizes, Tree
from tests.laws.cases import Case
from tests.laws.masks import Setting, Shape, make_mask, see_of, with_loops

# Compiling dominates: few examples, the same ones in every run, shapes from small sets.
few = hypothesis.settings(
    derandomize=True,
    max_examples=2,
    deadline=None,
    database=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
seeds = strategies.integers(0, 2**16)

# On which side each input stands, and what padding is filled with to see whether it leaks.
QUERIES, KEYS = ("q", "x"), ("k", "v", "memory")
SPOILT = {"q": jnp.nan, "k": jnp.nan, "v": 1e30, "x": jnp.nan, "memory": 1e30}


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
    inputs: dict[str, jax.Array]
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

    def out(self, rng: jax.Array | None = None, **changes: Any) -> jax.Array:
        """What the case returns, [B, Q, ...]; compiled once for all inputs of a shape."""
        drawn = replace(self, **changes)
        function = compiled(drawn.case, drawn.sizes)
        return function(drawn.variables, drawn.inputs, drawn.mask, drawn.bias, rng)

    def out_and_grads(self, **changes: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The output, and the gradients by the inputs of its weighted sum."""
        return self.all_grads(**changes)[:2]

    def grads_of_params(self, **changes: Any) -> Tree:
        """The gradients of the same by the parameters."""
        return self.all_grads(**changes)[2]

    def all_grads(self, **changes: Any) -> tuple[jax.Array, dict[str, jax.Array], Tree]:
        drawn = replace(self, **changes)
        function = compiled_grad(drawn.case, drawn.sizes)
        return function(drawn.inputs, drawn.variables, drawn.mask, drawn.bias)

    def expected(self) -> np.ndarray:
        """What the paper says, in float64."""
        case, inputs = self.case, self.inputs
        if case.module is not None:
            params, x = self.variables["params"], inputs["x"]
            return case.reference(params, x, inputs.get("memory", x), self.see_BHQK)
        q, k, v = qkv(inputs)
        k, v = (np.repeat(np.asarray(x, np.float64), case.groups, axis=2) for x in (k, v))
        own = {name: tree for name, tree in self.variables.items() if jax.tree.leaves(tree)}
        if "x" in inputs:
            own["x_BTM"] = inputs["x"]
        bias = self.bias
        if hasattr(bias, "dense"):
            bias = bias.dense(self.shape.q_len, self.shape.k_len)
        return case.reference(q, k, v, see=self.see_BHQK, bias=bias, **own)


def run(
    case: Case,
    sizes: Sizes,
    variables: Tree,
    inputs: dict[str, jax.Array],
    mask: Any,
    bias: Any = None,
    rng: jax.Array | None = None,
) -> jax.Array:
    """The case's output; what the laws jit, differentiate, vmap, shard and lower."""
    if case.module is not None:
        rngs = {} if rng is None else {"dropout": rng}
        layer = layer_of(case, sizes, inputs["x"].dtype)
        options = {} if bias is None else {"bias": bias}
        memory = inputs.get("memory")
        return layer.apply(variables, inputs["x"], memory, mask, rngs=rngs, **options)
    out, _ = case.attend.attend(
        variables["params"],
        variables["state"],
        *qkv(inputs),
        mask,
        bias=bias,
        x_BTM=inputs.get("x"),
        rng=rng,
    )
    return out


@functools.cache
def compiled(case: Case, sizes: Sizes) -> Callable:
    return jax.jit(functools.partial(run, case, sizes))


@functools.cache
def compiled_grad(case: Case, sizes: Sizes) -> Callable:
    def loss(inputs, params, variables, mask, bias):
        out = run(case, sizes, variables | {"params": params}, inputs, mask, bias)
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


def qkv(inputs: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
    q = inputs.get("q", inputs.get("v"))  # values alone stand for all three
    k = inputs.get("k", q)
    return q, k, inputs.get("v", k)


def somewhere(case: Case) -> Setting:
    """The case in one of its places, a decoder where it may be, with padding at the end."""
    place = "decoder" if "decoder" in case.places else case.places[0]
    return Setting(case, place, case.padded)


def layer_of(case: Case, sizes: Sizes, dtype: Any) -> nn.Module:
    heads = sizes.heads * case.groups
    features = heads * sizes.size
    return case.module(heads=heads, attention=case.attend, features=features, dtype=dtype)


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
    case, place, kind = setting
    random = np.random.default_rng(zlib.crc32(f"{place} {kind} {seed}".encode()))
    sizes = sizes or case.sizes[0]
    q_len = q_len or case.lengths[0]
    k_len = (k_len or q_len) if place == "cross" else q_len
    heads = sizes.heads * case.groups
    shape = Shape(batch, heads, q_len, k_len, one=place != "cross")

    def normal(*axes: int) -> jax.Array:
        return jnp.asarray(random.normal(size=axes).astype(jnp.dtype(dtype)))

    if case.module is not None:
        inputs = {"x": normal(batch, q_len, sizes.model_size)}
        if place == "cross":
            inputs["memory"] = normal(batch, k_len, sizes.model_size)
    else:
        inputs = {}
        if case.attend.capabilities.projections != "values":
            inputs["q"] = normal(batch, q_len, heads, sizes.size)
        if case.attend.capabilities.projections == "apart":
            inputs["k"] = normal(batch, k_len, sizes.heads, sizes.size)
        if case.attend.capabilities.projections != "one":
            inputs["v"] = normal(batch, k_len, sizes.heads, sizes.value_size)
        if case.attend.capabilities.needs_x:
            inputs["x"] = normal(batch, q_len, sizes.model_size)
    drawn_bias = None
    if case.bias is not None:
        drawn_bias = case.bias(random, heads, q_len, k_len)
    elif bias:
        drawn_bias = normal(1, heads, q_len, k_len)
    return Drawn(
        case=case,
        sizes=sizes,
        shape=shape,
        variables=shapes_of(case, sizes) if abstract else variables_of(case, sizes, dtype),
        inputs=inputs,
        mask=make_mask(kind, place, random, shape),
        bias=drawn_bias,
    )


def shapes_of(case: Case, sizes: Sizes) -> Tree:
    """As ``variables_of``, of which nothing is drawn."""
    return jax.eval_shape(lambda: initialised(case, sizes))


def initialised(case: Case, sizes: Sizes) -> Tree:
    """Parameters and state as they are made."""
    rng = jax.random.key(0)
    if case.module is None:
        params, state = jax.tree.map(
            lambda leaf: leaf.value,
            case.attend.init(rng, sizes),
            is_leaf=lambda leaf: isinstance(leaf, WithAxes),
        )
        return {"params": params, "state": state}
    layer = layer_of(case, sizes, "float32")
    x_BTM = jnp.zeros((1, case.lengths[0], sizes.model_size))
    carried = case.attend.capabilities.decoding == "stateful"
    variables = nn.meta.unbox(jax.jit(layer.init)(rng, x_BTM, x_BTM if carried else None))
    return {**variables, "params": variables.get("params", {})}


@functools.cache
def variables_of(case: Case, sizes: Sizes, dtype: Any) -> Tree:
    """As initialised, with noise on what is trained; the output's bias is zero, as laws ask."""
    random = np.random.default_rng(7)

    def noisy(x: jax.Array) -> jax.Array:
        return jnp.asarray(np.asarray(x) + 0.2 * random.normal(size=x.shape).astype(x.dtype))

    variables = dict(initialised(case, sizes))
    variables["params"] = jax.tree.map(noisy, variables["params"])
    if case.module is not None and (out := variables["params"].get("out")):
        out["bias"] = jnp.zeros_like(out["bias"])
    return to_float64(variables) if jnp.dtype(dtype) == "float64" else variables


def to_float64(tree: Tree) -> Tree:
    return jax.tree.map(
        lambda x: x.astype("float64") if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )


def lengths_of(case: Case) -> strategies.SearchStrategy[int]:
    return strategies.sampled_from(case.lengths)


def sizes_of(case: Case) -> strategies.SearchStrategy[Sizes]:
    return strategies.sampled_from(case.sizes)


def numbers(x: Any) -> np.ndarray:
    """As float64, so that NumPy compares any dtype."""
    return np.asarray(x).astype(np.float64)


def assert_close(ours: Any, theirs: Any, tolerance: float) -> None:
    np.testing.assert_allclose(
        numbers(ours), np.asarray(theirs, np.float64), atol=tolerance, rtol=tolerance
    )

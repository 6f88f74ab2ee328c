"""Scores that no pair of tokens makes, for ``Synthesizer``: parameters, and how they add up."""

import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from attention.protocols import WithAxes
from attention.shapes import Sizes, Tree, accumulator

PARTS = "dense", "random", "fixed", "factorised_dense", "factorised_random", "dot"
OF_X = {"dense", "factorised_dense"}
_to_heads = jax.nn.initializers.variance_scaling(
    1.0, "fan_avg", "uniform", in_axis=0, out_axis=(1, 2)
)
_in_heads = jax.nn.initializers.variance_scaling(
    1.0, "fan_avg", "uniform", in_axis=1, out_axis=2, batch_axis=0
)


class Scores(NamedTuple):
    """Scores as what they are the sum of: products of features, and a bias.

    Attributes:
      q_BQHX, k_BKHX: features, scaled so that softmax attention's scale leaves the products alone.
      bias_BHQK: a sum of whatever is no product, of one or more along each axis; None for nothing.
    """

    q_BQHX: jax.Array
    k_BKHX: jax.Array
    bias_BHQK: jax.Array | None


class ScoreInputs(NamedTuple):
    """Whose scores are inputs for: at the first positions where ``at_BQ`` is None."""

    q_BQHD: jax.Array
    k_BKHD: jax.Array
    x_BQM: jax.Array | None
    at_BQ: jax.Array | None
    length: int


# Features of queries and of keys whose products are a part's scores, and a bias; either is None.
PartScores = tuple[tuple[jax.Array, jax.Array] | None, jax.Array | None]


class Synthetic(Protocol):
    """What of a Synthesizer its scores depend on."""

    @property
    def parts(self) -> tuple[str, ...]: ...

    @property
    def length(self) -> int: ...

    @property
    def hidden(self) -> int: ...

    @property
    def rank(self) -> int: ...


def init(self: Synthetic, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
    """The parameters of each part by its name, and the weights of several; "fixed" is state."""
    params: Tree = {}
    state: Tree = {}
    square = sizes.heads, self.length, self.length
    for part, leaf_rng in zip(PARTS, jax.random.split(rng, len(PARTS)), strict=True):
        if part not in self.parts or part == "dot":
            continue
        if part in OF_X:
            columns = self.length if part == "dense" else sum(factors(self.length))
            params[part] = _dense(self, leaf_rng, sizes, columns)
        elif part == "factorised_random":
            shape = (2, sizes.heads, self.length, self.rank)
            sides = jax.random.normal(leaf_rng, shape) / self.rank**0.25
            axes = ("heads", "position", None)
            params[part] = {"left": WithAxes(sides[0], axes), "right": WithAxes(sides[1], axes)}
        else:
            of = params if part == "random" else state
            of[part] = WithAxes(jax.random.normal(leaf_rng, square), ("heads", "position", None))
    if len(self.parts) > 1:
        params["mixture"] = WithAxes(jnp.zeros(len(self.parts)), (None,))
    return params, state


def factors(length: int) -> tuple[int, int]:
    """The a and b of "factorised_dense": a is the greatest divisor up to the root."""
    a = next(n for n in range(math.isqrt(length), 0, -1) if length % n == 0)
    return a, length // a


def scores(
    self: Synthetic,
    params: Tree,
    state: Tree,
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    x_BQM: jax.Array | None,
    at_BQ: jax.Array | None = None,
) -> Scores:
    """The scores of the queries at these positions, or from the first on, by all keys."""
    (batch, q_len, heads, _), k_len = q_BQHD.shape, k_BKHD.shape[1]
    dtype = accumulator(q_BQHD.dtype)
    weights_N = jnp.ones(1)
    if "mixture" in params:
        weights_N = jax.nn.softmax(params["mixture"].astype(dtype))
    inputs = ScoreInputs(q_BQHD, k_BKHD, x_BQM, at_BQ, self.length)
    nothing = (jnp.zeros((1, n, heads, 1), dtype) for n in (q_len, k_len))
    products, biases = [tuple(nothing)], []
    for part, weight in zip(self.parts, weights_N, strict=True):
        part_params = state[part] if part == "fixed" else params.get(part)
        product, bias_BHQK = _SCORES[part](part_params, inputs)
        if product is not None:
            products.append((weight * product[0], product[1]))
        if bias_BHQK is not None:
            biases.append(weight * bias_BHQK)
    q_BQHX, k_BKHX = (
        jnp.concatenate([jnp.broadcast_to(x, (batch, *x.shape[1:])) for x in side], axis=3)
        for side in zip(*(products[1:] or products), strict=True)
    )
    q_BQHX *= math.sqrt(q_BQHX.shape[3])
    bias_BHQK = sum(biases[1:], biases[0]) if biases else None
    return Scores(q_BQHX.astype(q_BQHD.dtype), k_BKHX.astype(q_BQHD.dtype), bias_BHQK)


def _dot(part_params: Tree, inputs: ScoreInputs) -> PartScores:
    q_BQHD = inputs.q_BQHD.astype(accumulator(inputs.q_BQHD.dtype))
    return (q_BQHD / math.sqrt(q_BQHD.shape[3]), inputs.k_BKHD), None


def _of_token(part_params: Tree, inputs: ScoreInputs) -> PartScores:
    h_BQHR, k_len = _hidden(part_params, inputs.x_BQM), inputs.k_BKHD.shape[1]
    k_1KHR = part_params["out"][None, :, :, :k_len].transpose(0, 3, 1, 2)
    bias_1H1K = part_params["out_bias"].astype(h_BQHR.dtype)[None, :, None, :k_len]
    return (h_BQHR, k_1KHR), bias_1H1K


def _of_token_tiled(part_params: Tree, inputs: ScoreInputs) -> PartScores:
    a, b = factors(inputs.length)
    h_BQHR = _hidden(part_params, inputs.x_BQM)
    f_BHQX = jnp.einsum("BQHR,HRX->BHQX", h_BQHR, part_params["out"].astype(h_BQHR.dtype))
    f_BHQX += part_params["out_bias"].astype(h_BQHR.dtype)[None, :, None]
    s_BHQL = jnp.repeat(f_BHQX[..., :a], b, axis=3) * jnp.tile(f_BHQX[..., a:], (1, 1, 1, a))
    return None, s_BHQL[..., : inputs.k_BKHD.shape[1]]


def _trained(part_params: Tree, inputs: ScoreInputs) -> PartScores:
    w_BHQK = _rows(part_params, inputs)[..., : inputs.k_BKHD.shape[1]]
    return None, w_BHQK.astype(accumulator(inputs.q_BQHD.dtype))


def _untrained(part_params: Tree, inputs: ScoreInputs) -> PartScores:
    return _trained(jax.lax.stop_gradient(part_params), inputs)


def _of_rank(part_params: Tree, inputs: ScoreInputs) -> PartScores:
    q_BQHR = _rows(part_params["left"], inputs).swapaxes(1, 2)
    k_1KHR = part_params["right"][None, :, : inputs.k_BKHD.shape[1]].swapaxes(1, 2)
    return (q_BQHR.astype(accumulator(inputs.q_BQHD.dtype)), k_1KHR), None


_SCORES = {
    "dense": _of_token,
    "random": _trained,
    "fixed": _untrained,
    "factorised_dense": _of_token_tiled,
    "factorised_random": _of_rank,
    "dot": _dot,
}


def _dense(self: Synthetic, rng: jax.Array, sizes: Sizes, columns: int) -> Tree:
    """Two linear maps of each head, from x to so many columns."""
    heads, hidden = sizes.heads, self.hidden or sizes.size
    rng_in, rng_out = jax.random.split(rng)
    w_MHR = _to_heads(rng_in, (sizes.model_size, heads, hidden))
    w_HRK = _in_heads(rng_out, (heads, hidden, columns))
    return {
        "in": WithAxes(w_MHR, ("model", "heads", None)),
        "in_bias": WithAxes(jnp.zeros((heads, hidden)), ("heads", None)),
        "out": WithAxes(w_HRK, ("heads", None, "position")),
        "out_bias": WithAxes(jnp.zeros((heads, columns)), ("heads", "position")),
    }


def _hidden(part_params: Tree, x_BQM: Any) -> jax.Array:
    """relu(W₁ x + b₁) of each head, [B, Q, H, R], in float32 or better."""
    if x_BQM is None:
        raise ValueError("Synthesizer: x_BTM is missing; its dense parts need the layer's x")
    dtype = accumulator(x_BQM.dtype)
    h_BQHR = jnp.einsum(
        "BQM,MHR->BQHR", x_BQM, part_params["in"].astype(x_BQM.dtype), preferred_element_type=dtype
    )
    return jax.nn.relu(h_BQHR + part_params["in_bias"].astype(dtype)[None, None])


def _rows(w_HLX: jax.Array, inputs: ScoreInputs) -> jax.Array:
    """The rows of the queries, [B, H, Q, X]; with a batch of 1 where they are the first ones."""
    if inputs.at_BQ is None:
        return w_HLX[None, :, : inputs.q_BQHD.shape[1]]
    return w_HLX[:, inputs.at_BQ].swapaxes(0, 1)

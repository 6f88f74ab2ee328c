"""A variant, and what is expected of it: the subject of a law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from attention.masks import Mask
from attention.protocols import Attention, WithAxes
from attention.shapes import Sizes, Tree

Inputs = dict[str, Any]  # arrays by name


@dataclass(frozen=True)
class Case:
    """A variant, and what is expected of it.

    Attributes:
      name: stands in the tests' names.
      attention: an Attention or a TokenMixer.
      reference: float64 NumPy, called as ``reference(q, k, v, see=see, bias=bias)``, with key and
        value heads repeated to the queries'; and with ``params=``, ``state=`` and ``x_BTM=`` where
        the attention has any. Of a token mixer: ``reference(see=see, x_BTM=x, ...)``. None if there
        is none.
      sizes: to draw from; odd numbers of heads among them. Heads are of keys and values.
      lengths: to draw from, in tokens; no multiples of a block.
      groups: heads of queries for one head of keys and values.
      only: the slots to test, of encoder, decoder and cross; by default all that are declared.
      masks: the kinds of mask it takes, see ``masks.MAKERS``; padding is never optional.
      padded: the one of them with padding at the end, under which costs and transforms are tested.
      loops: whether every node sees itself too, whatever edges are in the mask.
      bias: makes a bias from (random, heads, q_len, k_len); None lets the laws draw arrays.
      pattern: the attention's own mask, of which no query sees more than it shows; or made from
        what the mask given shows, bool [B, H, Q, K].
      linear: whether all values come from v, so that the output is linear in it.
      mixes: whether channels mix, so that the effective matrix holds norms of derivatives.
      sums_to_one: whether the weights of a row do.
      last_resort: whether a token sees itself only where it sees no other.
      idle: whether an input may have no gradient, as where few tokens leave nothing to choose.
      grown: the attention for a length, where it is made for one: what costs are measured of.
      multiply_adds: the greatest exponent, in the length, that its multiply-adds may have.
      temporary_bytes: the same of temporary memory.
      compiled: the two lengths, in tokens, between which temporary memory is compared.
    """

    name: str
    attention: Any
    reference: Callable | None
    sizes: tuple[Sizes, ...] = (Sizes(3, 4, 5, 12), Sizes(1, 2, 3, 2), Sizes(5, 2, 1, 10))
    lengths: tuple[int, ...] = (7, 1, 10)
    groups: int = 1
    only: tuple[str, ...] = ("encoder", "decoder", "cross")
    masks: tuple[str, ...] = ("all", "lengths", "gaps", "segments", "window", "any")
    padded: str = "lengths"
    loops: bool = False
    bias: Callable[..., Any] | None = None
    pattern: Mask | Callable[[Any], Mask] | None = None
    linear: bool = True
    mixes: bool = False
    sums_to_one: bool = True
    last_resort: bool = False
    idle: bool = False
    grown: Callable[[int], Any] | None = None
    multiply_adds: float = 2.0
    temporary_bytes: float = 2.0
    compiled: tuple[int, int] = (1024, 4096)

    def __str__(self) -> str:
        return self.name

    @property
    def alone(self) -> bool:
        """Whether it is an attention that is called with queries, keys and values."""
        return isinstance(self.attention, Attention)

    @property
    def stateful(self) -> bool:
        """Whether it is a ``StatefulCrossAttention``."""
        return self.attention.capabilities.decoding == "stateful"

    @property
    def slots(self) -> tuple[str, ...]:
        """Where it may stand, by what it declares."""
        declared = {
            "encoder": not self.stateful,
            "decoder": self.attention.capabilities.causal != "no",
            "cross": self.attention.capabilities.cross,
        }
        return tuple(slot for slot in self.only if declared[slot])

    def init(self, sizes: Sizes) -> Tree:
        """Parameters and state as they are made, without the names of axes."""
        params, state = jax.tree.map(
            lambda leaf: leaf.value,
            self.attention.init(jax.random.key(0), sizes),
            is_leaf=lambda leaf: isinstance(leaf, WithAxes),
        )
        return {"params": params, "state": state}

    def compiled_init(self, sizes: Sizes) -> Tree:
        """The same by one compiled program, as NumPy arrays."""
        init = jax.jit(lambda: self.init(sizes))
        shapes = init.eval_shape()
        return jax.device_get(init()) if jax.tree.leaves(shapes) else shapes

    def noisy(self, sizes: Sizes) -> Tree:
        """The same with noise on what is trained."""
        random = np.random.default_rng(7)

        def noisy(x: np.ndarray) -> np.ndarray:
            return x + 0.2 * random.normal(size=x.shape).astype(x.dtype)

        variables = self.compiled_init(sizes)
        return {**variables, "params": jax.tree.map(noisy, variables["params"])}

    def draw(
        self, normal: Callable, sizes: Sizes, batch: int, q_len: int, k_len: int | None
    ) -> Inputs:
        """The inputs by which it is differentiated: q, k, v and x, of which it may lack some.

        Without a ``k_len`` queries and keys are one sequence.
        """
        can, inputs = self.attention.capabilities, {}
        heads, k_len = sizes.heads * self.groups, k_len or q_len
        if can.projections not in ("values", "none"):
            inputs["q"] = normal(batch, q_len, heads, sizes.size)
        if can.projections == "apart":
            inputs["k"] = normal(batch, k_len, sizes.heads, sizes.size)
        if can.projections not in ("one", "none"):
            inputs["v"] = normal(batch, k_len, sizes.heads, sizes.value_size)
        if can.needs_x or can.projections == "none":
            inputs["x"] = normal(batch, q_len, sizes.model_size)
        return inputs

    def apply(
        self,
        sizes: Sizes,
        variables: Tree,
        inputs: Inputs,
        mask: Any,
        bias: Any = None,
        rng: jax.Array | None = None,
    ) -> jax.Array:
        """The output; what the laws jit, differentiate, vmap, shard and lower."""
        params, state, x_BTM = variables["params"], variables["state"], inputs.get("x")
        if not isinstance(self.attention, Attention):
            return self.attention.mix(params, state, inputs["x"], mask, rng=rng)[0]
        options = {"bias": bias, "x_BTM": x_BTM, "rng": rng}
        return self.attention.attend(params, state, *qkv(inputs), mask, **options)[0]

    def start(self, sizes: Sizes, variables: Tree, batch: int, room: int) -> Tree:
        """An empty cache."""
        params, state = variables["params"], variables["state"]
        return self.attention.init_cache(params, state, sizes, batch, room, "float32")

    def start_cross(self, sizes: Sizes, variables: Tree, batch: int, k_len: int) -> Tree:
        """The state of a ``StatefulCrossAttention`` before the first query."""
        params, state = variables["params"], variables["state"]
        return self.attention.start_cross(params, state, sizes, batch, k_len, "float32")

    def extend(
        self, sizes: Sizes, variables: Tree, cache: Tree, inputs: Inputs, pos_BQ: Any, mask: Any,
        bias: Any,
    ) -> tuple[jax.Array, Tree]:  # fmt: skip
        """The output of further positions, and the cache after them."""
        params, state, x_BTM = variables["params"], variables["state"], inputs.get("x")
        if self.stateful:
            return self.attention.extend_cross(params, state, cache, *qkv(inputs), mask)
        if not isinstance(self.attention, Attention):
            return self.attention.extend(params, state, cache, inputs["x"], mask)
        options = {"bias": bias, "x_BTM": x_BTM}
        return self.attention.extend(params, state, cache, *qkv(inputs), mask, **options)

    def expected(
        self, variables: Tree, inputs: Inputs, see_BHQK: np.ndarray, bias: Any
    ) -> np.ndarray:
        """What the reference says."""
        assert self.reference is not None
        own: Tree = {name: tree for name, tree in variables.items() if jax.tree.leaves(tree)}
        if "x" in inputs:
            own["x_BTM"] = inputs["x"]
        if not self.alone:
            return self.reference(see=see_BHQK, **own)
        q_BQHD, *others = qkv(inputs)
        kv = [np.repeat(np.asarray(x, np.float64), self.groups, axis=2) for x in others]
        return self.reference(q_BQHD, *kv, see=see_BHQK, bias=bias, **own)


def qkv(inputs: Inputs) -> tuple[Any, Any, Any]:
    """Queries, keys and values, some of which may be one array."""
    q = inputs.get("q", inputs.get("v"))  # values alone stand for all three
    k = inputs.get("k", q)
    return q, k, inputs.get("v", k)

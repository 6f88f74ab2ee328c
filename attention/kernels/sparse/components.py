"""A component of a mask as the sparse kernel computes it: its blocks, and what changes scores."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from attention.biases import Bias
from attention.kernels.dropped import Dropped
from attention.kernels.limits import divisor
from attention.kernels.rows import Extras
from attention.kernels.sparse.blocks import Block, concatenate
from attention.kernels.sparse.permute import permute
from attention.kernels.sparse.schedule import BlockGroup, Schedule, make_schedule
from attention.masks import Mask
from attention.masks.components import MaskComponent
from attention.shapes import Tree, accumulator

_LARGE = 2**16  # numbers of a mask or a bias of which several blocks are not computed together


class PermutedExtras(NamedTuple):
    """Mask, bias and dropout in a component's order; each leaf has the batch first.

    The positions are None where they are equal to the indices in the order.
    """

    mask: Mask
    bias: Bias | None
    dropped: Dropped | None
    q_pos_BQ: jax.Array | None
    k_pos_BK: jax.Array | None


class ComponentPlan(NamedTuple):
    """A component, its schedule, and what changes its scores."""

    component: MaskComponent
    schedule: Schedule
    extras: PermutedExtras
    heads: int
    k_len: int
    max_scores: int  # in memory, unless one block has more

    def num_together(self, group: BlockGroup, batch: int) -> int:
        """How many blocks are computed together; several only of a single batch element."""
        large = any(jnp.size(leaf) > _LARGE for leaf in jax.tree.leaves(self.extras))
        return 1 if batch > 1 or large else group.num_together(self.heads, self.max_scores)

    def scores(self, block: Block, q_RCD: jax.Array, k_RLD: jax.Array) -> jax.Array:
        """Scores of scaled queries, -inf where hidden."""
        dtype = accumulator(q_RCD.dtype)
        s_RCL = jnp.einsum("RCD,RLD->RCL", q_RCD, k_RLD, preferred_element_type=dtype)
        q_pos, k_pos = self.positions(block)
        added = None
        if self.extras.bias is not None:
            added = self.extras.bias.at(q_pos, k_pos).astype(dtype)
        if block.group.masked:
            q_index, k_index = block.indices()
            real = k_pos >= 0 if self.extras.k_pos_BK is not None else k_pos < self.k_len
            see = self.extras.mask.at(q_pos, k_pos) & real
            if self.component.permuted_mask is not None:
                see &= self.component.permuted_mask.at(q_index, k_index)
            if self.component.diagonal_block is not None:
                q_size, k_size = self.component.diagonal_block
                see &= q_index // q_size == k_index // k_size
            # Added rather than selected: XLA then makes one pass of it on a CPU.
            added = jnp.where(see, jnp.zeros((), dtype) if added is None else added, -jnp.inf)
        if added is None:
            return s_RCL
        shape_BHCL = (s_RCL.shape[0] // self.heads, self.heads, *s_RCL.shape[1:])
        return s_RCL + jnp.broadcast_to(added, shape_BHCL).reshape(s_RCL.shape)

    def positions(self, block: Block) -> tuple[jax.Array, jax.Array]:
        """Positions of a block's queries and keys, as masks and biases take them; -1 is none."""
        q_pos, k_pos = block.indices()
        if self.extras.q_pos_BQ is not None:
            q_pos = block.queries(self.extras.q_pos_BQ)[:, None, :, None]
        if self.extras.k_pos_BK is not None:
            k_pos = block.keys(self.extras.k_pos_BK)[:, None, None, :]
        return q_pos, k_pos

    def factors(self, block: Block, dtype: Any) -> jax.Array | None:
        """The factors of the weights under dropout; None without dropout."""
        dropped, sizes = self.extras.dropped, (block.group.q_size, block.group.k_size)
        if dropped is None:
            return None
        tiles = [
            concatenate([dropped.tile(q_first, k_first, *sizes) for k_first in k_firsts], 3)
            for (q_first,), k_firsts in zip(block.q_firsts(), block.k_firsts(), strict=True)
        ]
        factor_BHCL = concatenate(tiles, 0).astype(dtype)
        return factor_BHCL.reshape(-1, *factor_BHCL.shape[2:])


def plan_components(
    q_BQHD: jax.Array, k_BKHD: jax.Array, extras: Extras, max_scores: int
) -> list[ComponentPlan]:
    """The components of a mask, with at most ``max_scores`` scores in memory."""
    (batch, q_len, heads, _), k_len = q_BQHD.shape, k_BKHD.shape[1]
    plans = []
    for component in extras.mask.decompose(q_len, k_len):
        schedule = make_schedule(component, batch * heads, q_len, k_len)
        q_side, k_side = (
            (component.q_order, schedule.q_padded),
            (component.k_order, schedule.k_padded),
        )
        dropped = extras.dropped
        if dropped is not None:
            dropped = type(dropped)(
                permute(dropped.q_bits_BHQ1, *q_side, 2),
                permute(dropped.k_bits_BH1K, *k_side, 3),
                dropped.rate,
            )
        q_pos_BQ, k_pos_BK = (
            None
            if order is None
            else permute(jnp.arange(length, dtype=jnp.int32)[None], order, padded, 1, fill=-1)
            for length, (order, padded) in ((q_len, q_side), (k_len, k_side))
        )
        permuted = PermutedExtras(component.mask, extras.bias, dropped, q_pos_BQ, k_pos_BK)
        plans.append(ComponentPlan(component, schedule, permuted, heads, k_len, max_scores))
    return plans


def by_batch(
    compute: Callable[..., tuple[Tree, Tree]], plan: ComponentPlan, *arrays: jax.Array
) -> tuple[Tree, Tree]:
    """``compute(plan, *arrays)``, for as many batch elements at a time as ``max_scores`` allows.

    It returns arrays with the batch first, and the gradient of the bias, which may have none.
    """
    batch, heads = arrays[0].shape[0], arrays[0].shape[2]
    largest = max((g.q_size * g.num_keys for g in plan.schedule.groups), default=1)
    max_rows = plan.max_scores // largest
    size = divisor(batch, max_rows // heads)
    if size == batch:
        return _by_heads(compute, plan, max_rows // batch, *arrays)

    def body(d_bias: Tree, xs: tuple) -> tuple[Tree, Tree]:
        first, *chunks = xs
        chunk = plan._replace(extras=_take(plan.extras, first, size, 0))
        results, more = _by_heads(compute, chunk, max_rows // size, *chunks)
        return _add(d_bias, more, first, 0), results

    firsts = jnp.arange(0, batch, size)
    xs = [x.reshape(batch // size, size, *x.shape[1:]) for x in arrays]
    d_bias, results = lax.scan(body, zero_bias(plan), (firsts, *xs))
    return jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), results), d_bias


def _by_heads(
    compute: Callable[..., tuple[Tree, Tree]],
    plan: ComponentPlan,
    max_heads: int,
    *arrays: jax.Array,
) -> tuple[Tree, Tree]:
    """``compute(plan, *arrays)``, for at most ``max_heads`` heads at a time.

    Heads are the third of four axes, and the second of three, in arrays and results.
    """
    heads = plan.heads
    size = divisor(heads, max_heads)
    if size == heads:
        return compute(plan, *arrays)

    def some(first: Any) -> tuple[Tree, Tree]:
        chunk = plan._replace(extras=_take(plan.extras, first, size, 1), heads=size)
        chunks = (lax.dynamic_slice_in_dim(x, first, size, x.ndim - 2) for x in arrays)
        return compute(chunk, *chunks)

    def body(state: tuple[Tree, Tree], first: Any) -> tuple[tuple[Tree, Tree], None]:
        (results, d_bias), (new, more) = state, some(first)

        def put(old: jax.Array, x: jax.Array) -> jax.Array:
            return lax.dynamic_update_slice_in_dim(old, x, first, x.ndim - 2)

        return (jax.tree.map(put, results, new), _add(d_bias, more, first, 1)), None

    def all_heads(x: Any) -> jax.Array:
        axis = x.ndim - 2
        return jnp.zeros((*x.shape[:axis], heads, *x.shape[axis + 1 :]), x.dtype)

    start = jax.tree.map(all_heads, jax.eval_shape(some, 0)[0]), zero_bias(plan)
    return lax.scan(body, start, jnp.arange(0, heads, size))[0]


def zero_bias(plan: ComponentPlan) -> Tree:
    """A gradient of zeros for the bias."""
    return jax.tree.map(jnp.zeros_like, plan.extras.bias)


def _take(tree: Tree, first: Any, size: int, axis: int) -> Tree:
    """Some batch elements (axis 0) or heads (axis 1 of four) of each leaf that has several."""

    def take(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        whole = (axis == 1 and leaf.ndim != 4) or leaf.shape[axis] == 1
        return leaf if whole else lax.dynamic_slice_in_dim(leaf, first, size, axis)

    return jax.tree.map(take, tree)


def _add(tree: Tree, more: Tree, first: Any, axis: int) -> Tree:
    """Gradients of what ``_take`` took, put where it was taken from; added where it took all."""

    def add(old: jax.Array, new: jax.Array) -> jax.Array:
        if old.shape == new.shape:
            return old + new
        return lax.dynamic_update_slice_in_dim(old, new, first, axis)

    return jax.tree.map(add, tree, more)


def over_blocks(
    body: Callable[[Any, Block], Any], state: Any, plan: ComponentPlan, batch: int
) -> Any:
    """``body(state, block) -> state`` for all blocks, several of one shape at a time.

    Args:
      body: computes a ``Block``.
      state: passed from block to block.
      plan: the component.
      batch: the number of batch elements.
    """
    for group in plan.schedule.groups:
        count, size = len(group.q_first_P), plan.num_together(group, batch)
        even = count - count % size

        def step(state: Any, firsts: tuple, group: BlockGroup = group) -> tuple[Any, None]:
            return body(state, Block(group, *firsts)), None

        for first, last, together in ((0, even, size), (even, count, 1)):
            firsts = tuple(
                jnp.asarray(x[first:last].reshape(-1, together, *x.shape[1:]))
                for x in (group.q_first_P, group.k_first_PN)
            )
            if last > first:
                state, _ = lax.scan(step, state, firsts)
    return state

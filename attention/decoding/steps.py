"""The step function that every search takes, and the checks on it and on the sizes around it."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from attention.shapes import Tree, accumulator

State = TypeVar("State")
Cache = Any
"""A pytree of arrays whose first axis is the batch."""

Step = Callable[[Cache, jax.Array], tuple[jax.Array, Cache]]
"""``step(cache, token_B) -> (logits_BV, cache)``: reads one token a row, scores the next one.

The first token read is bos. A token that may not come next has the logit -inf.
"""

Grow = Callable[[Cache, int], Cache]
"""``grow(cache, length) -> cache``: the same cache with room for ``length`` tokens."""

Narrow = Callable[[jax.Array], Step]
"""``narrow(row_G) -> step``: the step for these rows of the batch alone."""

_ROUND = 8  # a cache's room is a multiple of this, unless it is the whole
_SHARE = 4  # fewer open rows than the batch over this run on by themselves


def check_step(
    step: Step,
    cache: Cache,
    *,
    batch: int,
    bos: int,
    eos: int,
    pad: int,
    max_length: int,
    beams: int = 1,
    grow: Grow | None = None,
) -> Any:
    """Checks sizes, special tokens and what one step makes of the cache, without running it.

    Returns:
      The dtype in which log-probabilities are summed: the logits', at least float32.

    Raises:
      ValueError: if a size is below one, a cache leaf lacks the batch axis or changes in a step,
        the logits are not one row of two or more for each sequence, or a special token is outside
        the vocabulary.
    """
    for name, value in (("batch", batch), ("max_length", max_length), ("beams", beams)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it needs to be at least 1")
    for path, leaf in jax.tree_util.tree_flatten_with_path(cache)[0]:
        if jnp.ndim(leaf) < 1 or jnp.shape(leaf)[0] != batch:
            name = jax.tree_util.keystr(path)
            raise ValueError(
                f"cache{name} has shape {jnp.shape(leaf)}; its first axis needs to be the batch of"
                f" {batch}: broadcast what all rows share, or close the step over it"
            )
    rows = batch * beams
    before = jax.eval_shape(lambda c: repeat_rows(c, beams), cache)
    if grow is not None:
        before = jax.eval_shape(lambda c: grow(c, max_length), before)
    logits_BV, after = jax.eval_shape(step, before, jax.ShapeDtypeStruct((rows,), jnp.int32))
    if logits_BV.ndim != 2 or logits_BV.shape[0] != rows or logits_BV.shape[1] < 2:
        raise ValueError(
            f"step gave logits of shape {logits_BV.shape} for {rows} rows; it needs to give"
            f" [{rows}, V] with V of 2 or more"
        )
    for name, token in (("bos", bos), ("eos", eos), ("pad", pad)):
        if not 0 <= token < logits_BV.shape[1]:
            raise ValueError(f"{name} is {token}; the vocabulary has 0 to {logits_BV.shape[1] - 1}")
    _check_unchanged(before, after)
    return accumulator(logits_BV.dtype)


def repeat_rows(cache: Cache, beams: int) -> Cache:
    """Each row ``beams`` times in a row: the beams of the first, then those of the second."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, beams, axis=0), cache)


def run(
    advance: Callable[[Step, jax.Array, Cache, State], tuple[Cache, State]],
    is_open: Callable[[jax.Array, State], jax.Array],
    step: Step,
    cache: Cache,
    state: State,
    *,
    max_length: int,
    grow: Grow | None = None,
    narrow: Narrow | None = None,
) -> State:
    """Calls ``advance(step, t, cache, state)`` for t = 0, 1, ... as long as a row is open.

    Every leaf of the state has the batch first, and so has the cache, for one or more beams. What
    reads or reorders a small cache costs less, and most rows end well before their limit: so with
    ``grow`` the cache has room for a quarter of ``max_length`` first, then for half, then for all.
    Those that are open when few are left, or at half, run on in groups of few by ``narrow``.
    """
    batch = jax.tree.leaves(state)[0].shape[0]
    few = batch if narrow is None else max(batch // _SHARE, 1)
    rooms = set() if grow is None else {-(-max_length // (n * _ROUND)) * _ROUND for n in (4, 2)}

    def loop(
        step: Step,
        t: Any,
        cache: Cache,
        state: State,
        *,
        until: int,
        least: int = 0,
        of: Any = True,
    ) -> Any:
        return lax.while_loop(
            lambda s: (jnp.sum(is_open(s[0], s[2]) & of) > least) & (s[0] < until),
            lambda s: (s[0] + 1, *advance(step, *s)),
            (t, cache, state),
        )

    t = jnp.int32(0)
    for room in sorted(room for room in rooms if room < max_length):
        cache = cache if grow is None else grow(cache, room)
        least = 0 if few == batch else few
        t, cache, state = loop(step, t, cache, state, until=room, least=least)

    def rest(left: tuple[jax.Array, State]) -> tuple[jax.Array, State]:
        """Lets some rows that wait run to their ends, all of them from t."""
        waiting_B, state = left
        if narrow is None or few == batch:
            row_G, part, some, step_G = jnp.arange(batch), cache, state, step
        else:
            row_G = jnp.argsort(~waiting_B, stable=True)[:few]
            part, some = (_take(tree, row_G, batch) for tree in (cache, state))
            step_G = narrow(row_G)
        part = part if grow is None else grow(part, max_length)
        *_, ended = loop(step_G, t, part, some, until=max_length, of=waiting_B[row_G])
        # A row that has ended may stand beside them, and stays as it is.
        ended = where_rows(waiting_B[row_G], ended, some)
        state = jax.tree.map(lambda all_B, of_G: all_B.at[row_G].set(of_G), state, ended)
        return waiting_B.at[row_G].set(False), state

    return lax.while_loop(lambda left: jnp.any(left[0]), rest, (is_open(t, state), state))[1]


def where_rows(use_B: jax.Array, new: Tree, old: Tree) -> Tree:
    """The new rows where ``use_B``, else the old ones."""

    def choose(n: jax.Array, o: jax.Array) -> jax.Array:
        return jnp.where(use_B.reshape(use_B.shape + (1,) * (n.ndim - 1)), n, o)

    return jax.tree.map(choose, new, old)


def _take(tree: Tree, row_G: jax.Array, batch: int) -> Tree:
    """These rows of the batch, each with all its beams."""

    def take(leaf: jax.Array) -> jax.Array:
        beams = len(leaf) // batch  # not told by -1, as a cache without room has no numbers
        grouped = leaf.reshape(batch, beams, *leaf.shape[1:])
        taken = jnp.take(grouped, row_G, axis=0, mode="clip")
        return taken.reshape(len(row_G) * beams, *leaf.shape[1:])

    return jax.tree.map(take, tree)


def limits(limit_B: Any, batch: int, max_length: int) -> jax.Array:
    """Each row's maximum length in [0, max_length]; max_length where no limit is given."""
    if limit_B is None:
        return jnp.full((batch,), max_length, jnp.int32)
    limit_B = jnp.asarray(limit_B, jnp.int32)
    if limit_B.shape != (batch,):
        raise ValueError(
            f"limit_B has shape {limit_B.shape}; it needs one length for each of {batch} rows"
        )
    return jnp.clip(limit_B, 0, max_length)


def _check_unchanged(before: Cache, after: Cache) -> None:
    """Raises ValueError where a step changes the structure, a shape or a dtype of its cache."""
    old_tree: Any = jax.tree.structure(before)
    new_tree: Any = jax.tree.structure(after)
    if old_tree != new_tree:
        raise ValueError(
            f"step turned a cache of {old_tree} into {new_tree}; it needs to keep its structure"
        )
    leaves = jax.tree_util.tree_flatten_with_path(before)[0]
    for (path, was), now in zip(leaves, jax.tree.leaves(after), strict=True):
        if (was.shape, was.dtype) != (now.shape, now.dtype):
            raise ValueError(
                f"step turned cache{jax.tree_util.keystr(path)} from {was.dtype}{was.shape} into"
                f" {now.dtype}{now.shape}; it needs to keep its shape and dtype"
            )

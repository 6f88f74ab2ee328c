"""The step function that every search takes, and the checks on it and on the sizes around it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from attention.shapes import accumulator

State = TypeVar("State")
Cache = Any
"""A pytree of arrays whose first axis is the batch."""

Step = Callable[[Cache, jax.Array], tuple[jax.Array, Cache]]
"""``step(cache, token_B) -> (logits_BV, cache)``: reads one token a row, scores the next one.

The first token read is bos. A token that may not come next has the logit -inf.
"""

Grow = Callable[[Cache, int], Cache]
"""``grow(cache, length) -> cache``: the same cache with room for ``length`` tokens."""

_ROUND = 8


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
    advance: Callable[[jax.Array, Cache, State], tuple[Cache, State]],
    go_on: Callable[[jax.Array, State], jax.Array],
    cache: Cache,
    state: State,
    *,
    max_length: int,
    grow: Grow | None = None,
) -> State:
    """Calls ``advance(t, cache, state)`` for t from 0 as long as ``go_on(t, state)``.

    With ``grow`` the cache has room for a quarter of ``max_length`` first, then for half, then for
    all: most rows end well before their limit, and what reads or reorders a smaller cache costs
    less. Each stage is a loop of its own to compile.
    """
    lengths = [max_length]
    if grow is not None:
        parts = {-(-max_length // (share * _ROUND)) * _ROUND for share in (4, 2)}
        lengths = [*sorted(length for length in parts if length < max_length), max_length]

    def stage(n: int, t: jax.Array, cache: Cache, state: State) -> State:
        cache = cache if grow is None else grow(cache, lengths[n])
        t, cache, state = lax.while_loop(
            lambda s: go_on(s[0], s[2]) & (s[0] < lengths[n]),
            lambda s: (s[0] + 1, *advance(*s)),
            (t, cache, state),
        )
        if n + 1 == len(lengths):
            return state
        return lax.cond(go_on(t, state), partial(stage, n + 1), lambda t, c, s: s, t, cache, state)

    return stage(0, jnp.int32(0), cache, state)


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

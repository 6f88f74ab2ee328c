"""What arrays a checkpoint has: the shape and dtype of each, by its path in the state.

Orbax casts what it reads to what is asked for, without a word; comparing beforehand prevents it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import SingleDeviceSharding

from attention.errors import RunError
from attention.lab.training.step import TrainState

_SHOWN = 10  # differences that an error lists


def describe(tree: Any) -> dict[str, str]:
    """Returns ``dtype[shape]`` of every array, by its path in the tree."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{x.dtype}{list(x.shape)}"
        for path, x in flat
    }


def check_same_model(saved: Mapping[str, str], expected: Mapping[str, str], name: str) -> None:
    """Raises ValueError, with the arrays that differ, unless two descriptions are the same."""
    paths = [p for p in sorted({*saved, *expected}) if saved.get(p) != expected.get(p)]
    if not paths:
        return
    listed = "; ".join(
        f"{path}: saved {saved.get(path, 'nothing')}, expected {expected.get(path, 'nothing')}"
        for path in paths[:_SHOWN]
    )
    more = f"; and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    arrays = "1 array differs" if len(paths) == 1 else f"{len(paths)} arrays differ"
    raise RunError(f"{name} is of another model, {arrays}: {listed}{more}")


def as_saved(state: TrainState) -> dict[str, Any]:
    """The state as a dict of plain arrays: a typed key goes in as its numbers."""
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    rng: Any = state.rng
    if isinstance(rng, jax.Array):
        fields["rng"] = jax.random.key_data(rng)
    else:
        data = jax.eval_shape(jax.random.key_data, rng)
        sharding = getattr(rng, "sharding", None)
        fields["rng"] = jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=sharding)
    return fields


def abstract_leaf(x: Any) -> jax.ShapeDtypeStruct:
    """Returns the shape, dtype and sharding that a leaf is to be read with."""
    sharding = getattr(x, "sharding", None) or SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

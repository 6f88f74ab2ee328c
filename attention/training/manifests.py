"""What a checkpoint's arrays were when saved: shape, dtype and SHA-256 of each.

Orbax reads a file with a flipped bit, or of another dtype, without a word; this notices.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding

from attention.training.step import TrainState

Manifest = dict[str, dict[str, Any]]


def describe(tree: Any) -> Manifest:
    """Returns shape, dtype and SHA-256 of every array, by its path in the tree.

    An array that is split over several processes is described without its SHA-256.
    """
    return {
        path: {"shape": list(x.shape), "dtype": str(x.dtype), "sha256": _sha256(x)}
        for path, x in _leaves(tree).items()
    }


def check_same_model(manifest: Mapping[str, Any], abstract: Any, name: str) -> None:
    """Raises ValueError unless the tree has the manifest's arrays, by path, shape and dtype."""
    wanted = _leaves(abstract)
    for path in sorted(manifest.keys() ^ wanted.keys()):
        has, lacks = (name, "this model") if path in manifest else ("this model", name)
        raise ValueError(f"{name} is of another model: {path} is in {has} but not in {lacks}")
    for path, x in wanted.items():
        saved = f"{manifest[path]['dtype']}{manifest[path]['shape']}"
        here = f"{x.dtype}{list(x.shape)}"
        if saved != here:
            raise ValueError(f"{name} is of another model: {path} is {saved} there, {here} here")


def check_intact(manifest: Mapping[str, Any], tree: Any) -> None:
    """Raises OSError if an array is not, bit for bit, what the manifest says."""
    for path, x in _leaves(tree).items():
        saved = manifest[path]["sha256"]
        if saved is not None and _sha256(x) not in (saved, None):
            raise OSError(f"the SHA-256 of {path} is not what it was when saved")


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


def _leaves(tree: Any) -> dict[str, Any]:
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in flat}


def _sha256(x: jax.Array) -> str | None:
    if not (x.is_fully_addressable or x.is_fully_replicated):
        return None
    array = np.asarray(x if x.is_fully_addressable else x.addressable_data(0))
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data).hexdigest()

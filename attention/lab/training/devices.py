"""One batch over many devices: rows are split along the mesh axis "data", the rest is copied."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA = "data"


def mesh(devices: int | None = None) -> Mesh:
    """Returns a mesh of one axis, "data".

    Args:
      devices: how many devices to use, the first ones; None for all of them.

    Raises:
      ValueError: if there are not that many.
    """
    there = jax.devices()
    count = len(there) if devices is None else devices
    if not 1 <= count <= len(there):
        raise ValueError(
            f"devices must be between 1 and the {len(there)} {there[0].platform} devices here,"
            f" got {devices}"
        )
    return jax.make_mesh((count,), (DATA,), axis_types=(AxisType.Auto,), devices=there[:count])


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Copies every leaf (arrays, typed keys) to every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def shard_batch(
    batch: Mapping[str, np.ndarray], mesh: Mesh, *, accumulate: int = 1
) -> dict[str, jax.Array]:
    """Puts a batch on the mesh, each device holding an even share of the rows.

    Rows are first filled up, with zeros (and -1 for ``index_B``), to a multiple of the devices
    times ``accumulate``. With several processes each passes its own rows, the same number in all.

    Args:
      batch: arrays whose first axis is the batch.
      mesh: from ``mesh``.
      accumulate: microbatches a step.

    Returns:
      The batch, on the devices.
    """
    sharding = NamedSharding(mesh, PartitionSpec(DATA))
    multiple = len(mesh.local_devices) * accumulate

    def put(name: str, x_BX: np.ndarray) -> jax.Array:
        filler = [(0, -len(x_BX) % multiple)] + [(0, 0)] * (np.ndim(x_BX) - 1)
        x_BX = np.pad(x_BX, filler, constant_values=-1 if name == "index_B" else 0)
        if jax.process_count() == 1:
            return jax.device_put(x_BX, sharding)
        return jax.make_array_from_process_local_data(sharding, x_BX)

    return {name: put(name, x_BX) for name, x_BX in batch.items()}

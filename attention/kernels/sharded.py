"""A kernel under a mesh: every device works on its own rows, and nothing is gathered.

A loop over batch and heads together would make XLA gather both first; in ``jax.shard_map`` each
device loops over its share. Batch is split over the axis "data", heads over the axis "tensor", as
far as the mesh in force (``jax.set_mesh``) has them and they divide.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, PartitionSpec

DATA, TENSOR = "data", "tensor"


def over_mesh(
    compute: Callable[..., jax.Array],
    q_BQHD: jax.Array,
    k_BKGD: jax.Array,
    v_BKGE: jax.Array,
    extras: Any,
) -> jax.Array:
    """``compute(q, k, v, extras)``, each device with its share of the batch and the heads.

    Args:
      compute: the kernel.
      q_BQHD, k_BKGD, v_BKGE: queries, keys, values.
      extras: mask, bias and dropout, a tree whose arrays have the batch first (B or 1) and, having
        four axes, the heads second (H or 1).

    Returns:
      out_BQHE.
    """
    batch, _, heads, _ = q_BQHD.shape
    data = _axis(DATA, batch)
    tensor = TENSOR if splits_heads(q_BQHD, k_BKGD) else None
    if data is None and tensor is None:
        return compute(q_BQHD, k_BKGD, v_BKGE, extras)

    def share(leaf: jax.Array) -> PartitionSpec:
        first = data if leaf.shape[0] == batch > 1 else None
        if leaf.ndim != 4:
            return PartitionSpec(first)
        return PartitionSpec(first, tensor if leaf.shape[1] == heads > 1 else None)

    split = PartitionSpec(data, None, tensor)
    return jax.shard_map(
        compute,
        in_specs=(split, split, split, jax.tree.map(share, extras)),
        out_specs=split,
        check_vma=False,
    )(q_BQHD, k_BKGD, v_BKGE, extras)


def over_batch(compute: Callable[..., jax.Array], params: Any, *arrays: jax.Array) -> jax.Array:
    """``compute(params, *arrays)``, each device with its share of the batch and all parameters.

    Args:
      compute: of arrays with the batch first, to one such array.
      params: a tree without a batch.
      arrays: all with the batch first.
    """
    data = _axis(DATA, *(len(x) for x in arrays))
    if data is None:
        return compute(params, *arrays)
    return jax.shard_map(
        compute,
        in_specs=(PartitionSpec(), *(PartitionSpec(data) for _ in arrays)),
        out_specs=PartitionSpec(data),
        check_vma=False,
    )(params, *arrays)


def splits_heads(q_BQHD: jax.Array, k_BKGD: jax.Array) -> bool:
    """Whether ``over_mesh`` gives a device some of the heads only."""
    return _axis(TENSOR, q_BQHD.shape[2], k_BKGD.shape[2]) is not None


def _axis(name: str, *sizes: int) -> str | None:
    """The axis of the mesh in force, if XLA may split it and it divides the sizes."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    if kinds.get(name) != AxisType.Auto or mesh.shape[name] == 1:
        return None
    return name if all(size % mesh.shape[name] == 0 for size in sizes) else None

"""Splash attention's kernel for masks of ours, which it gets while a program is traced.

Importing this module brings Pallas for TPUs.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental.pallas.ops.tpu import splash_attention as pallas

from attention.kernels.request import pattern
from attention.masks import EMPTY, FULL, Mask, Tiling

BLOCK = 128  # the lanes of a TPU; lengths are filled up to a multiple
_MOST_BLOCK = 512
_SIDE = 512  # of the tiles in which first keys are looked for
_NO_MESH = jax.sharding.AbstractMesh((), ())  # in jax.shard_map, known values would be split too


def filled(length: int) -> int:
    """The length in whole blocks."""
    return length + -length % BLOCK


@functools.lru_cache(maxsize=16)  # several layers ask, at every trace
def kernel(masks: tuple[Mask, ...], q_len: int, k_len: int, interpret: bool) -> Any:
    """The kernel for heads with these masks, which have no arrays; what it holds is in NumPy."""
    of_heads = pallas.MultiHeadMask([translated(mask, q_len, k_len) for mask in masks])
    q_block, k_block = map(_block, of_heads.shape[1:])
    with jax.ensure_compile_time_eval(), jax.sharding.use_abstract_mesh(_NO_MESH):
        made = pallas.make_splash_mha(
            of_heads,
            head_shards=1,
            q_seq_shards=1,
            block_sizes=pallas.BlockSizes(
                block_q=q_block,
                block_kv=k_block,
                block_kv_compute=k_block,
                block_q_dkv=q_block,
                block_kv_dkv=k_block,
                block_kv_dkv_compute=k_block,
                block_q_dq=q_block,
                block_kv_dq=k_block,
            ),
            interpret=interpret,
        )
    return jax.tree.map(np.asarray, made)


def _block(length: int) -> int:
    """The largest block that divides the length."""
    return max(n for n in range(BLOCK, _MOST_BLOCK + 1, BLOCK) if length % n == 0)


def translated(mask: Mask, q_len: int, k_len: int) -> Any:
    """The mask as splash attention's: its own if there is one, else ``Translated``."""
    seen, shape = pattern(mask), (filled(q_len), filled(k_len))
    if seen is None or (_first_key(mask, q_len, k_len) == k_len).any():
        return Translated(mask, q_len, k_len)
    if seen.left is None and seen.right is None:
        return pallas.FullMask(shape)
    if seen.left is None and seen.right == 0:
        return pallas.CausalMask(shape)
    return pallas.LocalMask(shape, (seen.left, seen.right), offset=0)


@dataclass(frozen=True)
class Translated(pallas.Mask):
    """A mask without arrays, in NumPy, by the slice; equal for equal masks.

    A query that sees nothing is shown the first key, so that nothing divides by zero: what it gets
    is zeroed afterwards.

    Attributes:
      mask: ours.
      q_len, k_len: what there is; the shape is filled up to blocks.
    """

    mask: Mask
    q_len: int
    k_len: int

    @property
    def shape(self) -> tuple[int, int]:
        """Queries and keys in whole blocks."""
        return filled(self.q_len), filled(self.k_len)

    def __getitem__(self, idx: tuple[slice, slice]) -> np.ndarray:
        (q_first, q_last, _), (k_first, k_last, _) = (
            one.indices(size) for one, size in zip(idx, self.shape, strict=True)
        )
        see_QK = self._seen(q_first, k_first, q_last - q_first, k_last - k_first)
        if k_first == 0 < k_last:
            see_QK[:, 0] |= self._lost_Q[q_first:q_last]
        return see_QK

    def _seen(self, q_first: int, k_first: int, q_size: int, k_size: int) -> np.ndarray:
        """A tile of the mask, worked out only where its blocks do not tell."""
        rows, columns = (
            slice(first // BLOCK, -(-(first + size) // BLOCK))
            for first, size in ((q_first, q_size), (k_first, k_size))
        )
        known = self._blocks[rows, columns]
        if (known == EMPTY).all() or (known == FULL).all():
            return np.full((q_size, k_size), (known == FULL).all())
        return _tile(self.mask, q_first, k_first, q_size, k_size)

    @functools.cached_property
    def _blocks(self) -> np.ndarray:
        return self.mask.blocks(Tiling(*self.shape, BLOCK, BLOCK))

    @functools.cached_property
    def _lost_Q(self) -> np.ndarray:
        """Which queries see nothing; none of those that fill up."""
        lost_Q = _first_key(self.mask, self.q_len, self.k_len) == self.k_len
        return np.pad(lost_Q, (0, self.shape[0] - self.q_len))


def first_keys(masks: tuple[Mask, ...], q_len: int, k_len: int) -> np.ndarray:
    """The first key that each query sees, K for none: int [Q, H], or [Q, 1] for equal heads."""
    masks = masks[:1] if len(set(masks)) == 1 else masks
    return np.stack([_first_key(mask, q_len, k_len) for mask in masks], axis=1)


@functools.lru_cache(maxsize=64)  # several layers ask, at every trace
def _first_key(mask: Mask, q_len: int, k_len: int) -> np.ndarray:
    """The first key that each query sees, K for none: int [Q], not to be changed."""
    first_Q = np.full(q_len, k_len, np.int32)
    for i, known in enumerate(mask.blocks(Tiling(q_len, k_len, _SIDE, _SIDE))):
        mine = first_Q[i * _SIDE : (i + 1) * _SIDE]
        for j in np.flatnonzero(known).tolist():
            if (mine < k_len).all():
                break
            see = _tile(mask, i * _SIDE, j * _SIDE, _SIDE, _SIDE)
            see = see[: len(mine), : k_len - j * _SIDE]
            np.minimum(mine, np.where(see.any(1), j * _SIDE + see.argmax(1), k_len), out=mine)
    first_Q.setflags(write=False)
    return first_Q


def _tile(mask: Mask, q_first: int, k_first: int, q_size: int, k_size: int) -> np.ndarray:
    """A tile of the mask as an array of its own, bool [Q, K]."""
    with jax.ensure_compile_time_eval(), jax.sharding.use_abstract_mesh(_NO_MESH):
        see_11QK = np.asarray(_traced_tile(mask, q_first, k_first, q_size, k_size))
    return np.array(np.broadcast_to(see_11QK[0, 0], (q_size, k_size)))


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _traced_tile(mask: Mask, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
    return mask.tile(q_first, k_first, q_size, k_size)

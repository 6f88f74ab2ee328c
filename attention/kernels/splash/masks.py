"""Splash attention's kernel for our masks, made while a program is traced.

This module imports Pallas for TPUs.
"""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental.pallas.ops.tpu import splash_attention as pallas

from attention.kernels.request import as_band
from attention.masks import EMPTY, FULL, Mask, Tiling

BLOCK = 128  # the lanes of a TPU; lengths are padded to a multiple
_MOST_BLOCK = 512
_SIDE = 512  # of the tiles that are searched for first keys
_NO_MESH = jax.sharding.AbstractMesh((), ())  # in jax.shard_map, known values would be split too


def padded(length: int) -> int:
    """The length in whole blocks."""
    return length + -length % BLOCK


@functools.lru_cache(maxsize=16)  # for several layers, and further traces
def make_kernel(masks: tuple[Mask, ...], q_len: int, k_len: int, interpret: bool) -> Any:
    """The kernel for heads with these masks, which have no arrays; its constants are NumPy's."""
    of_heads = pallas.MultiHeadMask([convert(mask, q_len, k_len) for mask in masks])
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


def convert(mask: Mask, q_len: int, k_len: int) -> Any:
    """The mask for splash attention: one of its own if possible, else ``ConvertedMask``."""
    band, shape = as_band(mask), (padded(q_len), padded(k_len))
    if band is None or (_first_key(mask, q_len, k_len) == k_len).any():
        return ConvertedMask(mask, q_len, k_len)
    if band.left is None and band.right is None:
        return pallas.FullMask(shape)
    if band.left is None and band.right == 0:
        return pallas.CausalMask(shape)
    return pallas.LocalMask(shape, (band.left, band.right), offset=0)


@dataclass(frozen=True)
class ConvertedMask(pallas.Mask):
    """A mask without arrays, in NumPy, by the slice; equal for equal masks.

    A query that sees nothing sees the first key here, so that nothing divides by zero; its output
    is zeroed afterwards.

    Attributes:
      mask: our mask.
      q_len, k_len: queries and keys; the shape is padded to whole blocks.
    """

    mask: Mask
    q_len: int
    k_len: int

    @property
    def shape(self) -> tuple[int, int]:
        """Queries and keys in whole blocks."""
        return padded(self.q_len), padded(self.k_len)

    def __getitem__(self, idx: tuple[slice, slice]) -> np.ndarray:
        (q_first, q_last, _), (k_first, k_last, _) = (
            one.indices(size) for one, size in zip(idx, self.shape, strict=True)
        )
        see_QK = self._tile(q_first, k_first, q_last - q_first, k_last - k_first)
        if k_first == 0 < k_last:
            see_QK[:, 0] |= self._sees_nothing_Q[q_first:q_last]
        return see_QK

    def _tile(self, q_first: int, k_first: int, q_size: int, k_size: int) -> np.ndarray:
        """A tile of the mask, computed only where its blocks are mixed."""
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
    def _sees_nothing_Q(self) -> np.ndarray:
        """Which queries see nothing; padding does not count."""
        nothing_Q = _first_key(self.mask, self.q_len, self.k_len) == self.k_len
        return np.pad(nothing_Q, (0, self.shape[0] - self.q_len))


def first_keys(masks: tuple[Mask, ...], q_len: int, k_len: int) -> np.ndarray:
    """The first key that each query sees, K for none: int [Q, H], or [Q, 1] for equal heads."""
    masks = masks[:1] if len(set(masks)) == 1 else masks
    return np.stack([_first_key(mask, q_len, k_len) for mask in masks], axis=1)


@functools.lru_cache(maxsize=64)  # for several layers, and further traces
def _first_key(mask: Mask, q_len: int, k_len: int) -> np.ndarray:
    """The first key that each query sees, K for none: int [Q], read-only."""
    first_Q = np.full(q_len, k_len, np.int32)
    for i, known in enumerate(mask.blocks(Tiling(q_len, k_len, _SIDE, _SIDE))):
        of_tile_Q = first_Q[i * _SIDE : (i + 1) * _SIDE]
        for j in np.flatnonzero(known).tolist():
            if (of_tile_Q < k_len).all():
                break
            see = _tile(mask, i * _SIDE, j * _SIDE, _SIDE, _SIDE)
            see = see[: len(of_tile_Q), : k_len - j * _SIDE]
            first = np.where(see.any(1), j * _SIDE + see.argmax(1), k_len)
            np.minimum(of_tile_Q, first, out=of_tile_Q)
    first_Q.setflags(write=False)
    return first_Q


def _tile(mask: Mask, q_first: int, k_first: int, q_size: int, k_size: int) -> np.ndarray:
    """A tile of the mask as a new array, bool [Q, K]."""
    with jax.ensure_compile_time_eval(), jax.sharding.use_abstract_mesh(_NO_MESH):
        see_11QK = np.asarray(_traced_tile(mask, q_first, k_first, q_size, k_size))
    return np.array(np.broadcast_to(see_11QK[0, 0], (q_size, k_size)))


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _traced_tile(mask: Mask, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
    return mask.tile(q_first, k_first, q_size, k_size)

"""Attention for JAX and Flax: every variant of the Transformer lectures as one small value."""

from attention import kernels, masks, positions, shapes, variants
from attention.kernels import softmax_attention
from attention.models.transformer import Transformer
from attention.modules.multi_head import MultiHead
from attention.modules.named import (
    AdditiveAttention,
    AxialAttention,
    BigBirdAttention,
    CosineAttention,
    DilatedAttention,
    FixedAttention,
    GlobalAttention,
    GraphAttention,
    GridAttention,
    LocalAttention,
    LongformerAttention,
    PatternedAttention,
    PerHeadAttention,
    ReLUAttention,
    SoftmaxAttention,
    StridedAttention,
    TemperedAttention,
)

__all__ = [
    "AdditiveAttention",
    "AxialAttention",
    "BigBirdAttention",
    "CosineAttention",
    "DilatedAttention",
    "FixedAttention",
    "GlobalAttention",
    "GraphAttention",
    "GridAttention",
    "LocalAttention",
    "LongformerAttention",
    "MultiHead",
    "PatternedAttention",
    "PerHeadAttention",
    "ReLUAttention",
    "SoftmaxAttention",
    "StridedAttention",
    "TemperedAttention",
    "Transformer",
    "kernels",
    "masks",
    "positions",
    "shapes",
    "softmax_attention",
    "variants",
]

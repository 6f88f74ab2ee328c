"""Attention for JAX and Flax: every variant of the Transformer lectures as one small value."""

from attention import kernels, masks, positions, shapes, variants
from attention.kernels import softmax_attention
from attention.models.transformer import Transformer
from attention.modules.mixing import Mixing
from attention.modules.multi_head import MultiHead
from attention.modules.named import (
    AdditiveAttention,
    AxialAttention,
    BigBirdAttention,
    CosineAttention,
    DilatedAttention,
    FixedAttention,
    FNetMixing,
    GlobalAttention,
    GraphAttention,
    GridAttention,
    LinformerAttention,
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
    "FNetMixing",
    "FixedAttention",
    "GlobalAttention",
    "GraphAttention",
    "GridAttention",
    "LinformerAttention",
    "LocalAttention",
    "LongformerAttention",
    "Mixing",
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

"""Attention for JAX and Flax: every variant of the Transformer lectures as one small value.

Nothing is imported before it is used, so that the command line answers ``--help`` at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attention import kernels, masks, positions, shapes, variants
    from attention.kernels import softmax_attention
    from attention.models.decoder import Decoder
    from attention.models.encoder import Encoder
    from attention.models.transformer import Transformer
    from attention.modules.attention.multi_head import MultiHead
    from attention.modules.attention.named import (
        AdditiveAttention,
        AxialAttention,
        BigBirdAttention,
        CompressedAttention,
        ConvMixing,
        CosineAttention,
        DilatedAttention,
        EfficientAttention,
        FixedAttention,
        FNetMixing,
        GlobalAttention,
        GraphAttention,
        GridAttention,
        GRUMixing,
        LearnedTemperatureAttention,
        LinearAttention,
        LinformerAttention,
        LocalAttention,
        LocationAttention,
        LongformerAttention,
        LSTMMixing,
        MixerMixing,
        MonotonicAttention,
        PatternedAttention,
        PerformerAttention,
        PerHeadAttention,
        ReformerAttention,
        ReLUAttention,
        RFAAttention,
        RoutingAttention,
        SinkhornAttention,
        SoftmaxAttention,
        StridedAttention,
        SynthesizerAttention,
    )
    from attention.modules.mixing import TokenMixing

__all__ = [
    "AdditiveAttention",
    "AxialAttention",
    "BigBirdAttention",
    "CompressedAttention",
    "ConvMixing",
    "CosineAttention",
    "Decoder",
    "DilatedAttention",
    "EfficientAttention",
    "Encoder",
    "FNetMixing",
    "FixedAttention",
    "GRUMixing",
    "GlobalAttention",
    "GraphAttention",
    "GridAttention",
    "LSTMMixing",
    "LearnedTemperatureAttention",
    "LinearAttention",
    "LinformerAttention",
    "LocalAttention",
    "LocationAttention",
    "LongformerAttention",
    "MixerMixing",
    "MonotonicAttention",
    "MultiHead",
    "PatternedAttention",
    "PerHeadAttention",
    "PerformerAttention",
    "RFAAttention",
    "ReLUAttention",
    "ReformerAttention",
    "RoutingAttention",
    "SinkhornAttention",
    "SoftmaxAttention",
    "StridedAttention",
    "SynthesizerAttention",
    "TokenMixing",
    "Transformer",
    "kernels",
    "masks",
    "positions",
    "shapes",
    "softmax_attention",
    "variants",
]

_MODULES = ("kernels", "masks", "positions", "shapes", "variants")
_OF_MODULES = {
    "MultiHead": "modules.attention.multi_head",
    "TokenMixing": "modules.mixing",
    "Encoder": "models.encoder",
    "Decoder": "models.decoder",
    "Transformer": "models.transformer",
    "softmax_attention": "kernels",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"attention.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'attention' has no attribute {name!r}")
    return getattr(
        import_module(f"attention.{_OF_MODULES.get(name, 'modules.attention.named')}"), name
    )


def __dir__() -> list[str]:
    return __all__

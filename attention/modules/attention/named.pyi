# Made by: python -m tools.named_attentions
from typing import Any

from attention import masks
from attention.modules.attention.multi_head import MultiHead
from attention.modules.mixing import TokenMixing
from attention.positions import Rotary

def named(variant: Any) -> type: ...

class AdditiveAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        hidden: int = 0,
        dropout_rate: float = 0.0,
    ) -> None: ...

class AxialAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        width: int = 16,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class BigBirdAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        block: int = 64,
        random: int = 3,
        length: int = 4096,
        seed: int = 0,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class CompressedAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        kernel: int = 3,
        stride: int = 3,
        dropout_rate: float = 0.0,
    ) -> None: ...

class ConvMixing(TokenMixing):
    def __init__(
        self,
        heads: int = 1,
        *,
        dtype: Any = ...,
        name: str | None = None,
        kind: str = "separable",
        left: int = 3,
        right: int = 3,
    ) -> None: ...

class CosineAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        scale: float = 0.0,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class DilatedAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        left: int = 64,
        right: int = 64,
        step: int = 2,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class EfficientAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
    ) -> None: ...

class FNetMixing(TokenMixing):
    def __init__(
        self,
        heads: int = 1,
        *,
        dtype: Any = ...,
        name: str | None = None,
    ) -> None: ...

class FixedAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        block: int = 16,
        summary: int = 2,
        split: bool = False,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class GRUMixing(TokenMixing):
    def __init__(
        self,
        heads: int = 1,
        *,
        dtype: Any = ...,
        name: str | None = None,
        hidden: int = 0,
        bidirectional: bool = True,
    ) -> None: ...

class GlobalAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        first: int = 1,
        positions: tuple[int, ...] = (),
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class GraphAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        score: str = "gat",
        slope: float = 0.2,
        self_loops: bool = True,
        dropout_rate: float = 0.0,
    ) -> None: ...

class GridAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        width: int = 16,
        rows: int = 3,
        columns: int = 3,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class LSTMMixing(TokenMixing):
    def __init__(
        self,
        heads: int = 1,
        *,
        dtype: Any = ...,
        name: str | None = None,
        hidden: int = 0,
        bidirectional: bool = True,
    ) -> None: ...

class LearnedTemperatureAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class LinearAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
    ) -> None: ...

class LinformerAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        length: int = 512,
        rank: int = 128,
        sharing: str = "none",
        dropout_rate: float = 0.0,
    ) -> None: ...

class LocalAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        left: int = 64,
        right: int = 64,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class LocationAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        hidden: int = 0,
        filters: int = 10,
        width: int = 7,
    ) -> None: ...

class LongformerAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        left: int | tuple[int, ...] = (64,),
        right: int | tuple[int, ...] = (64,),
        step: int | tuple[int, ...] = (1,),
        first: int = 1,
        positions: tuple[int, ...] = (),
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class MixerMixing(TokenMixing):
    def __init__(
        self,
        heads: int = 1,
        *,
        dtype: Any = ...,
        name: str | None = None,
        length: int = 512,
        hidden: int = 256,
    ) -> None: ...

class MonotonicAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        hidden: int = 0,
        noise: float = 1.0,
        offset: float = -1.0,
        evaluation: str = "expected",
    ) -> None: ...

class PatternedAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        mask: masks.Mask,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class PerHeadAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        left: int | tuple[int, ...] = (64,),
        right: int | tuple[int, ...] = (64,),
        step: int | tuple[int, ...] = (1,),
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class PerformerAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        random_features: int = 0,
        kind: str = "softmax",
        redraw: int = 1000,
    ) -> None: ...

class RFAAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        random_features: int = 0,
        gated: bool = False,
        floor: float = 0.01,
    ) -> None: ...

class ReLUAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        dropout_rate: float = 0.0,
    ) -> None: ...

class ReformerAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        buckets: int = 0,
        chunk: int = 64,
        rounds: int = 4,
        scale: float = 0.0,
    ) -> None: ...

class RoutingAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        clusters: int = 8,
        window: int = 0,
        decay: float = 0.999,
        local_heads: int = 0,
        left: int = 64,
        right: int = 64,
        shared: bool = True,
        scale: float = 0.0,
    ) -> None: ...

class SinkhornAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        block: int = 32,
        length: int = 1024,
        iterations: int = 8,
        temperature: float = 0.75,
        cut: int = 0,
        dropout_rate: float = 0.0,
    ) -> None: ...

class SoftmaxAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class StridedAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        stride: int = 16,
        split: bool = False,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

class SynthesizerAttention(MultiHead):
    def __init__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = ...,
        kv_heads: int | None = None,
        name: str | None = None,
        parts: tuple[str, ...] = ("dense",),
        length: int = 512,
        hidden: int = 0,
        rank: int = 8,
        dropout_rate: float = 0.0,
        kernel: str = "auto",
    ) -> None: ...

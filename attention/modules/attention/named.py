"""Each attention, and each mixer, as a module by its own name.

>>> from attention import LocalAttention
>>> LocalAttention(heads=8, left=16).attention
Local(left=16, right=64, dropout_rate=0.0, kernel='auto')
"""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import jax.numpy as jnp

from attention import variants
from attention.modules.attention.multi_head import MultiHead
from attention.modules.mixing import TokenMixing
from attention.positions import Rotary


class MultiHeadMaker(Protocol):
    """Makes a MultiHead around one kind of attention."""

    def __call__(
        self,
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = jnp.float32,
        kv_heads: int | None = None,
        name: str | None = None,
        **parameters: Any,
    ) -> MultiHead: ...


class MixingMaker(Protocol):
    """Makes a TokenMixing around one kind of mixer."""

    def __call__(
        self,
        heads: int = 1,
        *,
        dtype: Any = jnp.float32,
        name: str | None = None,
        **parameters: Any,
    ) -> TokenMixing: ...


def named(variant: Any) -> MultiHeadMaker:
    """A maker of ``MultiHead(heads, variant(...))``.

    Args:
      variant: a class from ``attention.variants``.

    Returns:
      A function of MultiHead's arguments and, by keyword, the variant's own.
    """

    def make(
        heads: int,
        *,
        features: int | None = None,
        rotary: Rotary | None = None,
        dtype: Any = jnp.float32,
        kv_heads: int | None = None,
        name: str | None = None,
        **parameters: Any,
    ) -> MultiHead:
        attend = variant(**parameters)
        return MultiHead(heads, attend, features, rotary, dtype, kv_heads, name=name)

    return _described(make, variant, "Attention", "MultiHead")


def named_mixing(variant: Any) -> MixingMaker:
    """A maker of ``TokenMixing(heads, variant(...))``, as ``named``."""

    def make(
        heads: int = 1, *, dtype: Any = jnp.float32, name: str | None = None, **parameters: Any
    ) -> TokenMixing:
        return TokenMixing(heads, variant(**parameters), dtype, name=name)

    return _described(make, variant, "Mixing", "TokenMixing")


def _described(make: Any, variant: Any, ending: str, module: str) -> Any:
    """The maker with a name, a docstring, and a signature that holds the variant's parameters."""
    make.__name__ = make.__qualname__ = f"{variant.__name__}{ending}"
    make.__doc__ = (
        f"``{module}(heads, attention.variants.{variant.__name__}(...))``, a Flax module.\n\n"
        f"{(inspect.getdoc(variant) or '').partition('>>>')[0].rstrip()}\n"
    )
    shared = list(inspect.signature(make).parameters.values())[:-1]
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(variant).parameters.values()
    ]
    make.__signature__ = inspect.Signature([*shared, *own])
    return make


AdditiveAttention = named(variants.Additive)
AxialAttention = named(variants.Axial)
BigBirdAttention = named(variants.BigBird)
CompressedAttention = named(variants.Compressed)
CosineAttention = named(variants.Cosine)
DilatedAttention = named(variants.Dilated)
EfficientAttention = named(variants.Efficient)
FixedAttention = named(variants.Fixed)
GlobalAttention = named(variants.Global)
GraphAttention = named(variants.Graph)
GridAttention = named(variants.Grid)
LinearAttention = named(variants.Linear)
LinformerAttention = named(variants.Linformer)
LocalAttention = named(variants.Local)
LocationAttention = named(variants.Location)
LongformerAttention = named(variants.Longformer)
MonotonicAttention = named(variants.Monotonic)
PatternedAttention = named(variants.Patterned)
PerHeadAttention = named(variants.PerHead)
PerformerAttention = named(variants.Performer)
RFAAttention = named(variants.RFA)
ReLUAttention = named(variants.ReLU)
ReformerAttention = named(variants.Reformer)
RoutingAttention = named(variants.Routing)
SinkhornAttention = named(variants.Sinkhorn)
SoftmaxAttention = named(variants.Softmax)
StridedAttention = named(variants.Strided)
SynthesizerAttention = named(variants.Synthesizer)
TemperedAttention = named(variants.Tempered)

ConvMixing = named_mixing(variants.Conv)
FNetMixing = named_mixing(variants.FNet)
GRUMixing = named_mixing(variants.GRU)
LSTMMixing = named_mixing(variants.LSTM)
MixerMixing = named_mixing(variants.Mixer)

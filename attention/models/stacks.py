"""The layers of a Transformer's two stacks, made as its attributes tell."""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn

from attention.modules.copying import check_copies
from attention.modules.layers import DecoderLayer, EncoderLayer, Make, Residual, multi_head


def encoder_layers(model: Any, norm: Make) -> list[nn.Module]:
    """Of the Transformer ``model``, normalised by ``norm``."""
    layer, attention, forward, residual = _made(model, EncoderLayer, norm)
    return [layer(attention(model.encoder), forward, residual) for _ in range(model.layers)]


def decoder_layers(model: Any, norm: Make) -> list[nn.Module]:
    """Of the Transformer ``model``; the last one points, where the model copies."""
    if model.copying is not None:
        check_copies(model.cross)
    layer, attention, forward, residual = _made(model, DecoderLayer, norm)
    makers = attention(model.decoder), attention(model.cross), forward, residual
    last = model.layers - 1
    return [
        layer(*makers, points=model.copying is not None and number == last)
        for number in range(model.layers)
    ]


def _made(model: Any, layer: type[nn.Module], norm: Make) -> tuple[Any, ...]:
    """The class of a layer, and what makes its parts."""
    attention = partial(
        multi_head, model.heads, kv_heads=model.kv_heads, rotary=model.rotary, dtype=model.dtype
    )
    forward = partial(model.feed_forward, dtype=model.dtype)
    residual = partial(Residual, norm, model.pre_norm, model.dropout)
    return nn.remat(layer) if model.remat else layer, attention, forward, residual

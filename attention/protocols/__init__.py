"""What a variant is: base classes of attentions and token mixers, and what they declare."""

from attention.protocols.attention import Attention, StatefulCrossAttention
from attention.protocols.capabilities import Capabilities, Needs, require
from attention.protocols.mixer import MixerInputs, TokenMixer
from attention.protocols.variant import WithAxes

__all__ = [
    "Attention",
    "Capabilities",
    "MixerInputs",
    "Needs",
    "StatefulCrossAttention",
    "TokenMixer",
    "WithAxes",
    "require",
]

"""The attentions, one paper a file: pure JAX, no Flax."""

from attention.variants.softmax import Softmax

__all__ = ["Softmax"]

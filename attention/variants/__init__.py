"""The attentions, one paper a file: pure JAX, no Flax."""

from attention.variants.local import Local
from attention.variants.softmax import Softmax

__all__ = ["Local", "Softmax"]

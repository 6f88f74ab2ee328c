"""Greedy, sampled and beam decoding of anything that steps: ``step(cache, token_B) -> logits_BV``.

>>> import jax.numpy as jnp
>>> from attention.decoding import greedy
>>> def step(cache, token_B):  # after token t comes t + 1
...     return -jnp.square(jnp.arange(6.0)[None] - token_B[:, None] - 1), cache
>>> greedy(step, {}, batch=1, bos=1, eos=4, pad=0, max_length=5).tokens_BT
Array([[2, 3, 4, 0, 0]], dtype=int32)
"""

from attention.decoding.beam import beam_search
from attention.decoding.greedy import Decoded, greedy
from attention.decoding.hypotheses import Beams
from attention.decoding.mask_predict import Filled, mask_predict
from attention.decoding.sample import Sampler, sample
from attention.decoding.steps import Grow, Narrow, Step

__all__ = [
    "Beams",
    "Decoded",
    "Filled",
    "Grow",
    "Narrow",
    "Sampler",
    "Step",
    "beam_search",
    "greedy",
    "mask_predict",
    "sample",
]

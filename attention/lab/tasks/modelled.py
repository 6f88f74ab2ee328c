"""What tasks share: the parameters of their model, and the text of tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from attention.lab.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer
from attention.shapes import Tree

_NEVER = np.array([PAD, UNK, BOS])  # tokens that a translation never holds


@dataclass(frozen=True, eq=False)
class Modelled:
    """A task of a model that maps source tokens and target tokens to logits.

    Attributes:
      model: the Linen module.
      tokenizer: the joint vocabulary.
    """

    model: Any
    tokenizer: Tokenizer

    def init(self, rng: jax.Array) -> tuple[Tree, Tree]:
        """Parameters, and state that is not trained (random features, centroids)."""
        tokens_BT = jnp.full((1, 2), EOS, jnp.int32)
        variables = nn.meta.unbox(jax.jit(self.model.init)(rng, tokens_BT, tokens_BT))
        return variables["params"], {k: v for k, v in variables.items() if k != "params"}

    def texts(self, tokens: np.ndarray) -> list[str]:
        """One line of text for each row of tokens; what would break a line is a space."""
        lines = (self.tokenizer.decode(row) for row in np.asarray(tokens))
        return [line.replace("\r", " ").replace("\n", " ") for line in lines]

    def _run(self, params: Tree, model_state: Tree) -> Callable[..., Any]:
        return partial(self.model.apply, {"params": params, **model_state})


def never(vocab_size: int) -> jax.Array:
    """What is added to logits [V], so that no token is chosen that a translation never holds."""
    return jnp.zeros((vocab_size,)).at[_NEVER].set(-jnp.inf)

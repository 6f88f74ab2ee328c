"""A model for searches: random logits that depend on the whole prefix, in JAX and in NumPy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

PAD, EOS, BOS = 0, 1, 3
STATES = 211


class TableModel(NamedTuple):
    """Logits looked up by a hash of the prefix, which the cache carries, and by token counts.

    A cache in the wrong order, or fed a wrong token, gives other logits from there on.
    """

    table_SV: jax.Array

    @classmethod
    def random(cls, seed, vocabulary, *, scale=2.0, eos=0.0, forbidden=0.0):
        generator = np.random.default_rng(seed)
        table_SV = generator.normal(size=(STATES, vocabulary)) * scale
        table_SV[:, EOS] += eos
        table_SV[generator.random(table_SV.shape) < forbidden] = -np.inf
        table_SV[:, [PAD, BOS]] = -np.inf
        return cls(jnp.asarray(table_SV, jnp.float32))

    def cache(self, names_B):
        """The cache to start from; a row's logits depend on its name, an integer."""
        names_B = jnp.asarray(names_B, jnp.int32)
        return {
            "state": names_B * 17 % STATES,
            "seen": [jnp.zeros((len(names_B), self.table_SV.shape[1], 1))],
        }

    def step(self, cache, token_B):
        state_B = (cache["state"] * 31 + token_B * 7 + 1) % STATES
        row_B = jnp.arange(len(token_B))
        seen_BV1 = cache["seen"][0].at[row_B, token_B, 0].add(1.0)
        logits_BV = self.table_SV[state_B] + jnp.sin(3.0 * seen_BV1[:, :, 0])
        return logits_BV, {"state": state_B, "seen": [seen_BV1]}

    def log_probs(self, name, prefix):
        """The same in float64 NumPy, from scratch: log-probabilities after a prefix."""
        table_SV = np.asarray(self.table_SV, np.float64)
        state, seen_V = name * 17 % STATES, np.zeros(table_SV.shape[1])
        for token in (BOS, *prefix):
            state = (state * 31 + token * 7 + 1) % STATES
            seen_V[token] += 1
        logits_V = table_SV[state] + np.sin(3.0 * seen_V)
        if not np.isfinite(logits_V).any():
            return logits_V
        return logits_V - np.logaddexp.reduce(logits_V)

    def log_prob(self, name, tokens):
        """The summed log-probability of a sequence."""
        return sum(self.log_probs(name, tokens[:i])[token] for i, token in enumerate(tokens))


@pytest.fixture(scope="session")
def table_model():
    """The class TableModel."""
    return TableModel

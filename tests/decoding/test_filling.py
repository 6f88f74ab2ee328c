"""Mask-predict against a loop over rows, iterations and tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.decoding import mask_predict

V, MASK, PAD = 7, 2, 0
TABLE = np.random.default_rng(0).normal(size=(V, 9, V)) * 2


def fill(tokens_BT):
    """Logits that depend on every token of the row, and on the place."""
    table = jnp.asarray(TABLE, "float32")
    parts_BTV = table[tokens_BT, jnp.arange(tokens_BT.shape[1])[None]]
    others_BTV = jnp.cumsum(parts_BTV, axis=1) + jnp.cumsum(parts_BTV[:, ::-1], axis=1)
    return others_BTV.at[..., jnp.array([PAD, MASK])].set(-jnp.inf)


def by_loops(length, width, iterations):
    """One row, as section 3.1 of the paper has it."""
    tokens, log_p = [PAD] * width, [0.0] * width
    for iteration in range(iterations):
        count = int(length * (iterations - iteration) / iterations)
        masked = sorted(range(length), key=lambda at: (log_p[at], at))[:count]
        if iteration == 0:
            masked = list(range(length))
        asked = [MASK if at in masked else token for at, token in enumerate(tokens)]
        logits = np.asarray(fill(jnp.array([asked])), np.float64)[0]
        for at in masked:
            p = np.exp(logits[at]) / np.exp(logits[at]).sum()
            tokens[at], log_p[at] = int(p.argmax()), float(np.log(p.max()))
    return tokens, log_p


@pytest.mark.parametrize("iterations", [1, 2, 3, 4, 10])
def test_as_the_paper_says(iterations):
    lengths = [5, 1, 9, 0]
    run = jax.jit(
        lambda n: mask_predict(fill, n, length=9, iterations=iterations, mask=MASK, pad=PAD)
    )
    found = run(jnp.array(lengths))
    for row, length in enumerate(lengths):
        tokens, log_p = by_loops(length, 9, iterations)
        np.testing.assert_array_equal(found.tokens_BT[row], tokens)
        np.testing.assert_allclose(found.log_probs_BT[row], log_p, rtol=1e-4, atol=1e-5)


def test_further_iterations_change_something():
    """Else the test above would prove little."""
    one, four = (by_loops(9, 9, iterations)[0] for iterations in (1, 4))
    assert one != four


def test_of_equally_doubtful_tokens_the_first_are_masked_again():
    asked = []

    def even(tokens_BT):
        jax.debug.callback(lambda x: asked.append(np.asarray(x)[0].tolist()), tokens_BT)
        return jnp.zeros((*tokens_BT.shape, V))

    found = mask_predict(even, jnp.array([4]), length=5, iterations=4, mask=MASK, pad=PAD)
    jax.block_until_ready(found)
    jax.effects_barrier()
    assert [[token == MASK for token in row].count(True) for row in asked] == [4, 3, 2, 1]
    assert all(row == sorted(row, key=lambda token: token != MASK) for row in asked)


def test_no_iteration_is_refused():
    with pytest.raises(ValueError, match="iterations is 0; it needs to be at least 1"):
        mask_predict(fill, jnp.array([1]), length=1, iterations=0, mask=MASK, pad=PAD)

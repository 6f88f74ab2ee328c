"""Greedy decoding against a loop over single rows in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.decoding import greedy

PAD, EOS, BOS = 0, 1, 3
TOKENS = {"bos": BOS, "eos": EOS, "pad": PAD}
ROWS, LENGTH, VOCABULARY = 24, 10, 9
NAMES = np.arange(ROWS)
LIMITS = np.arange(ROWS) % (LENGTH + 1)


@functools.partial(jax.jit, static_argnames="length")
def search(model, names_B, limit_B, length=LENGTH):
    return greedy(
        model.step,
        model.cache(names_B),
        batch=len(names_B),
        max_length=length,
        limit_B=limit_B,
        **TOKENS,
    )


def by_hand(model, name, limit):
    tokens, score = [], 0.0
    while len(tokens) < limit and EOS not in tokens:
        log_probs_V = model.log_probs(name, tokens)
        tokens.append(int(log_probs_V.argmax()))
        score += log_probs_V.max()
    return tokens, score


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_loop_in_numpy(table_model, seed):
    model = table_model.random(seed, VOCABULARY, forbidden=0.1)
    found = search(model, NAMES, LIMITS)
    ended = 0
    for row, name in enumerate(NAMES):
        tokens, score = by_hand(model, name, LIMITS[row])
        padded = tokens + [PAD] * (LENGTH - len(tokens))
        np.testing.assert_array_equal(found.tokens_BT[row], padded)
        assert found.lengths_B[row] == len(tokens)
        np.testing.assert_allclose(found.scores_B[row], score, rtol=1e-5, atol=1e-5)
        ended += EOS in tokens
    assert 0 < ended < ROWS  # both kinds of end were met


def test_a_batch_equals_row_by_row(table_model):
    model = table_model.random(7, VOCABULARY)
    together = search(model, NAMES, LIMITS)
    for row in range(0, ROWS, 5):
        alone = search(model, NAMES[row : row + 1], LIMITS[row : row + 1])
        np.testing.assert_array_equal(alone.tokens_BT[0], together.tokens_BT[row])
        assert alone.lengths_B[0] == together.lengths_B[row]


def test_the_limit_defaults_to_max_length_and_never_exceeds_it(table_model):
    model = table_model.random(1, VOCABULARY, eos=-50.0)
    for limit_B in (None, np.full(ROWS, LENGTH + 5)):
        found = search(model, NAMES, limit_B)
        assert (found.lengths_B == LENGTH).all()
        assert (np.asarray(found.tokens_BT) != PAD).all()


def test_stops_when_every_row_has_ended(table_model):
    model = table_model.random(2, VOCABULARY, eos=50.0)
    steps = []

    def step(cache, token_B):
        jax.debug.callback(lambda: steps.append(1))
        return model.step(cache, token_B)

    found = greedy(step, model.cache([0, 1]), batch=2, max_length=LENGTH, **TOKENS)
    jax.effects_barrier()
    assert found.lengths_B.tolist() == [1, 1]
    assert len(steps) == 1


def test_bfloat16_logits_are_summed_in_float32(table_model):
    model = table_model.random(3, VOCABULARY)

    def step(cache, token_B):
        logits_BV, cache = model.step(cache, token_B)
        return logits_BV.astype(jnp.bfloat16), cache

    found = greedy(step, model.cache([0]), batch=1, max_length=4, **TOKENS)
    assert found.scores_B.dtype == jnp.float32


def test_a_row_without_any_allowed_token_harms_no_other(table_model):
    model = table_model.random(4, VOCABULARY)

    def step(cache, token_B):
        logits_BV, cache = model.step(cache, token_B)
        return jnp.where(jnp.arange(2)[:, None] == 0, -jnp.inf, logits_BV), cache

    found = greedy(step, model.cache([5, 6]), batch=2, max_length=LENGTH, **TOKENS)
    alone = greedy(model.step, model.cache([6]), batch=1, max_length=LENGTH, **TOKENS)
    assert found.scores_B[0] == -np.inf
    np.testing.assert_array_equal(found.tokens_BT[1], alone.tokens_BT[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_length": 0}, "max_length is 0; it needs to be at least 1"),
        ({"batch": 3}, r"cache\['seen'\]\[0\] has shape \(2, 9, 1\).*batch of 3"),
        ({"eos": 9}, "eos is 9; the vocabulary has 0 to 8"),
        ({"pad": -1}, "pad is -1; the vocabulary"),
        ({"limit_B": np.ones(3, int)}, r"limit_B has shape \(3,\).*each of 2 rows"),
        ({"step": lambda c, t: (jnp.zeros((2, 1, 9)), c)}, r"logits of shape \(2, 1, 9\)"),
        ({"step": lambda c, t: (jnp.zeros((2, 9)), {})}, "keep its structure"),
        (
            {"step": lambda c, t: (jnp.zeros((2, 9)), {**c, "state": c["state"] * 1.0})},
            r"cache\['state'\] from int32\(2,\) into float32\(2,\)",
        ),
    ],
)
def test_a_mistake_is_named(table_model, change, message):
    model = table_model.random(0, VOCABULARY)
    arguments = {"step": model.step, "cache": model.cache([0, 1]), "batch": 2, "max_length": 4}
    with pytest.raises(ValueError, match=message):
        greedy(**arguments | TOKENS | change)

"""Sampling against distributions worked out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.decoding import Sampler, greedy, sample

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

PAD, EOS, BOS = 0, 1, 3
TOKENS = {"bos": BOS, "eos": EOS, "pad": PAD}
ROWS, DRAWS = 16, 20_000

# Tokens 2, 4, 5 and 6 with these probabilities, in no order; the rest is forbidden.
PROBABILITIES = np.array([0.0, 0.0, 0.1, 0.0, 0.4, 0.2, 0.3])


@functools.partial(jax.jit, static_argnames=("sampler", "length"))
def search(model, names_B, seed, *, sampler, length=8, index_B=None, limit_B=None):
    return sample(
        model.step,
        model.cache(names_B),
        rng=jax.random.key(seed),
        sampler=sampler,
        batch=len(names_B),
        max_length=length,
        index_B=index_B,
        limit_B=limit_B,
        **TOKENS,
    )


def sharpened(temperature):
    powers = PROBABILITIES ** (1 / temperature)
    return powers / powers.sum()


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (Sampler(), PROBABILITIES),
        (Sampler(temperature=0.5), sharpened(0.5)),
        (Sampler(temperature=2.0), sharpened(2.0)),
        (Sampler(top_k=2), [0, 0, 0, 0, 4 / 7, 0, 3 / 7]),
        (Sampler(top_k=100), PROBABILITIES),
        (Sampler(top_p=0.39), [0, 0, 0, 0, 1, 0, 0]),
        (Sampler(top_p=0.41), [0, 0, 0, 0, 4 / 7, 0, 3 / 7]),
        (Sampler(top_p=0.8), [0, 0, 0, 0, 4 / 9, 2 / 9, 3 / 9]),
        # Of three tokens the first two have 7/9 of the mass, above 0.75.
        (Sampler(top_k=3, top_p=0.75), [0, 0, 0, 0, 4 / 7, 0, 3 / 7]),
        # 16/30 and 9/30 after the temperature: the nucleus of 0.6 is two tokens.
        (Sampler(temperature=0.5, top_p=0.6), [0, 0, 0, 0, 16 / 25, 0, 9 / 25]),
    ],
    ids=str,
)
def test_frequencies(sampler, expected):
    def step(cache, token_B):
        return jnp.broadcast_to(jnp.log(jnp.float32(PROBABILITIES)), (DRAWS, 7)), cache

    found = jax.jit(
        lambda rng: sample(step, {}, rng=rng, sampler=sampler, batch=DRAWS, max_length=1, **TOKENS)
    )(jax.random.key(0))
    expected = np.asarray(expected)
    counts = np.bincount(np.asarray(found.tokens_BT[:, 0]), minlength=7)
    assert (counts[expected == 0] == 0).all()
    sigma = np.sqrt(DRAWS * expected * (1 - expected))
    assert (np.abs(counts - DRAWS * expected) <= 4 * sigma).all()


@pytest.mark.parametrize("sampler", [Sampler(temperature=1e-6), Sampler(0.0), Sampler(top_k=1)])
def test_no_temperature_is_greedy(table_model, sampler):
    model, names_B = table_model.random(1, 9), np.arange(ROWS)
    found = search(model, names_B, 0, sampler=sampler)
    best = greedy(model.step, model.cache(names_B), batch=ROWS, max_length=8, **TOKENS)
    np.testing.assert_array_equal(found.tokens_BT, best.tokens_BT)
    np.testing.assert_array_equal(found.lengths_B, best.lengths_B)
    np.testing.assert_allclose(found.scores_B, best.scores_B, rtol=1e-6)


def test_scores_are_the_models_log_probabilities(table_model):
    model, names_B = table_model.random(2, 9), np.arange(ROWS)
    found = search(model, names_B, 0, sampler=Sampler(temperature=1.5, top_k=4))
    for row, name in enumerate(names_B):
        length = int(found.lengths_B[row])
        tokens = found.tokens_BT[row, :length].tolist()
        assert length == 8 or tokens[-1] == EOS
        assert (found.tokens_BT[row, length:] == PAD).all()
        np.testing.assert_allclose(found.scores_B[row], model.log_prob(name, tokens), rtol=1e-5)


def test_a_rows_sample_does_not_depend_on_its_batch(table_model):
    model, order = table_model.random(3, 9), np.random.default_rng(0).permutation(ROWS)
    limit_B = np.arange(ROWS) % 9
    arguments = {"sampler": Sampler(temperature=2.0)}
    together = search(model, np.arange(ROWS), 5, limit_B=limit_B, **arguments)
    shuffled = search(model, order, 5, index_B=order, limit_B=limit_B[order], **arguments)
    np.testing.assert_array_equal(shuffled.tokens_BT, together.tokens_BT[order])
    half = order[: ROWS // 2]
    fewer = search(model, half, 5, index_B=half, limit_B=limit_B[half], **arguments)
    np.testing.assert_array_equal(fewer.tokens_BT, together.tokens_BT[half])


def test_rows_and_steps_and_seeds_draw_apart(table_model):
    model, same = table_model.random(4, 9, scale=0.0, eos=-50.0), np.zeros(ROWS, int)
    tokens = np.asarray(search(model, same, 0, sampler=Sampler()).tokens_BT)
    assert len(np.unique(tokens, axis=0)) == ROWS
    assert len(np.unique(tokens, axis=1).T) > 1
    again = search(model, same, 0, sampler=Sampler()).tokens_BT
    other = search(model, same, 1, sampler=Sampler()).tokens_BT
    np.testing.assert_array_equal(again, tokens)
    assert (np.asarray(other) != tokens).any()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -1.0),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", float("nan")),
    ],
)
def test_a_field_out_of_range_is_named(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}; it needs"):
        Sampler(**{field: value})


def test_index_of_the_wrong_size_is_named(table_model):
    with pytest.raises(ValueError, match=r"index_B has shape \(3,\).*each of 2 rows"):
        search(table_model.random(0, 9), [0, 1], 0, sampler=Sampler(), index_B=np.arange(3))

"""Beam search against exhaustive search, and against a plain search that never stops early."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.decoding import beam_search, greedy

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

PAD, EOS, BOS = 0, 1, 3
TOKENS = {"bos": BOS, "eos": EOS, "pad": PAD}
PENALTIES = [0.0, 0.6, 1.0, 2.5, -0.5]
ROWS, LENGTH, VOCABULARY = 16, 9, 8
NAMES = np.arange(ROWS)
LIMITS = LENGTH - np.arange(ROWS) % 5
LIMITS[3] = 0


@functools.partial(jax.jit, static_argnames=("beams", "length", "nbest"))
def search(model, names_B, limit_B, alpha, beams=4, length=LENGTH, nbest=None):
    return beam_search(
        model.step,
        model.cache(names_B),
        batch=len(names_B),
        beams=beams,
        max_length=length,
        limit_B=limit_B,
        length_penalty=alpha,
        nbest=nbest,
        **TOKENS,
    )


@functools.partial(jax.jit, static_argnames=("step", "batch", "beams", "max_length", "nbest"))
def compiled(step, cache, length_penalty, **options):
    return beam_search(step, cache, length_penalty=length_penalty, **options, **TOKENS)


def score(log_prob, length, alpha):
    return log_prob / ((5 + length) / 6) ** alpha


def ranked(finished, unfinished, alpha):
    """Finished sequences, best first, then the others: (tokens, log-probability) pairs."""

    def best_first(pairs):
        return sorted(pairs, key=lambda pair: -score(pair[1], len(pair[0]), alpha))

    return best_first(finished) + best_first(unfinished)


def exhaustive(model, name, limit, alpha):
    """Every possible sequence up to a limit."""
    finished, prefixes = [], [((), 0.0)]
    for _ in range(limit):
        longer = [
            ((*tokens, token), log_prob + gain)
            for tokens, log_prob in prefixes
            for token, gain in enumerate(model.log_probs(name, tokens))
            if gain > -np.inf
        ]
        finished += [pair for pair in longer if pair[0][-1] == EOS]
        prefixes = [pair for pair in longer if pair[0][-1] != EOS]
    return ranked(finished, prefixes if limit else [((), 0.0)], alpha)


def plain(model, name, limit, alpha, beams):
    """Beam search in plain Python: all limit steps, every finished sequence remembered."""
    finished, alive = [], [((), 0.0)]
    for _ in range(limit):
        longer = [
            ((*tokens, token), log_prob + gain)
            for tokens, log_prob in alive
            for token, gain in enumerate(model.log_probs(name, tokens))
            if gain > -np.inf
        ]
        candidates = sorted(longer, key=lambda pair: -pair[1])[: 2 * beams]
        finished += [pair for pair in candidates if pair[0][-1] == EOS]
        alive = [pair for pair in candidates if pair[0][-1] != EOS][:beams]
    return ranked(finished, alive, alpha)


def check_row(found, row, expected, alpha, nbest):
    """Row by row, tokens exactly and scores nearly; what is impossible is empty."""
    length = found.tokens_BNT.shape[-1]
    for n in range(nbest):
        tokens, log_prob = expected[n] if n < len(expected) else ((), -np.inf)
        padded = [*tokens, *[PAD] * (length - len(tokens))]
        np.testing.assert_array_equal(found.tokens_BNT[row, n], padded)
        assert found.lengths_BN[row, n] == len(tokens)
        np.testing.assert_allclose(found.log_probs_BN[row, n], log_prob, rtol=1e-5, atol=2e-6)
        want = score(log_prob, len(tokens), alpha)
        np.testing.assert_allclose(found.scores_BN[row, n], want, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("alpha", PENALTIES)
def test_equals_exhaustive_search(table_model, alpha):
    limits = np.array([4, 3, 2, 1, 0, 4])
    for seed in range(3):
        model = table_model.random(seed, 6, forbidden=0.15)
        found = search(model, np.arange(6), limits, alpha, beams=54, length=4)
        for row, limit in enumerate(limits):
            expected = exhaustive(model, row, limit, alpha)
            check_row(found, row, expected, alpha, nbest=54)


@pytest.mark.parametrize("alpha", PENALTIES)
@pytest.mark.parametrize("beams", [2, 4])
def test_equals_a_search_that_never_stops_early(table_model, alpha, beams):
    for seed, eos in enumerate([0.0, 2.0, -2.0]):
        model = table_model.random(seed, VOCABULARY, eos=eos, forbidden=0.2)
        found = search(model, NAMES, LIMITS, alpha, beams=beams)
        best = search(model, NAMES, LIMITS, alpha, beams=beams, nbest=1)
        for row, name in enumerate(NAMES):
            expected = plain(model, name, LIMITS[row], alpha, beams)
            check_row(found, row, expected, alpha, nbest=beams)
            check_row(best, row, expected, alpha, nbest=1)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 3.0, -1.0])
def test_one_beam_is_greedy(table_model, alpha):
    model = table_model.random(5, VOCABULARY, eos=1.0)
    found = search(model, NAMES, LIMITS, alpha, beams=1)
    best = greedy(
        model.step, model.cache(NAMES), batch=ROWS, max_length=LENGTH, limit_B=LIMITS, **TOKENS
    )
    np.testing.assert_array_equal(found.tokens_BNT[:, 0], best.tokens_BT)
    np.testing.assert_array_equal(found.lengths_BN[:, 0], best.lengths_B)
    np.testing.assert_allclose(found.log_probs_BN[:, 0], best.scores_B, rtol=1e-6)
    want = score(np.asarray(best.scores_B), np.asarray(best.lengths_B), alpha)
    np.testing.assert_allclose(found.scores_BN[:, 0], want, rtol=1e-5)


def test_a_batch_equals_row_by_row(table_model):
    model = table_model.random(6, VOCABULARY, eos=1.0)
    together = search(model, NAMES, LIMITS, 0.6)
    for row in range(ROWS):
        alone = search(model, NAMES[row : row + 1], LIMITS[row : row + 1], 0.6)
        np.testing.assert_array_equal(alone.tokens_BNT[0], together.tokens_BNT[row])
        np.testing.assert_array_equal(alone.lengths_BN[0], together.lengths_BN[row])
        np.testing.assert_allclose(alone.scores_BN[0], together.scores_BN[row], rtol=1e-6)


def chain(paths, vocabulary=8):
    """A step that knows the prefix only by its last token: paths[last] = {next: probability}."""
    table_VV = np.full((vocabulary, vocabulary), -np.inf, np.float32)
    for last, following in paths.items():
        for token, probability in following.items():
            table_VV[last, token] = np.log(probability)
    return lambda cache, token_B: (jnp.asarray(table_VV)[token_B], cache)


# "4 eos" has probability 0.30; "5 6 7 eos" 0.28.
SHORT_OR_LONG = {
    BOS: {4: 0.6, 5: 0.4},
    4: {EOS: 0.5, 2: 0.5},
    2: {2: 1.0},
    5: {6: 0.7, EOS: 0.3},
    6: {7: 1.0},
    7: {EOS: 1.0},
}
short_or_long = chain(SHORT_OR_LONG)


@pytest.mark.parametrize(
    ("alpha", "best"),
    [(-1.0, [4, EOS]), (0.0, [4, EOS]), (0.6, [5, 6, 7, EOS]), (1.0, [5, 6, 7, EOS])],
)
def test_the_length_penalty_changes_the_ranking(alpha, best):
    found = compiled(short_or_long, {}, alpha, batch=1, beams=3, max_length=12)
    assert found.tokens_BNT[0, 0, : len(best)].tolist() == best
    log_prob = np.log({2: 0.3, 4: 0.28}[len(best)])
    np.testing.assert_allclose(found.log_probs_BN[0, 0], log_prob, rtol=1e-5)
    np.testing.assert_allclose(found.scores_BN[0, 0], score(log_prob, len(best), alpha), rtol=1e-5)


def test_a_finished_sequence_outlives_better_unfinished_ones():
    paths = {BOS: {EOS: 0.04, 4: 0.5, 5: 0.46}, 4: {4: 0.5, 5: 0.5}, 5: {4: 0.5, 5: 0.5}}
    found = compiled(chain(paths), {}, 0.6, batch=1, beams=2, max_length=6)
    assert found.tokens_BNT[0, 0].tolist() == [EOS, 0, 0, 0, 0, 0]
    assert found.lengths_BN[0].tolist() == [1, 6]  # the place left goes to an unfinished one
    np.testing.assert_allclose(found.log_probs_BN[0, 0], np.log(0.04), rtol=1e-5)


def test_all_sequences_may_end_before_the_limit():
    paths = {BOS: {4: 0.7, EOS: 0.3}, 4: {EOS: 1.0}}
    found = compiled(chain(paths), {}, 0.6, batch=1, beams=4, max_length=6)
    assert found.lengths_BN[0].tolist() == [2, 1, 0, 0]
    assert (found.tokens_BNT[0, 2:] == PAD).all()
    assert (found.scores_BN[0, 2:] == -np.inf).all()


def test_a_row_without_any_allowed_token_harms_no_other(table_model):
    model = table_model.random(8, VOCABULARY)

    def step(cache, token_B):
        logits_BV, cache = model.step(cache, token_B)
        first_B1 = (jnp.arange(len(token_B)) < 3)[:, None]
        return jnp.where(first_B1, -jnp.inf, logits_BV), cache

    found = compiled(step, model.cache([1, 2]), 0.6, batch=2, beams=3, max_length=LENGTH)
    assert (found.scores_BN[0] == -np.inf).all()
    assert (found.lengths_BN[0] == 0).all()
    alone = search(model, [2], None, 0.6, beams=3)
    np.testing.assert_array_equal(found.tokens_BNT[1], alone.tokens_BNT[0])


@pytest.mark.parametrize(("nbest", "most"), [(1, 2), (4, 4)])
def test_stops_once_no_result_can_change(nbest, most):
    # Almost all of the probability ends at once; what is left is never worth a long wait.
    paths = {last: {EOS: 0.96, 4: 0.01, 5: 0.01, 6: 0.01, 7: 0.01} for last in range(3, 8)}
    steps, chained = [], chain(paths)

    def step(cache, token_B):
        jax.debug.callback(lambda: steps.append(1))
        return chained(cache, token_B)

    found = compiled(step, {}, 0.6, batch=1, beams=4, nbest=nbest, max_length=40)
    jax.effects_barrier()
    assert found.lengths_BN[0, 0] == 1
    assert len(steps) <= most


def test_with_a_negative_penalty_the_next_length_may_still_win():
    """At the limit nothing could: a bound by that length alone stops before the second token."""
    paths = {BOS: {EOS: 0.4, 4: 0.6}, 4: {EOS: 1.0}}
    found = compiled(chain(paths), {}, -0.5, batch=1, beams=2, nbest=1, max_length=20)
    assert found.lengths_BN.tolist() == [[2]]
    np.testing.assert_allclose(found.scores_BN[0, 0], score(np.log(0.6), 2, -0.5), rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.6, -0.5])
def test_a_late_sequence_wins_after_many_have_finished(alpha):
    # Each step offers two ends of little worth, while one sequence goes on at almost no cost:
    # a bound that forgets the penalty still ahead stops before it ends.
    last = 12
    paths = {BOS: {EOS: 0.3, 4: 0.7}}
    for token in range(4, last):
        paths[token] = {EOS: 0.05, token + 1: 0.95}
    paths[last] = {EOS: 1.0}
    found = compiled(chain(paths, 16), {}, alpha, batch=1, beams=2, max_length=20)
    ends = [(token - 3, token) for token in range(3, last + 1)]
    log_probs = {
        before + 1: np.log(np.prod([paths[t].get(t + 1, 0.7) for t in range(3, token)] or [1.0]))
        + np.log(paths[token][EOS])
        for before, token in ends
    }
    order = sorted(log_probs, key=lambda length: -score(log_probs[length], length, alpha))
    assert found.lengths_BN[0].tolist() == order[:2]
    for n in range(2):
        np.testing.assert_allclose(found.log_probs_BN[0, n], log_probs[order[n]], rtol=1e-5)


def test_a_step_may_close_over_what_beams_share(table_model):
    model = table_model.random(9, VOCABULARY)
    bonus_BV = jnp.asarray(np.random.default_rng(0).normal(size=(2, VOCABULARY)), jnp.float32)

    def step(cache, token_R):  # the source of a row, read by all of its beams
        logits_RV, cache = model.step(cache, token_R)
        logits_BNV = logits_RV.reshape(2, -1, VOCABULARY) + bonus_BV[:, None]
        return logits_BNV.reshape(logits_RV.shape), cache

    def wide(cache, token_R):
        logits_RV, after = model.step(cache["model"], token_R)
        return logits_RV + cache["bonus"], {**cache, "model": after}

    sizes = {"batch": 2, "beams": 3, "max_length": 6}
    closed = compiled(step, model.cache([1, 2]), 0.6, **sizes)
    carried = compiled(wide, {"model": model.cache([1, 2]), "bonus": bonus_BV}, 0.6, **sizes)
    np.testing.assert_array_equal(closed.tokens_BNT, carried.tokens_BNT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beams": 0}, "beams is 0; it needs to be at least 1"),
        ({"nbest": 5}, "nbest is 5; it needs to be from 1 to beams, which is 4"),
        ({"nbest": 0}, "nbest is 0"),
        ({"length_penalty": float("nan")}, "length_penalty is nan"),
        ({"length_penalty": 1000}, "length_penalty is 1000"),
        ({"limit_B": [1]}, r"limit_B has shape \(1,\)"),
        ({"batch": 1}, r"cache\['seen'\]\[0\].*batch of 1"),
    ],
)
def test_a_mistake_is_named(table_model, change, message):
    model = table_model.random(0, VOCABULARY)
    arguments = {"cache": model.cache([0, 1]), "batch": 2, "beams": 4, "max_length": 4, **TOKENS}
    with pytest.raises(ValueError, match=message):
        beam_search(model.step, **arguments | change)

"""Minimum risk training: its draws, its costs, its loss, on a small random model."""

import dataclasses
import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sacrebleu

from attention.decoding import Sampler
from attention.lab.data.tokenizer import BOS, EOS, PAD, UNK
from attention.lab.tasks.minimum_risk import MinimumRisk
from attention.lab.tasks.translation import shift_right
from attention.lab.training.devices import mesh, shard_batch
from attention.lab.training.losses import cross_entropy
from attention.lab.training.step import create_state, make_train_step
from tests.lab.tasks.test_translation import tokens

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

STEP = 3
ALPHA = 0.01  # candidates of the sharp model differ by some hundred nats


@pytest.fixture(scope="module")
def calm(task):
    """Without dropout, so that the loss can be worked out apart."""
    return dataclasses.replace(task, model=task.model.clone(dropout=0.0))


@pytest.fixture(scope="module")
def batch(task):
    size = task.model.vocab_size
    return {
        "source_BS": tokens(4, 6, size),
        "target_BT": tokens(4, 5, size, seed=1),
        "index_B": np.array([7, 3, 8, 1], np.int32),
    }


@functools.cache
def risk_of(task, **changes):
    """So warm that the sharp model draws many."""
    return MinimumRisk(
        task, "de", **{"candidates": 4, "alpha": ALPHA, "temperature": 10.0, **changes}
    )


@functools.cache
def draw_of(risk):
    return jax.jit(risk.draw)


def drawn(risk, params, batch, seed=0, step=STEP):
    return np.asarray(draw_of(risk)(params, {}, batch, jax.random.key(seed), step))


def judged(risk, params, batch):
    candidates_BNT = drawn(risk, params, batch)
    costs_BN = risk.costs(candidates_BNT, np.asarray(batch["target_BT"]))
    return {**batch, "candidates_BNT": candidates_BNT, "costs_BN": costs_BN}


@functools.cache
def compiled_loss(risk):
    def loss(params, batch):
        return risk.loss(params, {}, batch, rng=jax.random.key(1), step=STEP)

    return jax.jit(loss)


@functools.cache
def forward_of(task):
    def forward(params, source_BS, read_BT):
        return task.model.apply({"params": params}, source_BS, read_BT)

    return jax.jit(forward)


def loss_of(risk, params, batch):
    total, (weight, model_state) = compiled_loss(risk)(params, batch)
    assert model_state == {}
    return float(total), float(weight)


def test_gold_comes_first_and_no_candidate_twice(calm, params, batch):
    found = drawn(risk_of(calm, candidates=20, temperature=0.1), params, batch)
    assert found.shape == (4, 21, 15)
    np.testing.assert_array_equal(found[:, 0, :5], batch["target_BT"])
    assert not found[:, 0, 5:].any()
    kept = [[tuple(said_T) for said_T in row if said_T.any()] for row in found]
    assert [len({*row}) for row in kept] == [len(row) for row in kept]
    assert min(map(len, kept)) < 21  # so cold that the same was drawn again
    without = drawn(risk_of(calm, gold=False), params, batch)
    assert without.shape == (4, 4, 15)
    np.testing.assert_array_equal(without, drawn(risk_of(calm), params, batch)[:, 1:])


def test_draws_follow_from_seed_step_and_example(calm, params, batch):
    risk = risk_of(calm, gold=False)
    found = drawn(risk, params, batch)
    np.testing.assert_array_equal(drawn(risk, params, batch), found)
    assert (drawn(risk, params, batch, step=STEP + 1) != found).any()
    assert (drawn(risk, params, batch, seed=1) != found).any()
    backward = {name: x_BX[::-1] for name, x_BX in batch.items()}
    backward = {name: np.pad(x, [(0, 2)] + [(0, 0)] * (x.ndim - 1)) for name, x in backward.items()}
    again = drawn(risk, params, backward)
    np.testing.assert_array_equal(again[3::-1], found)
    assert not again[4:].any()  # filler rows have none
    same = dict(batch, source_BS=np.tile(batch["source_BS"][:1], (4, 1)))
    rows = drawn(risk, params, same)
    assert len(np.unique(rows.reshape(16, -1), axis=0)) > 8  # neither rows nor draws are alike


def test_frequencies_are_the_models(calm, params):
    """First tokens of many draws, against the softmax of a whole forward pass."""
    source_BS = tokens(2, 6, calm.model.vocab_size, seed=5)
    draw = partial(calm.sample, sampler=Sampler(8.0), samples=4_000, max_length=1)
    decoded = jax.jit(draw)(params, {}, source_BS, rng=jax.random.key(0))
    first_BN = np.asarray(decoded.tokens_BT)[:, 0].reshape(2, 4_000)
    logits_BTV = forward_of(calm)(params, source_BS, np.full((2, 1), BOS))
    logits_BV = np.array(logits_BTV[:, 0], np.float64) / 8.0
    logits_BV[:, [PAD, UNK, BOS]] = -np.inf
    p_BV = np.exp(logits_BV - logits_BV.max(axis=1, keepdims=True))
    p_BV /= p_BV.sum(axis=1, keepdims=True)
    for first_N, p_V in zip(first_BN, p_BV, strict=True):
        share_V = np.bincount(first_N, minlength=len(p_V)) / len(first_N)
        error_V = np.sqrt(p_V * (1 - p_V) / len(first_N))
        assert np.all(abs(share_V - p_V) <= 5 * error_V + 1e-3)
        assert share_V.max() > 0.02  # else the shares would prove nothing


def test_candidates_reach_a_little_beyond_the_longest_target(calm, params, batch):
    def longest(batch, **changes):
        draw = partial(risk_of(calm, **changes).draw, params, {})
        return jax.eval_shape(draw, batch, jax.random.key(0), STEP).shape[2]

    assert longest(batch) == drawn(risk_of(calm), params, batch).shape[2] == 15
    assert longest(batch, max_length=9) == 9
    assert longest(batch, max_length=4, gold=False) == 4
    assert longest({**batch, "target_BT": batch["target_BT"][:, :2]}) == 12


def test_costs_are_sacrebleus(calm, tokenizer, batch):
    texts = [["a b c d e", "a b c d e"], ["a b c d f", "a b c d e"], ["g", "a b c d e"]]
    rows = [[[*tokenizer.encode(text), EOS] for text in pair] for pair in texts]
    candidates_BNT = np.zeros((2, 3, 12), np.int32)
    target_BT = np.zeros((2, 12), np.int32)
    for n, (said, gold) in enumerate(rows):
        candidates_BNT[0, n, : len(said)], target_BT[0, : len(gold)] = said, gold
    costs_BN = risk_of(calm).costs(candidates_BNT, target_BT)
    expected = [1 - sacrebleu.sentence_bleu(said, [gold]).score / 100 for said, gold in texts]
    np.testing.assert_allclose(costs_BN[0], expected, rtol=1e-6, atol=1e-6)
    assert costs_BN[0, 0] < 1e-6 < costs_BN[0, 1] < costs_BN[0, 2]
    assert costs_BN.dtype == np.float32
    assert not costs_BN[1].any()  # filler
    assert not risk_of(calm).costs(np.zeros((2, 3, 4), np.int32), target_BT).any()


def by_hand(task, params, batch, alpha):
    """Each candidate by a forward pass of its own."""
    total = 0.0
    for source_S, said_NT, cost_N in zip(
        batch["source_BS"], batch["candidates_BNT"], batch["costs_BN"], strict=True
    ):
        weights, costs = [], []
        for said_T, cost in zip(said_NT, cost_N, strict=True):
            said = said_T[said_T != PAD]
            if len(said):
                read = np.pad([[BOS, *said[:-1]]], ((0, 0), (0, len(said_T) - len(said))))
                logits = forward_of(task)(params, source_S[None], read)
                logits = np.asarray(logits, np.float64)[0, : len(said)]
                log_p_TV = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
                log_p = log_p_TV[np.arange(len(said)), said].sum()
                weights.append(np.exp(alpha * log_p))
                costs.append(cost)
        total += np.dot(weights, costs) / np.sum(weights)
    return total


@pytest.mark.parametrize("gold", [True, False])
def test_the_loss_is_the_expected_cost(calm, params, batch, gold):
    risk = risk_of(calm, gold=gold)
    whole = judged(risk, params, batch)
    total, weight = loss_of(risk, params, whole)
    np.testing.assert_allclose(total, by_hand(calm, params, whole, ALPHA), rtol=1e-5)
    assert weight == 4
    assert 0.1 < total / 4 < 0.99  # neither gold alone nor the others


def test_cross_entropy_is_mixed_in(calm, params, batch):
    whole = judged(risk_of(calm), params, batch)
    target_BT, nats = batch["target_BT"], 0.0
    logits_BTV = forward_of(calm)(params, batch["source_BS"], shift_right(target_BT))
    smoothed = jax.jit(partial(cross_entropy, label_smoothing=0.1))
    for logits_TV, target_T in zip(np.asarray(logits_BTV), target_BT, strict=True):
        total, weight = smoothed(logits_TV[None], target_T[None], target_T[None] != PAD)
        nats += float(total / weight)
    risk, weight = loss_of(risk_of(calm), params, whole)
    for share in (0.25, 1.0):
        mixed = loss_of(risk_of(calm, cross_entropy=share), params, whole)
        np.testing.assert_allclose(mixed, ((1 - share) * risk + share * nats, weight), rtol=1e-5)


@pytest.mark.parametrize("share", [pytest.param(0.0, marks=pytest.mark.long), 0.5])
def test_filler_rows_and_absent_candidates_change_nothing(calm, params, batch, share):
    risk = risk_of(calm, cross_entropy=share)
    whole = judged(risk, params, batch)

    @jax.jit
    def value_and_grad(params, batch):
        def total(params):
            total, (weight, _) = risk.loss(params, {}, batch, rng=jax.random.key(0), step=0)
            return total, weight

        return jax.value_and_grad(total, has_aux=True)(params)

    fill = {name: [(0, 3)] + [(0, 0)] * (x.ndim - 1) for name, x in whole.items()}
    for name in ("candidates_BNT", "costs_BN"):
        fill[name][1] = (0, 2)
    large = {name: np.pad(x, fill[name]) for name, x in whole.items()}
    one, other = value_and_grad(params, whole), value_and_grad(params, large)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), one, other)


def updated(risk, params, batch, *, devices=1, accumulate=1):
    devices, optimiser = mesh(devices), optax.sgd(0.5)
    state = create_state(jax.tree.map(jnp.array, params), {}, optimiser, jax.random.key(0))
    step = make_train_step(risk.loss, optimiser, accumulate=accumulate)
    put = partial(shard_batch, mesh=devices)
    with jax.set_mesh(devices):
        return risk.update(step, put)(state, shard_batch(batch, devices, accumulate=accumulate))


def test_an_update_draws_judges_and_lowers_the_risk(calm, params, batch):
    risk = risk_of(calm)
    state, metrics = updated(risk, params, batch)
    whole = {**batch, "candidates_BNT": drawn(risk, params, batch, step=0)}
    whole["costs_BN"] = risk.costs(whole["candidates_BNT"], batch["target_BT"])
    before, after = (loss_of(risk, p, whole)[0] / 4 for p in (params, state.params))
    np.testing.assert_allclose(metrics["loss"], before, rtol=1e-5)
    assert after < before - 1e-4
    assert metrics["weight"] == (batch["target_BT"] != PAD).sum()
    assert int(state.step) == 1


def test_microbatches_take_the_same_step(calm, params, batch):
    risk = risk_of(calm, cross_entropy=0.3)
    (one, first), (other, second) = (updated(risk, params, batch, accumulate=n) for n in (1, 3))
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-5)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), one.params, other.params
    )


def test_dropout_is_on_in_the_loss_and_off_in_the_draws(task, calm, params, batch):
    np.testing.assert_array_equal(
        drawn(risk_of(task), params, batch), drawn(risk_of(calm), params, batch)
    )
    whole = judged(risk_of(calm), params, batch)
    assert loss_of(risk_of(task), params, whole) != loss_of(risk_of(calm), params, whole)


def test_eight_devices_take_the_step_of_one(eight_devices):
    printed = eight_devices(
        """
        import jax, numpy as np
        from attention.lab.data.tokenizer import Tokenizer, train_tokenizer
        from attention.models.transformer import Transformer
        from attention.lab.tasks.translation import Translation
        from tests.lab.tasks.test_minimum_risk import risk_of, updated
        from tests.lab.tasks.test_translation import tokens

        vocabulary = Tokenizer(train_tokenizer(["a b c d e f g h", "h g f e d c b a"] * 8, 272))
        model = Transformer(vocab_size=vocabulary.vocab_size, size=16, heads=2, layers=1)
        task = Translation(model, vocabulary)
        params, _ = task.init(jax.random.key(0))
        batch = {
            "source_BS": tokens(12, 6, model.vocab_size),
            "target_BT": tokens(12, 5, model.vocab_size, seed=1),
            "index_B": np.arange(12, dtype=np.int32),
        }
        found = [updated(risk_of(task), params, batch, devices=n) for n in (1, 8)]
        for state, metrics in found:
            print(float(metrics["loss"]), float(metrics["weight"]))
        norms = [jax.tree.map(np.asarray, state.params) for state, _ in found]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), *norms)
        """
    )
    one, eight = (np.array(line.split(), float) for line in printed.splitlines())
    np.testing.assert_allclose(one, eight, rtol=1e-5)

"""The translation task: its loss, its noise, and its searches, on a small random model."""

import dataclasses
import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.decoding import Sampler
from attention.lab.data.tokenizer import BOS, EOS, PAD, UNK
from attention.lab.tasks.translation import Search, shift_right
from attention.lab.training import noise
from attention.lab.training.losses import cross_entropy
from tests.modules.attention.test_variables import Counting

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder


def tokens(rows, length, vocab_size, seed=0):
    """Rows of random tokens of unequal length, each with its end."""
    random = np.random.default_rng(seed)
    out = np.full((rows, length), PAD, np.int32)
    for row in out:
        end = random.integers(1, length)
        row[:end], row[end] = random.integers(4, vocab_size, end), EOS
    return out


@pytest.fixture(scope="module")
def batch(task):
    vocab_size = task.model.vocab_size
    return {"source_BS": tokens(4, 6, vocab_size), "target_BT": tokens(4, 5, vocab_size, seed=1)}


@functools.cache
def compiled_loss(task):
    def loss(params, batch, rng, step):
        return task.loss(params, {}, batch, rng=rng, step=step)

    return jax.jit(loss)


@functools.cache
def compiled_search(task):
    return jax.jit(task.search, static_argnums=3)


def loss_of(task, params, batch, seed=1, step=0):
    total, (weight, model_state) = compiled_loss(task)(params, batch, jax.random.key(seed), step)
    assert model_state == {}
    return np.asarray(total), np.asarray(weight)


smoothed = jax.jit(cross_entropy, static_argnames="label_smoothing")


@functools.cache
def run_of(model):
    return jax.jit(model.apply)


def late(target_BT):
    """What the decoder reads of a target, by hand."""
    shifted_BT = np.concatenate([np.full((len(target_BT), 1), BOS), target_BT[:, :-1]], axis=1)
    return np.where(target_BT == PAD, PAD, shifted_BT).astype(np.int32)


def filled(batch, rows):
    """The batch with rows of padding at its end."""
    return {name: np.pad(x_BX, ((0, rows), (0, 0))) for name, x_BX in batch.items()}


@functools.cache
def without_dropout(task, **changes):
    return dataclasses.replace(task, model=task.model.clone(dropout=0.0), **changes)


def test_the_decoder_reads_the_target_one_step_late():
    target_BT = np.array([[5, 6, EOS, PAD], [7, 8, 9, EOS], [PAD] * 4], np.int32)
    expected = [[BOS, 5, 6, PAD], [BOS, 7, 8, 9], [PAD] * 4]
    np.testing.assert_array_equal(shift_right(target_BT), expected)


def test_the_loss_is_the_smoothed_cross_entropy_of_teacher_forcing(task, params, batch):
    plain = without_dropout(task, label_smoothing=0.2)
    source_BS, target_BT = batch["source_BS"], batch["target_BT"]
    logits_BTV = run_of(plain.model)({"params": params}, source_BS, late(target_BT))
    expected = smoothed(logits_BTV, target_BT, target_BT != PAD, label_smoothing=0.2)
    np.testing.assert_allclose(loss_of(plain, params, batch), expected, rtol=1e-6)
    assert loss_of(plain, params, batch)[1] == (target_BT != PAD).sum()


def test_dropout_is_on_in_training_only(task, params, batch):
    assert loss_of(task, params, batch, seed=1)[0] != loss_of(task, params, batch, seed=2)[0]
    gold = without_dropout(task, label_smoothing=0.0)
    noisy = dataclasses.replace(task, noise=noise.TokenNoise(0.5, task.model.vocab_size))
    for other in (task, noisy):
        total, weight = jax.jit(other.eval_loss)(params, {}, batch)
        np.testing.assert_allclose((total, weight), loss_of(gold, params, batch), rtol=1e-6)


@pytest.mark.parametrize("backprop", [False, True])
def test_scheduled_sampling_at_rate_0_is_teacher_forcing_bit_for_bit(task, params, batch, backprop):
    decay = noise.Constant(0.0)
    sampling = noise.ScheduledSampling(decay, noise.Argmax(), backprop)
    mixed = dataclasses.replace(task, noise=sampling)
    np.testing.assert_array_equal(loss_of(mixed, params, batch), loss_of(task, params, batch))


def test_scheduled_sampling_at_rate_1_reads_the_first_pass(task, params, batch):
    plain = without_dropout(task, label_smoothing=0.0)
    mixed = dataclasses.replace(plain, noise=noise.ScheduledSampling(noise.Constant(1.0)))
    source_BS, target_BT = batch["source_BS"], batch["target_BT"]
    run = partial(run_of(plain.model), {"params": params})
    said_BT = np.asarray(run(source_BS, late(target_BT))).argmax(axis=-1)
    read_BT = np.where(target_BT != PAD, np.roll(said_BT, 1, axis=1), PAD)
    read_BT[:, 0] = BOS
    expected = smoothed(run(source_BS, read_BT), target_BT, target_BT != PAD)
    np.testing.assert_allclose(loss_of(mixed, params, batch), expected, rtol=1e-6)


def test_the_decay_follows_the_step(task, params, batch):
    decay = noise.Linear(1.0, 0.1, floor=0.0)
    mixed = without_dropout(task, noise=noise.ScheduledSampling(decay))
    gold = loss_of(without_dropout(task), params, batch)[0]
    assert loss_of(mixed, params, batch, step=0)[0] == gold
    assert loss_of(mixed, params, batch, step=10)[0] != gold


@pytest.mark.parametrize(
    "reads",
    [
        noise.TeacherForcing(),
        noise.ScheduledSampling(noise.Constant(1.0), backprop=True),
    ],
)
def test_filler_rows_change_nothing(task, params, batch, reads):
    plain = without_dropout(task, noise=reads)

    @jax.jit
    def value_and_grad(params, batch):
        def total(params):
            total, (weight, _) = plain.loss(params, {}, batch, rng=jax.random.key(0), step=0)
            return total, weight

        return jax.value_and_grad(total, has_aux=True)(params)

    small, large = value_and_grad(params, batch), value_and_grad(params, filled(batch, 4))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), small, large)
    zero = {name: np.zeros_like(x_BX) for name, x_BX in batch.items()}
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(value_and_grad(params, zero)))


def found(task, params, source_BS, **options):
    search = Search(**options)
    beams = compiled_search(task)(params, {}, source_BS, search)
    return np.asarray(beams.tokens_BNT), np.asarray(beams.scores_BN)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_translation_does_not_hang_on_its_batch(task, params, batch, beams):
    source_BS = batch["source_BS"]
    tokens_BNT, scores_BN = found(task, params, source_BS, beams=beams)
    wide_BS = np.pad(source_BS[::-1], ((0, 2), (0, 3)))
    wide_BNT, wide_BN = found(task, params, wide_BS, beams=beams)
    length = tokens_BNT.shape[2]
    np.testing.assert_array_equal(wide_BNT[3::-1, :, :length], tokens_BNT)
    assert not wide_BNT[:, :, length:].any()
    # Sums of log-probabilities near 0, each rounded at the size of its logits, some 10.
    np.testing.assert_allclose(wide_BN[3::-1], scores_BN, rtol=1e-5, atol=1e-5)
    assert not wide_BNT[4:].any()  # filler rows get none
    one_BNT, _ = found(task, params, source_BS[2:3], beams=beams)
    np.testing.assert_array_equal(one_BNT, tokens_BNT[2:3])


def greedy(task, params, source_S, most):
    """Greedy search by whole forward passes, without a cache."""
    said = [BOS]
    forward = run_of(task.model)
    for _ in range(min(most, 2 * (source_S != PAD).sum() + 10)):
        target_T = np.pad(np.int32(said), (0, most + 1 - len(said)))
        logits_BTV = forward({"params": params}, source_S[None], target_T[None])
        logits_V = np.array(logits_BTV[0, len(said) - 1])
        logits_V[[PAD, UNK, BOS]] = -np.inf
        said.append(int(logits_V.argmax()))
        if said[-1] == EOS:
            break
    return said[1:]


def test_beam_1_is_greedy_search_of_the_whole_model(task, params, batch):
    source_BS = batch["source_BS"]
    tokens_BNT, _ = found(task, params, source_BS, beams=1, max_length=9)
    for source_S, tokens_T in zip(source_BS, tokens_BNT[:, 0], strict=True):
        expected = greedy(task, params, source_S, 9)
        np.testing.assert_array_equal(tokens_T[tokens_T != PAD], expected)


def test_markers_are_never_said_and_lengths_are_bounded(task, params, batch):
    source_BS = np.tile(batch["source_BS"], (16, 1))
    # So hot that every token is nearly as likely: of some 900, markers would be 10.
    sample = jax.jit(partial(task.sample, sampler=Sampler(temperature=100.0), max_length=15))
    decoded = sample(params, {}, source_BS, rng=jax.random.key(0))
    lengths_B = np.asarray(decoded.lengths_B)
    assert lengths_B.sum() > 800
    for row, length in zip(np.asarray(decoded.tokens_BT), lengths_B, strict=True):
        assert not np.isin(row[:length], [PAD, UNK, BOS]).any()
        assert not row[length:].any()
    sources_B = (source_BS != PAD).sum(axis=1)
    assert np.all(lengths_B <= np.minimum(15, 2 * sources_B + 10))


def test_texts_are_single_lines(task, tokenizer):
    rows = [tokenizer.encode(text) for text in ("a\nb", "c\r\nd", "e\u2028f", "")]
    rows = [np.pad([*row, EOS], (0, 20 - len(row))) for row in rows]
    assert task.texts(np.array(rows)) == ["a b", "c  d", "e\u2028f", ""]


def test_dtype_of_sums_is_float32_in_bfloat16(task, params, batch):
    rough = dataclasses.replace(task, model=task.model.clone(dtype=jnp.bfloat16))
    total, _ = loss_of(rough, params, batch)
    assert total.dtype == np.float32
    np.testing.assert_allclose(total, loss_of(task, params, batch)[0], rtol=0.05)


@pytest.fixture(scope="module")
def counted(task):
    """Parameters and state of the task, counting calls, with and without remat."""
    return dataclasses.replace(task, model=counting_model(task)).init(jax.random.key(0))


def counting_model(task, **changes):
    return task.model.clone(encoder=Counting(), cross=Counting(), **changes)


@pytest.mark.parametrize(
    ("kind", "remat"),
    [(noise.TeacherForcing(), True), (noise.ScheduledSampling(noise.Constant(0.5)), False)],
)
def test_state_moves_once_a_step_whatever_the_passes(task, counted, batch, kind, remat):
    counting = dataclasses.replace(task, model=counting_model(task, remat=remat), noise=kind)
    params, state = counted
    made = jax.eval_shape(counting.init, jax.random.key(0))
    assert jax.tree.structure(made) == jax.tree.structure(counted)
    assert [int(calls) for calls in jax.tree.leaves(state)] == [0, 0]

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(params, state):
        return counting.loss(params, state, batch, rng=jax.random.key(0), step=3)

    (_, (_, moved)), _ = loss(params, state)
    assert jax.tree.structure(moved) == jax.tree.structure(state)
    assert [int(calls) for calls in jax.tree.leaves(moved)] == [1, 1]
    jax.eval_shape(counting.eval_loss, params, moved, batch)  # asks for no change, and has none

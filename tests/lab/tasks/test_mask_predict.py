"""Translation by filling in: its masks, its losses, its search, on a small random model."""

import dataclasses
import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.lab.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer, train_tokenizer
from attention.lab.tasks import mask_predict
from attention.lab.tasks.mask_predict import MASK, MaskPredict
from attention.lab.tasks.translation import Search
from attention.models.mask_predict import ConditionalMaskedLM
from attention.models.transformer import Transformer
from attention.modules.feed_forward import FeedForward

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

LONGEST = 6
SOURCE = np.array([[5, 6, EOS, PAD], [7, EOS, PAD, PAD], [PAD] * 4], np.int32)
TARGET = np.array([[9, 8, 7, EOS, PAD], [10, EOS, PAD, PAD, PAD], [PAD] * 5], np.int32)
BATCH = {"source_BS": SOURCE, "target_BT": TARGET}


@pytest.fixture(scope="module")
def task():
    tokenizer = Tokenizer(train_tokenizer(["a b c d e f g h", "h g f e d c b a"] * 8, 272))
    transformer = Transformer(
        vocab_size=tokenizer.vocab_size,
        size=8,
        heads=2,
        layers=1,
        feed_forward=partial(FeedForward, hidden=8),
        pre_norm=True,
        causal=False,
    )
    return MaskPredict(ConditionalMaskedLM(transformer, LONGEST), tokenizer, label_smoothing=0.0)


@pytest.fixture(scope="module")
def params(task):
    made, _ = task.init(jax.random.key(0))
    return jax.tree.map(lambda leaf: 3.0 * np.asarray(leaf), made)


def nats(logits_V, token):
    logits_V = np.asarray(logits_V, np.float64)
    return np.log(np.exp(logits_V - logits_V[token]).sum())


@functools.cache
def forward_of(model):
    return jax.jit(model.apply)


@functools.cache
def search_of(task):
    return jax.jit(task.search, static_argnums=3)


def logits_of(task, params, source_S, tokens_T):
    """Logits [T, V] and of lengths [L] of one row without any padding."""
    source_S, tokens_T = source_S[source_S != PAD], np.asarray(tokens_T, np.int32)
    logits, lengths = forward_of(task.model)({"params": params}, source_S[None], tokens_T[None])
    return np.asarray(logits)[0], np.asarray(lengths)[0]


@pytest.mark.parametrize("canvas", [0, 7])
def test_the_loss_given_nothing_is_of_all_tokens_and_the_length(task, params, canvas):
    task = dataclasses.replace(task, canvas=canvas)
    total, weight = jax.jit(task.eval_loss)(params, {}, BATCH)
    expected = 0.0
    for source_S, target_T in zip(SOURCE[:2], TARGET[:2], strict=True):
        gold = [token for token in target_T if token not in (PAD, EOS)]
        if canvas:
            gold += [EOS] * (canvas - len(gold))
        logits, lengths = logits_of(task, params, source_S, [MASK] * len(gold))
        expected += sum(nats(x, token) for x, token in zip(logits, gold, strict=True))
        expected += 0 if canvas else nats(lengths, len(gold))
    np.testing.assert_allclose(total, expected, rtol=1e-4)
    assert weight == 6  # the target's own tokens, ends included


@pytest.mark.parametrize("canvas", [0, 7])
def test_the_training_loss_is_of_what_is_masked(task, params, canvas, monkeypatch):
    task, seen = dataclasses.replace(task, canvas=canvas), []
    plain = mask_predict.cross_entropy

    def noting(logits, target, weight, **options):
        seen.append((target, weight))
        return plain(logits, target, weight, **options)

    @jax.jit
    def loss_and_calls(params):
        return task.loss(params, {}, BATCH, rng=jax.random.key(3), step=0), seen

    monkeypatch.setattr(mask_predict, "cross_entropy", noting)
    (total, (weight, state)), calls = loss_and_calls(params)
    assert state == {}
    target_BT, masked_BT = map(np.asarray, calls[0])
    expected = 0.0
    for row in (0, 1):
        gold = target_BT[row][target_BT[row] != PAD]
        asked = np.where(masked_BT[row][: len(gold)], MASK, gold)
        assert (asked == MASK).sum() >= 1
        logits, lengths = logits_of(task, params, SOURCE[row], asked)
        for at in np.flatnonzero(asked == MASK):
            expected += nats(logits[at], gold[at])
        expected += 0 if canvas else nats(lengths, len(gold))
    assert not masked_BT[2].any()
    np.testing.assert_allclose(total, expected, rtol=1e-4)
    assert weight == masked_BT.sum() + (0 if canvas else 2)


def test_the_number_of_masks_is_even_and_so_are_their_places(task, params, monkeypatch):
    rows, length = 3_000, 4
    target = np.full((rows, length + 1), 9, np.int32)
    target[:, length] = EOS
    batch = {"source_BS": np.full((rows, 2), EOS, np.int32), "target_BT": target}
    seen = []

    def noting(logits, target, weight, **options):
        seen.append(weight)
        return jnp.zeros(()), weight.sum()

    monkeypatch.setattr(mask_predict, "cross_entropy", noting)
    monkeypatch.setattr(
        MaskPredict, "_run", lambda *_: lambda *a, **k: ((None, jnp.zeros((1, 1))), {})
    )

    @jax.jit
    def weights():
        task.loss(params, {}, batch, rng=jax.random.key(1), step=0)
        return seen[0]

    weight_BT = np.asarray(weights())
    masked_BT = weight_BT[:, :length]
    assert not weight_BT[:, length].any()
    counts = np.bincount(masked_BT.sum(axis=1), minlength=length + 1)
    assert counts[0] == 0
    for count in counts[1:]:
        assert abs(count / rows - 1 / length) < 4 * np.sqrt(0.25 * 0.75 / rows)
    share = (1 + length) / (2 * length)
    for column in masked_BT.T:
        assert abs(column.mean() - share) < 4 * np.sqrt(share * (1 - share) / rows)


def searched_by_hand(task, params, source_S, search):
    """The best (tokens, score) of a row, by one pass for each length."""
    source_S = source_S[source_S != PAD]
    _, lengths = logits_of(task, params, source_S, [MASK])
    most = min(search.max_length - 1, LONGEST, 2 * len(source_S) + 9)
    tried = sorted(range(1, most + 1), key=lambda n: -float(lengths[n]))[: search.beams]
    found = []
    for length in tried:
        logits, _ = logits_of(task, params, source_S, [MASK] * length)
        logits = np.array(logits, np.float64)
        p = np.exp(logits - logits.max(-1, keepdims=True))
        barred = logits.copy()
        barred[:, [PAD, UNK, BOS, EOS]] = -np.inf
        p = np.exp(barred - np.log(np.exp(barred).sum(-1, keepdims=True)))
        found.append((float(np.log(p.max(-1)).mean()), [*p.argmax(-1), EOS]))
    return sorted(found, key=lambda pair: -pair[0])


@pytest.mark.parametrize("beams", [1, 3])
def test_one_pass_of_several_lengths(task, params, beams):
    search = Search(beams=beams, nbest=beams, max_length=6, iterations=1)
    found = search_of(task)(params, {}, SOURCE, search)
    for row in (0, 1):
        expected = searched_by_hand(task, params, SOURCE[row], search)
        for place, (score, tokens) in enumerate(expected):
            ours = np.asarray(found.tokens_BNT[row, place])
            np.testing.assert_array_equal(ours[: len(tokens)], tokens)
            assert not ours[len(tokens) :].any()
            assert found.lengths_BN[row, place] == len(tokens)
            np.testing.assert_allclose(found.scores_BN[row, place], score, rtol=1e-4)
    assert not np.any(found.tokens_BNT[2])
    assert np.all(found.lengths_BN[2] == 0)


@pytest.mark.parametrize("canvas", [0, 7])
def test_padding_and_fillers_change_nothing(task, params, canvas):
    task = dataclasses.replace(task, canvas=canvas)
    search = Search(beams=2, max_length=6, iterations=3)
    run = search_of(task)
    found = run(params, {}, SOURCE, search)
    for row in (0, 1):
        alone = run(params, {}, SOURCE[row : row + 1], search)
        np.testing.assert_array_equal(found.tokens_BNT[row], alone.tokens_BNT[0])
        np.testing.assert_allclose(found.scores_BN[row], alone.scores_BN[0], rtol=1e-5)


def test_a_canvas_is_cut_at_its_first_end(task, params):
    task = dataclasses.replace(task, canvas=7)
    found = search_of(task)(params, {}, SOURCE, Search(iterations=1))
    for row in (0, 1):
        logits, _ = logits_of(task, params, SOURCE[row], [MASK] * 7)
        logits = np.array(logits, np.float64)
        logits[:, [PAD, UNK, BOS]] = -np.inf
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        tokens = [*log_p.argmax(-1), EOS]
        kept = tokens[: tokens.index(EOS) + 1]
        assert found.tokens_BNT.shape == (3, 1, 8)
        np.testing.assert_array_equal(found.tokens_BNT[row, 0, : len(kept)], kept)
        assert not np.any(found.tokens_BNT[row, 0, len(kept) :])
        told = min(len(kept), 7)
        expected = log_p.max(-1)[:told].sum() / told
        np.testing.assert_allclose(found.scores_BN[row, 0], expected, rtol=1e-4)


def test_a_canvas_is_cut_at_the_most_tokens(task, params):
    task = dataclasses.replace(task, canvas=7)
    run = search_of(task)
    whole, cut = (run(params, {}, SOURCE, Search(iterations=1, max_length=n)) for n in (7, 3))
    assert np.asarray(cut.lengths_BN).max() <= 3 < np.asarray(whole.lengths_BN).max()
    np.testing.assert_array_equal(cut.tokens_BNT[..., :3], whole.tokens_BNT[..., :3])
    assert not np.any(cut.tokens_BNT[..., 3:])


def test_a_canvas_shorter_than_the_target_is_refused(task, params):
    with pytest.raises(ValueError, match="the canvas has 4 tokens, and targets 5; it needs"):
        jax.eval_shape(dataclasses.replace(task, canvas=4).eval_loss, params, {}, BATCH)


def test_texts(task):
    ids = [*task.tokenizer.encode("a b"), EOS, PAD]
    assert task.texts(np.array([ids])) == ["a b"]

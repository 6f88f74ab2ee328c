"""Loss and accuracy by position, against a loop over sentences and positions."""

import functools
from functools import partial

import jax
import numpy as np
import pytest

from attention.lab.data.tokenizer import BOS, EOS, PAD, Tokenizer, train_tokenizer
from attention.lab.tasks.exposure import after_gold, after_own
from attention.lab.tasks.translation import Translation
from attention.models.transformer import Transformer
from attention.modules.feed_forward import FeedForward
from attention.variants import Linear

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder


@pytest.fixture(scope="module")
def task():
    tokenizer = Tokenizer(train_tokenizer(["a b c d e f g h", "h g f e d c b a"] * 8, 272))
    model = Transformer(
        vocab_size=tokenizer.vocab_size,
        size=8,
        heads=2,
        layers=1,
        decoder=Linear(),
        feed_forward=partial(FeedForward, hidden=8),
        pre_norm=True,
    )
    return Translation(model, tokenizer)


@pytest.fixture(scope="module")
def params(task):
    # Sharp, so that own words are other than gold.
    made, _ = task.init(jax.random.key(0))
    return jax.tree.map(lambda leaf: 4.0 * np.asarray(leaf), made)


SOURCE = np.array([[5, 6, EOS, PAD], [7, EOS, PAD, PAD], [PAD] * 4], np.int32)
TARGET = np.array([[9, 8, 7, EOS], [10, EOS, PAD, PAD], [PAD] * 4], np.int32)


@functools.cache
def forward_of(model):
    return jax.jit(model.apply)


def by_hand(task, params, feed_gold):
    """By whole passes over what was read, filled up to one length."""
    nats_T, right_T, tokens_T = np.zeros((3, TARGET.shape[1]))
    for source_S, target_T in zip(SOURCE, TARGET, strict=True):
        read = [BOS]
        for at, gold in enumerate(target_T[target_T != PAD]):
            read_T = np.pad(np.int32(read), (0, TARGET.shape[1] - len(read)))
            logits = forward_of(task.model)({"params": params}, source_S[None], read_T[None])
            logits_V = np.asarray(logits, np.float64)[0, at]
            nats_T[at] += np.log(np.exp(logits_V - logits_V[gold]).sum())
            right_T[at] += logits_V.argmax() == gold
            tokens_T[at] += 1
            read.append(gold if feed_gold else logits_V.argmax())
    return nats_T, right_T, tokens_T


@pytest.mark.parametrize(("way", "feed_gold"), [(after_gold, True), (after_own, False)])
def test_sums_by_position(task, params, way, feed_gold):
    batch = {"source_BS": SOURCE, "target_BT": TARGET}
    found = jax.jit(lambda: way(task, params, {}, batch))()
    expected = by_hand(task, params, feed_gold)
    np.testing.assert_allclose(found.nats_T, expected[0], rtol=1e-4)
    np.testing.assert_array_equal(found.right_T, expected[1])
    np.testing.assert_array_equal(found.tokens_T, expected[2])


def test_own_words_are_other_than_gold(task, params):
    """Else the test above would prove nothing."""
    gold, own = (by_hand(task, params, feed_gold)[0] for feed_gold in (True, False))
    assert gold[0] == own[0]
    assert abs(gold[1:] - own[1:]).max() > 0.1

"""Candidates ranked by a teacher, against sums by hand."""

import functools
from functools import partial

import jax
import numpy as np
import pytest

from attention.lab.data.tokenizer import BOS, EOS, PAD, Tokenizer, train_tokenizer
from attention.lab.tasks.mask_predict import MaskPredict
from attention.lab.tasks.rescoring import Rescored
from attention.lab.tasks.translation import Search, Translation
from attention.models.mask_predict import ConditionalMaskedLM
from attention.models.transformer import Transformer
from attention.modules.feed_forward import FeedForward

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

SOURCE = np.array([[5, 6, EOS, PAD], [7, EOS, PAD, PAD], [PAD] * 4], np.int32)


@pytest.fixture(scope="module")
def task():
    tokenizer = Tokenizer(train_tokenizer(["a b c d e f g h", "h g f e d c b a"] * 8, 272))
    plain = Transformer(
        vocab_size=tokenizer.vocab_size,
        size=8,
        heads=2,
        layers=1,
        feed_forward=partial(FeedForward, hidden=8),
        pre_norm=True,
    )
    student = MaskPredict(ConditionalMaskedLM(plain.clone(causal=False), 6), tokenizer)
    return Rescored(student, Translation(plain, tokenizer))


@pytest.fixture(scope="module")
def params(task):
    made = task.task.init(jax.random.key(0))[0], task.teacher.init(jax.random.key(1))[0]
    return jax.tree.map(lambda leaf: 3.0 * np.asarray(leaf), made)


@functools.cache
def forward_of(model):
    return jax.jit(model.apply)


@pytest.fixture(scope="module")
def all_three(task, params):
    search = jax.jit(task.task.search, static_argnums=3)
    return search(params[0], {}, SOURCE, Search(beams=3, nbest=3, iterations=2))


@pytest.mark.parametrize("nbest", [1, 3])
def test_the_best_by_the_teacher(task, params, all_three, nbest):
    search = Search(beams=3, nbest=nbest, iterations=2)
    found = jax.jit(task.search, static_argnums=3)(params, ({}, {}), SOURCE, search)
    own, orders = np.asarray(all_three.tokens_BNT), []
    for row in (0, 1):
        source = SOURCE[row][SOURCE[row] != PAD]
        scored = []
        for tokens in own[row]:
            tokens = tokens[tokens != PAD]
            read = np.concatenate([[BOS], tokens[:-1]])
            forward = forward_of(task.teacher.model)
            logits = forward({"params": params[1]}, source[None], read[None].astype("int32"))[0]
            logits = np.asarray(logits, np.float64)
            log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
            scored.append(float(log_p[np.arange(len(tokens)), tokens].mean()))
        order = np.argsort(scored)[::-1][:nbest]
        orders.append(list(order))
        np.testing.assert_array_equal(found.tokens_BNT[row], own[row][order])
        np.testing.assert_allclose(found.scores_BN[row], np.array(scored)[order], rtol=1e-4)
    assert [0, 1, 2][:nbest] not in orders or orders[0] != orders[1]  # it is another order
    assert not np.any(found.tokens_BNT[2])


def test_its_loss_and_texts_are_the_task_s(task, params):
    batch = {"source_BS": SOURCE, "target_BT": SOURCE}
    ours = jax.jit(task.eval_loss)(params, ({}, {}), batch)
    theirs = jax.jit(task.task.eval_loss)(params[0], {}, batch)
    np.testing.assert_array_equal(ours, theirs)
    assert task.texts(np.array([[EOS]])) == [""]
    assert task.tokenizer is task.task.tokenizer

"""Evaluation of a split: every sentence once, in order, and cut where it is too long."""

import types

import jax
import numpy as np
import pytest

from attention.lab.data.batching.buckets import Bucket
from attention.lab.data.batching.examples import encode_all
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.tokenizer import EOS, Tokenizer, train_tokenizer
from attention.lab.evaluation.evaluator import Evaluator
from attention.lab.evaluation.scores import sentence_bleu
from attention.lab.tasks.translation import Search
from attention.lab.training.devices import mesh

TEXTS = ("a b c", "d", "e f g h a b", "c d", "h g", "b", "", "a b c d e f g")


class Echo:
    """A task that says the source again, and whose loss is one nat a token."""

    def __init__(self):
        self.tokenizer = Tokenizer(train_tokenizer(["a b c d e f g h"] * 8, 272))
        self.shapes = []

    def search(self, params, model_state, source_BS, search):
        self.shapes.append(source_BS.shape)
        ends_BS = source_BS == EOS
        return types.SimpleNamespace(
            tokens_BNT=(source_BS * ~ends_BS)[:, None], scores_BN=-source_BS.sum(1)[:, None]
        )

    def eval_loss(self, params, model_state, batch):
        weight = (batch["target_BT"] > 0).sum()
        return 1.0 * weight, weight

    def texts(self, tokens):
        return [self.tokenizer.decode(row) for row in tokens]

    def sample(self, params, model_state, source_BS, *, rng, index_B, samples, max_length):
        """The source, and further draws that say nothing."""
        self.shapes.append((len(source_BS) * samples, source_BS.shape[1]))
        said_BNT = np.zeros((len(source_BS), samples, source_BS.shape[1]), np.int32)
        said_BNT[:, 0] = source_BS
        return types.SimpleNamespace(tokens_BT=said_BNT.reshape(-1, source_BS.shape[1]))


class Plain(Evaluator):
    search = property(lambda self: self.task.search)
    sample = property(lambda self: self.task.sample)


@pytest.fixture
def evaluator():
    return Plain(Echo(), mesh(1), (Bucket(4, 4), Bucket(10, 10)), 80, 12, "de")


def test_every_sentence_once_in_order(evaluator):
    report, hypotheses = evaluator.report({}, {}, Pairs(TEXTS, TEXTS), Search(beams=1))
    assert hypotheses == list(TEXTS)
    assert report["loss"] == 1.0
    assert (report["examples"], report["sentences"]) == (8, 8)
    assert report["chrf"] > 90


def test_the_loss_is_by_token_whatever_the_batches(evaluator, monkeypatch):
    """Here the loss of a token is its id."""

    def loss(params, model_state, batch):
        return batch["target_BT"].sum(), (batch["target_BT"] > 0).sum()

    monkeypatch.setattr(evaluator.task, "eval_loss", loss)
    examples = evaluator.examples(Pairs(TEXTS, TEXTS))
    assert len(list(evaluator.over(loss, {}, {}, examples))) > 1
    expected = np.concatenate(examples.target).mean()
    np.testing.assert_allclose(evaluator.loss({}, {}, examples), expected, rtol=1e-6)


@pytest.mark.parametrize(("beams", "most"), [(1, 80), (4, 20)])
def test_batches_shrink_with_the_beams(evaluator, beams, most):
    sources = encode_all(Pairs(TEXTS, TEXTS), evaluator.task.tokenizer).source
    evaluator.translate({}, {}, sources, Search(beams=beams))
    assert max(rows * length for rows, length in evaluator.task.shapes) <= most


@pytest.mark.parametrize("samples", [1, 4])
def test_expected_bleu_is_the_mean_over_sentences_and_samples(evaluator, samples):
    texts = [text for text in TEXTS if text]
    rng = jax.random.key(0)
    found = evaluator.expected_bleu(
        {}, {}, Pairs(texts, texts), samples=samples, max_length=9, rng=rng
    )
    np.testing.assert_allclose(found, 100 / samples, rtol=1e-6)
    assert max(rows * length for rows, length in evaluator.task.shapes) <= 80
    halves = Pairs([*texts, "a b c d"], [*texts, "a b c h"])
    found = evaluator.expected_bleu({}, {}, halves, samples=samples, max_length=9, rng=rng)
    lower = sentence_bleu(["a b c d"], ["a b c h"], "de")[0]
    assert 0 < lower < 100
    np.testing.assert_allclose(found, (700 + lower) / 8 / samples, rtol=1e-6)


def test_long_sentences_are_cut_with_a_warning(evaluator):
    long = "a b c d e f g h " * 9
    with pytest.warns(UserWarning, match="1 source and 2 target sentences of 3 are cut to 12"):
        examples = evaluator.examples(Pairs(("a", long, "b"), (long, long, "b")))
    assert [len(tokens_T) for tokens_T in examples.source][1] == 12
    assert examples.source[1][-1] == EOS
    assert examples.target[0].dtype == np.int32
    assert max(examples.target_lengths) == 12
    assert jax.tree.leaves(examples.source)[0].tolist()[-1] == EOS

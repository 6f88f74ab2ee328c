"""Evaluation of a split: every sentence once, in order, and cut where it is too long."""

import types

import jax
import numpy as np
import pytest

from attention.data.buckets import Bucket
from attention.data.examples import encode_all
from attention.data.pairs import Pairs
from attention.data.tokenizer import EOS, Tokenizer, train_tokenizer
from attention.judge import Judge
from attention.tasks.translation import Search
from attention.training.devices import mesh

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


class Plain(Judge):
    search = property(lambda self: self.task.search)


@pytest.fixture
def judge():
    return Plain(Echo(), mesh(1), (Bucket(4, 4), Bucket(10, 10)), 80, 12, "de")


def test_every_sentence_once_in_order(judge):
    report, hypotheses = judge.report({}, {}, Pairs(TEXTS, TEXTS), Search(beams=1))
    assert hypotheses == list(TEXTS)
    assert report["loss"] == 1.0
    assert (report["examples"], report["sentences"]) == (8, 8)
    assert report["chrf"] > 90


@pytest.mark.parametrize(("beams", "most"), [(1, 80), (4, 20)])
def test_batches_shrink_with_the_beams(judge, beams, most):
    sources = encode_all(Pairs(TEXTS, TEXTS), judge.task.tokenizer).source
    judge.translate({}, {}, sources, Search(beams=beams))
    assert max(rows * length for rows, length in judge.task.shapes) <= most


def test_long_sentences_are_cut_with_a_warning(judge):
    long = "a b c d e f g h " * 9
    with pytest.warns(UserWarning, match="1 source and 2 target sentences of 3 are cut to 12"):
        examples = judge.examples(Pairs(("a", long, "b"), (long, long, "b")))
    assert [len(tokens_T) for tokens_T in examples.source][1] == 12
    assert examples.source[1][-1] == EOS
    assert examples.target[0].dtype == np.int32
    assert max(examples.target_lengths) == 12
    assert jax.tree.leaves(examples.source)[0].tolist()[-1] == EOS

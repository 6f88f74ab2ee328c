"""A small random translation task."""

from functools import partial

import jax
import pytest

from attention.lab.data.tokenizer import Tokenizer, train_tokenizer
from attention.lab.tasks.translation import Translation
from attention.models.transformer import Transformer
from attention.modules.feed_forward import FeedForward


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(train_tokenizer(["a b c d e f g h", "h g f e d c b a"] * 8, 272))


@pytest.fixture(scope="module")
def task(tokenizer):
    model = Transformer(
        vocab_size=tokenizer.vocab_size,
        size=16,
        heads=2,
        layers=1,
        feed_forward=partial(FeedForward, hidden=32),
        pre_norm=True,
        dropout=0.1,
    )
    return Translation(model, tokenizer)


@pytest.fixture(scope="module")
def params(task):
    params, model_state = task.init(jax.random.key(0))
    assert model_state == {}
    # Sharper than at the start, so that searches have something to find.
    return jax.tree.map(lambda leaf: 3.0 * leaf, params)

"""Token embeddings, the logits tied to them, and added positions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.modules.embeddings import LearnedPositions, SinusoidalPositions, TokenEmbedding
from tests.reference import positions as reference

TABLE_VM = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
TABLE = {"params": {"embedding": jnp.asarray(TABLE_VM)}}
TOKENS_BT = jnp.array([[1, 6, 0], [2, 2, 5]])
X_BTM = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 4)), jnp.float32)


def test_vectors_are_rows_of_the_table_times_the_root_of_the_size():
    ours = TokenEmbedding(7, 4).apply(TABLE, TOKENS_BT)
    for b, t in np.ndindex(2, 3):
        np.testing.assert_allclose(ours[b, t], TABLE_VM[TOKENS_BT[b, t]] * 2, rtol=1e-6)


def test_weights_over_tokens_mix_their_vectors():
    embedding = TokenEmbedding(7, 4)
    one_hot_BTV = jax.nn.one_hot(TOKENS_BT, 7)
    hard = embedding.apply(TABLE, TOKENS_BT)
    np.testing.assert_allclose(embedding.apply(TABLE, one_hot_BTV), hard, atol=1e-6)
    half = embedding.apply(TABLE, (one_hot_BTV + jax.nn.one_hot(TOKENS_BT * 0, 7)) / 2)
    np.testing.assert_allclose(half, (hard + 2 * TABLE_VM[:1, None]) / 2, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 3e-2)])
def test_logits_are_products_with_the_table(dtype, tolerance):
    ours = TokenEmbedding(7, 4, jnp.dtype(dtype)).apply(TABLE, X_BTM, method="logits")
    assert ours.dtype == jnp.float32
    theirs = np.asarray(X_BTM, np.float64) @ TABLE_VM.T.astype(np.float64)
    np.testing.assert_allclose(ours, theirs, atol=tolerance, rtol=tolerance)


def test_tables_begin_with_unit_variance_after_scaling():
    embedding = TokenEmbedding(500, 64)
    variables = embedding.init(jax.random.key(0), TOKENS_BT)
    assert tuple(nn.get_partition_spec(variables)["params"]["embedding"]) == ("vocab", "model")
    x_BTM = embedding.apply(nn.meta.unbox(variables), jnp.arange(500)[None])
    assert float(x_BTM.std()) == pytest.approx(1.0, rel=0.02)


def test_sinusoids_are_added():
    pos_BT = jnp.array([[0, 1, 2], [5, 6, 7]])
    ours = SinusoidalPositions().apply({}, X_BTM, pos_BT)
    table = reference.sinusoids(8, 4)
    np.testing.assert_allclose(ours, X_BTM + table[pos_BT], atol=5e-6)
    assert not SinusoidalPositions().init(jax.random.key(0), X_BTM, pos_BT)
    half = SinusoidalPositions().apply({}, X_BTM.astype(jnp.bfloat16), pos_BT[:1])
    assert half.dtype == jnp.bfloat16


def test_learned_positions_are_added():
    layer = LearnedPositions(length=5)
    variables = layer.init(jax.random.key(0), X_BTM, jnp.arange(3)[None])
    assert tuple(nn.get_partition_spec(variables)["params"]["embedding"]) == ("position", "model")
    params = nn.meta.unbox(variables)
    table = np.asarray(params["params"]["embedding"])
    assert table.shape == (5, 4)
    pos_BT = jnp.array([[2, 3, 4], [0, 1, 4]])
    np.testing.assert_allclose(layer.apply(params, X_BTM, pos_BT), X_BTM + table[pos_BT], atol=1e-6)


def test_more_positions_than_were_learned_are_told():
    with pytest.raises(ValueError, match=r"3 positions and LearnedPositions\(length=2\)"):
        LearnedPositions(length=2).init(jax.random.key(0), X_BTM, jnp.arange(3)[None])

"""Bits from a hash: uniform, independent by key and place, the same on any device count."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.modules.dropout import Dropout
from attention.randomness import kept, words

KEYS = [jax.random.key(0), jax.random.key(1), jax.random.fold_in(jax.random.key(0), 1)]
N = 1 << 16


def correlation(a, b):
    """In units of its standard deviation for independent samples."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) * np.sqrt(a.size)


@pytest.mark.parametrize("number", range(len(KEYS)))
def test_every_bit_is_a_fair_coin_and_no_word_comes_twice(number):
    words_N = np.asarray(words(KEYS[number], jnp.arange(N, dtype=jnp.uint32)))
    assert len(np.unique(words_N)) == N
    share_b = ((words_N[:, None] >> np.arange(32)) & 1).mean(axis=0)
    assert np.abs(share_b - 0.5).max() < 4.5 * 0.5 / np.sqrt(N)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_runs_of_words_are_spread_evenly(bits):
    """Chi-squared of neighbouring words' top bits, taken together, against uniform cells."""
    top_N = np.asarray(words(KEYS[0], jnp.arange(N, dtype=jnp.uint32))) >> (32 - bits)
    runs_R = top_N.reshape(-1, 2).astype(np.int64) @ [1 << bits, 1]
    cells = 1 << 2 * bits
    expected = len(runs_R) / cells
    if expected < 1:
        return
    chi2 = ((np.bincount(runs_R, minlength=cells) - expected) ** 2 / expected).sum()
    assert abs(chi2 - cells) < 5 * np.sqrt(2 * cells)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_masks_do_not_depend_on_one_another(rate):
    """Neither by key, nor by neighbour, row or power of two within one key."""
    shape = (64, 1024)
    masks = [np.asarray(kept(rng, rate, shape), float) for rng in KEYS]
    keys = jax.random.split(jax.random.key(5), 3)
    masks += [np.asarray(kept(rng, rate, shape), float) for rng in keys]
    for i, one in enumerate(masks):
        assert abs(one.mean() - (1 - rate)) < 4.5 * np.sqrt(rate * (1 - rate) / one.size)
        for other in masks[:i]:
            assert abs(correlation(one, other)) < 4.5
        for shift in (1, 2, 3, 16, 256, 1024, 1 << 15):
            flat = one.ravel()
            assert abs(correlation(flat[shift:], flat[:-shift])) < 4.5


def test_any_kind_of_key_may_be_used():
    rng = jax.random.key(3, impl="rbg")
    assert abs(float(kept(rng, 0.25, (100, 100)).mean()) - 0.75) < 0.02


def test_a_rate_next_to_one_keeps_next_to_nothing():
    assert not kept(jax.random.key(0), 1 - 2**-40, (1000,)).any()
    assert kept(jax.random.key(0), 0.0, (1000,)).all()


def test_entries_are_counted_in_row_major_order():
    flat = kept(KEYS[0], 0.5, (2 * 3 * 5,))
    np.testing.assert_array_equal(kept(KEYS[0], 0.5, (2, 3, 5)), flat.reshape(2, 3, 5))


def test_masks_differ_by_call_by_layer_and_by_example():
    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            return [Dropout(0.5)(x), Dropout(0.5)(x)]

    def masks(seed):
        return Stack().apply({}, jnp.ones((4, 64)), rngs={"dropout": jax.random.key(seed)})

    rows = np.concatenate([*masks(0), *masks(1)])
    assert len({row.tobytes() for row in rows}) == 16


def test_a_layer_that_is_recomputed_drops_the_same():
    def loss(x, remat):
        layer = (nn.remat(Dropout) if remat else Dropout)(0.5)
        return (layer.apply({}, x, rngs={"dropout": jax.random.key(0)}) ** 3).sum()

    x = jnp.arange(1.0, 65.0)
    stored, again = (jax.jit(jax.grad(loss), static_argnums=1)(x, remat) for remat in (0, 1))
    np.testing.assert_array_equal(stored, again)


def test_the_mask_is_the_same_on_eight_devices_and_needs_no_exchange(eight_devices):
    out = eight_devices("""
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import NamedSharding, PartitionSpec as P
        from attention.randomness import kept
        from attention.lab.training.devices import mesh
        split = NamedSharding(mesh(8), P("data"))
        drop = lambda x, rng: jnp.where(kept(rng, 0.5, x.shape), x, 0)
        x, rng = jnp.ones((16, 32)), jax.random.key(0)
        compiled = jax.jit(drop, out_shardings=split).lower(jax.device_put(x, split), rng).compile()
        rows = compiled(jax.device_put(x, split), rng)
        np.testing.assert_array_equal(rows, jax.jit(drop)(x, rng))
        print(len({row.tobytes() for row in np.asarray(rows)}), "all-" in compiled.as_text())
    """)
    assert out.split() == ["16", "False"]

"""Sinusoids and rotations against the papers' formulas, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.positions import Rotary, sinusoids
from tests.reference import positions as reference


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("size", [2, 6, 64])
def test_sinusoids_are_the_papers(size):
    ours = sinusoids(jnp.arange(40), size)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, reference.sinusoids(40, size), atol=5e-6, rtol=0)


def test_sinusoids_keep_the_shape_of_positions_and_stay_right_far_out():
    pos_BT = jnp.array([[0, 3, 500], [1_000, 2_000, 5_000]])
    ours = sinusoids(pos_BT, 8)
    assert ours.shape == (2, 3, 8)
    expected = [[[reference.sinusoid(int(p), f, 8) for f in range(8)] for p in r] for r in pos_BT]
    # An angle of 5,000 is rounded to 2.4e-4 in float32.
    np.testing.assert_allclose(ours, expected, atol=5e-4, rtol=0)
    assert sinusoids(jnp.int32(3), 8).shape == (8,)


def test_sinusoids_need_an_even_size():
    with pytest.raises(ValueError, match="size is 5; .*even"):
        sinusoids(jnp.arange(3), 5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-6), ("bfloat16", 2e-2)])
def test_rotary_multiplies_complex_numbers(dtype, tolerance):
    x_BTHD = jnp.asarray(random(2, 7, 3, 6) / 2, dtype)
    pos_BT = jnp.array([range(7), range(20, 27)])
    ours = Rotary().rotate(x_BTHD, pos_BT)
    assert ours.dtype == dtype
    for b, h in np.ndindex(2, 3):
        expected = reference.rotate(np.asarray(x_BTHD[b, :, h], np.float64), pos_BT[b].tolist())
        np.testing.assert_allclose(
            np.asarray(ours[b, :, h], np.float64), expected, atol=tolerance, rtol=0
        )


def test_rotary_with_another_base():
    x_TD = random(5, 4)
    ours = Rotary(base=100.0).rotate(
        jnp.asarray(x_TD, jnp.float32)[None, :, None], jnp.arange(5)[None]
    )
    np.testing.assert_allclose(ours[0, :, 0], reference.rotate(x_TD, base=100), atol=5e-6, rtol=0)


def test_rotary_products_depend_on_distance_alone_and_norms_are_kept():
    with jax.enable_x64(True):
        q, k = (jnp.asarray(random(1, 1, 1, 8, seed=s)) for s in (1, 2))

        def product(i, j):
            turned = (Rotary().rotate(x, jnp.array([[p]])) for x, p in ((q, i), (k, j)))
            return float(jnp.vdot(*turned))

        assert product(3, 1) == pytest.approx(product(1_002, 1_000), abs=1e-10)
        assert product(3, 1) != pytest.approx(product(1, 3), abs=1e-2)
        turned = Rotary().rotate(q, jnp.array([[17]]))
        assert turned.dtype == jnp.float64
        assert float(jnp.linalg.norm(turned)) == pytest.approx(float(jnp.linalg.norm(q)), abs=1e-12)
        assert float(jnp.max(jnp.abs(turned - q))) > 0.1


def test_rotary_needs_an_even_number_of_features():
    with pytest.raises(ValueError, match="a head has 5 features; .*even"):
        Rotary().rotate(jnp.ones((1, 2, 1, 5)), jnp.arange(2)[None])


def test_rotary_is_a_value():
    assert Rotary() == Rotary()
    assert hash(Rotary(5.0)) == hash(Rotary(5.0))
    assert Rotary() != Rotary(5.0)

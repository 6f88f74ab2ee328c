"""Law 8: jit, vmap, remat, scan and eight devices change nothing beyond rounding."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.laws.cases import CASES, DROPPING
from tests.laws.harness import assert_close, draw, run
from tests.laws.masks import Setting

TOLERANCE = 1e-5


def drawn_of(case):
    place = "decoder" if "decoder" in case.places else case.places[0]
    return draw(Setting(case, place, case.padded))


def value_and_grads(drawn, attention):
    """Of ``attention(inputs, mask)``, which returns what ``run`` does, or copies of it."""

    def loss(inputs, mask):
        out = attention(inputs, mask)
        return (out**2).mean(), out

    grads, out = jax.jit(jax.grad(loss, has_aux=True))(drawn.inputs, drawn.mask)
    return out, grads


def plain(drawn):
    return lambda inputs, mask: run(
        drawn.case, drawn.sizes, drawn.variables, inputs, mask, drawn.bias
    )


def mapped(drawn):
    """Rows one at a time."""
    attention = plain(drawn)

    def rows(inputs, mask):
        one = jax.tree.map(lambda x: x[:, None], (inputs, mask))
        return jax.vmap(attention)(*one)[:, 0]

    return rows


def recomputed(drawn):
    return jax.checkpoint(plain(drawn))


def scanned(drawn):
    """The same layer twice; inputs and mask are carried."""
    attention = plain(drawn)

    def layer(carry, _):
        return carry, attention(*carry)

    return lambda inputs, mask: jax.lax.scan(layer, (inputs, mask), length=2)[1]


@pytest.mark.parametrize("transform", [mapped, recomputed, scanned])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_transforms_change_nothing(case, transform):
    drawn = drawn_of(case)
    out, grads = value_and_grads(drawn, plain(drawn))
    ours, our_grads = value_and_grads(drawn, transform(drawn))
    for copy in ours if transform is scanned else [ours]:
        assert_close(copy, out, TOLERANCE)
    assert our_grads.keys() == grads.keys()
    for name, grad in grads.items():
        assert np.any(grad)
        assert_close(our_grads[name], grad, TOLERANCE)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_jit_changes_nothing(case):
    drawn = drawn_of(case)
    eager = plain(drawn)(drawn.inputs, drawn.mask)
    assert_close(drawn.out(), eager, TOLERANCE)


@pytest.fixture(scope="module")
def sharded(eight_devices):
    """What `sharded.py` found on eight devices, by case; one process for all of them."""
    printed = eight_devices("from tests.laws import sharded; sharded.main()", timeout=1800.0)
    return json.loads(printed.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["data", "data and tensor"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_eight_devices_change_nothing(sharded, case, mesh):
    found = sharded[case.name][mesh]
    assert found["devices"] == 8
    assert found["error"] <= TOLERANCE
    assert not found["gathers"]


@pytest.mark.slow
@pytest.mark.parametrize("case", DROPPING, ids=str)
def test_dropout_is_the_same_on_any_number_of_devices(sharded, case):
    found = sharded[case.name]["dropout"]
    assert found["error"] <= TOLERANCE
    # All rows hold the same, on eight devices: only what is dropped tells them apart.
    assert found["different rows"] == found["rows"]


def test_the_mean_of_squares_is_not_zero():
    """The loss above would otherwise prove nothing."""
    drawn = drawn_of(CASES[0])
    assert float((drawn.out() ** 2).mean()) > 1e-2
    assert jnp.isfinite(drawn.out()).all()

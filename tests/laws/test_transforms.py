"""Law 8: jit, vmap, remat, scan and eight devices change nothing beyond rounding."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.laws.cases import CASES, DROPPING
from tests.laws.harness import assert_close, draw, run, somewhere, weighted_sum

TOLERANCE = 1e-5


def drawn_of(case):
    return draw(somewhere(case))


def out_and_grads(drawn, attention):
    """As ``drawn.out_and_grads()``, of ``attention(inputs, mask)``, which returns copies of out."""

    def loss(inputs, mask):
        copies = attention(inputs, mask)
        return weighted_sum(copies.mean(0)), copies

    grads, copies = jax.jit(jax.grad(loss, has_aux=True))(drawn.inputs, drawn.mask)
    return copies, grads


def plain(drawn):
    return lambda inputs, mask: run(
        drawn.case, drawn.sizes, drawn.variables, inputs, mask, drawn.bias
    )


def mapped(drawn):
    """Rows one at a time."""
    attention = plain(drawn)

    def rows(inputs, mask):
        one = jax.tree.map(lambda x: x[:, None], (inputs, mask))
        return jax.vmap(attention)(*one).swapaxes(0, 1)

    return rows


def recomputed(drawn):
    attention = jax.checkpoint(plain(drawn))
    return lambda inputs, mask: attention(inputs, mask)[None]


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
    out, grads = drawn.out_and_grads()
    copies, our_grads = out_and_grads(drawn, transform(drawn))
    for copy in copies:
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
def sharded(eight_devices, request):
    """What `sharded.py` found on eight devices, by case and mesh: one process for all tests."""
    tests = [
        item.callspec.params for item in request.session.items if "sharded" in item.fixturenames
    ]
    wanted = {f"{each['case']}/{each.get('mesh', 'dropout')}" for each in tests}
    source = "import sys; from tests.laws import sharded; sharded.main(sys.argv[1:])"
    printed = eight_devices(source, *sorted(wanted), timeout=1800.0)
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


def test_what_is_compared_is_not_zero():
    """The laws above would otherwise prove nothing."""
    drawn = drawn_of(CASES[0])
    assert float((drawn.out() ** 2).mean()) > 1e-2
    assert jnp.isfinite(drawn.out()).all()

"""Law 8: jit, vmap, remat, scan and eight devices change nothing beyond rounding."""

import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.testing.draw import assert_close, draw, weighted_sum
from attention.testing.masks import somewhere
from tests.laws.cases import CASES, DROPPING

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
    return lambda inputs, mask: drawn.case.apply(
        drawn.sizes, drawn.variables, inputs, mask, drawn.bias
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
    for copy in np.asarray(copies):
        assert_close(copy, out, TOLERANCE)
    assert our_grads.keys() == grads.keys()
    for name, grad in grads.items():
        assert np.any(grad)
        assert_close(our_grads[name], grad, TOLERANCE)


def operations(jaxpr):
    """All operations in order, those of loops and branches too, with all that is constant."""
    for equation in jaxpr.eqns:
        params = equation.params.items()
        inner = [jaxpr_of(leaf) for leaf in jax.tree.leaves([value for _, value in params])]
        inner = [each for each in inner if each is not None]
        out = [str(variable.aval) for variable in equation.outvars]
        if inner:  # whether it takes a number as an argument or as a constant may differ
            yield equation.primitive.name, out
        else:
            settings = [(name, str(value)) for name, value in params if not callable(value)]
            given = [str(getattr(each, "val", each.aval)) for each in equation.invars]
            yield equation.primitive.name, out, settings, given
        for each in inner:
            yield from operations(each)


def jaxpr_of(value):
    value = getattr(value, "jaxpr", value)
    return value if hasattr(value, "eqns") else None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_jit_changes_nothing(case):
    """Where Python sees the numbers, as without jit, it asks for the same operations.

    Running them one by one would compile each; see the next test.
    """
    drawn = drawn_of(case)
    traced = jax.make_jaxpr(plain(drawn))(drawn.inputs, drawn.mask)
    seen = jax.make_jaxpr(lambda: plain(drawn)(drawn.inputs, drawn.mask))()
    assert list(operations(traced.jaxpr)) == list(operations(seen.jaxpr))
    assert len(traced.eqns) > 1
    assert not traced.effects  # nothing is called on the host
    assert not seen.effects


def family(case):
    return type(case.attend).__module__.rpartition(".")[0]


FIRST = [one for one in CASES if one == next(case for case in CASES if family(case) == family(one))]
REST = [pytest.param(case, marks=pytest.mark.long) for case in CASES if case not in FIRST]


@pytest.mark.parametrize("case", [*FIRST, *REST], ids=str)
def test_operations_run_one_by_one_give_the_same(case):
    drawn = drawn_of(case)
    eager = plain(drawn)(drawn.inputs, drawn.mask)
    assert_close(drawn.out(), eager, TOLERANCE)


def test_no_attention_asks_whether_a_value_is_traced():
    """Else what jit changes would be found by the test above alone."""
    asking = re.compile(r"\b(Tracer|is_concrete|trace_state_clean|get_opaque_trace_state)\b")
    library = pathlib.Path(__file__).parents[2] / "attention"
    files = [path for path in library.rglob("*.py") if "lab" not in path.parts]
    assert len(files) > 50
    assert [path for path in files if asking.search(path.read_text("utf-8"))] == []


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

"""Law 8: jit, vmap, remat, scan and eight devices change nothing beyond rounding."""

import json
import pathlib
import re

import jax.numpy as jnp
import pytest

from attention.testing import transforms
from attention.testing.draw import draw
from attention.testing.law import assert_close
from attention.testing.masks import somewhere
from tests.laws.cases import CASES, DROPPING

TOLERANCE = 1e-5


@pytest.mark.parametrize(
    "transform", [transforms.mapped, transforms.recomputed, transforms.scanned]
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_transforms_change_nothing(case, transform):
    transforms.transforms_change_nothing(case, transform)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_jit_changes_nothing(case):
    transforms.jit_changes_nothing(case)


def family(case):
    return type(case.attention).__module__.rpartition(".")[0]


FIRST = [one for one in CASES if one == next(case for case in CASES if family(case) == family(one))]
REST = [pytest.param(case, marks=pytest.mark.long) for case in CASES if case not in FIRST]


@pytest.mark.parametrize("case", [*FIRST, *REST], ids=str)
def test_operations_run_one_by_one_give_the_same(case):
    drawn = draw(somewhere(case))
    eager = transforms.plain(drawn)(drawn.inputs, drawn.mask)
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
    drawn = draw(somewhere(CASES[0]))
    assert float((drawn.out() ** 2).mean()) > 1e-2
    assert jnp.isfinite(drawn.out()).all()

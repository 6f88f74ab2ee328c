"""Law 10: what is not declared raises NotImplementedError, with the name and a remedy."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import pytest

from attention import MultiHead
from attention.kernels import attend_by_softmax
from attention.kernels import softmax_attention as softmax_kernel
from attention.protocols import Attention, Capabilities
from attention.testing import refusals
from attention.testing.case import qkv
from attention.testing.draw import draw
from attention.testing.masks import Setting
from tests.laws.cases import CASES, Case
from tests.reference.attention import softmax_attention

NOTHING = Capabilities()


@dataclass(frozen=True)
class Refusing(Attention):
    """Declares nothing, so that the base class refuses."""

    capabilities: ClassVar[Capabilities] = NOTHING

    def _attend(self, params, state, inputs, rng):
        return attend_by_softmax(inputs), state


@dataclass(frozen=True)
class Silent(Refusing):
    """Declares nothing, and does everything."""

    def attend(self, params, state, q_BQHD, k_BKHD, v_BKHE, mask, *, bias=None, **options):
        return softmax_kernel(q_BQHD, k_BKHD, v_BKHE, mask, bias=bias), state

    def init_cache(self, *arguments):
        return {}


def undeclared(cases):
    return [
        pytest.param(case, request_, id=f"{case}-{request_.__name__}")
        for case in cases
        for request_, can in refusals.REQUESTS.items()
        if not can(case.attention.capabilities)
    ]


FAKE = Case("refusing", Refusing(), softmax_attention)
SILENT = Case("silent", Silent(), softmax_attention)


@pytest.mark.parametrize(
    ("case", "request_"), undeclared([*CASES, FAKE, FAKE.in_multi_head()])
)  # fmt: skip
def test_what_is_not_declared_is_refused(case, request_):
    refusals.what_is_not_declared_is_refused(case, request_)


@pytest.mark.parametrize(("case", "request_"), undeclared([SILENT]))
def test_silence_is_found(case, request_):
    with pytest.raises(AssertionError, match="raises no NotImplementedError"):
        refusals.what_is_not_declared_is_refused(case, request_)


@pytest.mark.parametrize("request_", [refusals.cross, refusals.bias, refusals.decoding])
def test_a_multi_head_refuses_for_a_silent_attention(request_):
    refusals.what_is_not_declared_is_refused(SILENT.in_multi_head(), request_)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_declared_is_not_refused(case):
    for request_, can in refusals.REQUESTS.items():
        if can(case.attention.capabilities) and (case.alone or request_ is not refusals.bias):
            refusals.what_is_declared_is_not_refused(case, request_)


def test_a_case_stands_where_its_abilities_allow():
    assert FAKE.slots == ("encoder",)
    assert SILENT.in_multi_head().module is MultiHead
    assert {slot for case in CASES for slot in case.slots} == {"encoder", "decoder", "cross"}
    for case in CASES:
        assert dataclasses.is_dataclass(case.attention)
        assert hash(case.attention) == hash(dataclasses.replace(case.attention))
        q, k, v = qkv(draw(Setting(case, "encoder", "all")).inputs | _missing(case))
        assert q.shape[1] == k.shape[1] == v.shape[1]


def _missing(case: Case) -> dict[str, Any]:
    """Stand-ins for q, k and v where the inputs are x."""
    return {} if case.module is None else dict.fromkeys("qkv", jax.numpy.zeros((1, 1, 1, 1)))

"""Law 10: what is not declared raises NotImplementedError, with the name and a remedy."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import MultiHead
from attention.kernels import attend_by_softmax
from attention.kernels import softmax_attention as softmax_kernel
from attention.masks import Causal, Window
from attention.protocols import Attention, Capabilities
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


def ask(drawn, **changes):
    """Refusals are made in tracing: nothing is compiled."""
    drawn = dataclasses.replace(drawn, **changes)
    function = functools.partial(drawn.case.apply, drawn.sizes)
    jax.eval_shape(function, drawn.variables, drawn.inputs, drawn.mask, drawn.bias)


def causal(case):
    drawn = draw(Setting(case, "encoder", "lengths"))
    ask(drawn, mask=Causal() & drawn.mask)


def cross(case):
    drawn = draw(Setting(case, "cross", "lengths"), k_len=case.lengths[-1])
    inputs = drawn.inputs
    if case.module is None and "k" not in inputs:  # the queries' projection makes the keys
        inputs = inputs | {"k": np.pad(qkv(inputs)[0], ((0, 0), (0, 1), (0, 0), (0, 0)))}
    ask(drawn, inputs=inputs)


def bias(case):
    drawn = draw(Setting(case, "encoder", "lengths"))
    ask(drawn, bias=np.zeros(drawn.shape[:4], "float32"))


def decoding(case):
    drawn = draw(Setting(case, "encoder", "lengths"))
    if case.module is not None:
        layer = case.layer(drawn.sizes, jnp.float32)
        layer.apply(drawn.variables, 2, 8, drawn.sizes.model_size, method="start")
    else:
        params, state = drawn.variables["params"], drawn.variables["state"]
        case.attend.init_cache(params, state, drawn.sizes, 2, 8, jnp.float32)


def window(case):
    drawn = draw(Setting(case, "encoder", "lengths"))
    ask(drawn, mask=Window(2, 1) & drawn.mask)


REFUSED = {
    window: lambda capabilities: capabilities.masks != "any",
    causal: lambda capabilities: capabilities.causal == "no",
    cross: lambda capabilities: not capabilities.cross,
    bias: lambda capabilities: not capabilities.bias,
    decoding: lambda capabilities: capabilities.decoding != "cached",
}


def assert_refused(case, request_):
    name = type(case.attend).__name__
    with pytest.raises(NotImplementedError, match=rf"^{name} .*; use \S+") as caught:
        request_(case)
    assert "\n" not in str(caught.value)


def undeclared(cases):
    return [
        pytest.param(case, request_, id=f"{case}-{request_.__name__}")
        for case in cases
        for request_, is_refused in REFUSED.items()
        if is_refused(case.attend.capabilities)
    ]


FAKE = Case("refusing", Refusing(), softmax_attention)
SILENT = Case("silent", Silent(), softmax_attention)


@pytest.mark.parametrize(
    ("case", "request_"), undeclared([*CASES, FAKE, FAKE.in_multi_head()])
)  # fmt: skip
def test_what_is_not_declared_is_refused(case, request_):
    assert_refused(case, request_)


@pytest.mark.parametrize(("case", "request_"), undeclared([SILENT]))
def test_silence_is_found(case, request_):
    with pytest.raises(pytest.fail.Exception):
        assert_refused(case, request_)


@pytest.mark.parametrize("request_", [cross, bias, decoding])
def test_a_multi_head_refuses_for_a_silent_attention(request_):
    assert_refused(SILENT.in_multi_head(), request_)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_declared_is_not_refused(case):
    for request_, is_refused in REFUSED.items():
        within_bias = request_ is bias and case.module is None
        if not is_refused(case.attend.capabilities) and (within_bias or request_ is not bias):
            request_(case)


def test_a_case_stands_where_its_abilities_allow():
    assert FAKE.places == ("encoder",)
    assert SILENT.in_multi_head().module is MultiHead
    assert {place for case in CASES for place in case.places} == {"encoder", "decoder", "cross"}
    for case in CASES:
        assert dataclasses.is_dataclass(case.attend)
        assert hash(case.attend) == hash(dataclasses.replace(case.attend))
        q, k, v = qkv(draw(Setting(case, "encoder", "all")).inputs | _missing(case))
        assert q.shape[1] == k.shape[1] == v.shape[1]


def _missing(case: Case) -> dict[str, Any]:
    """Stand-ins for q, k and v where the inputs are x."""
    return {} if case.module is None else dict.fromkeys("qkv", jax.numpy.zeros((1, 1, 1, 1)))

"""Law 11: forward and gradient lower for TPUs and for CUDA, on a CPU."""

import jax
import pytest
from jax import export

from attention.testing.cost import forward_and_grad, grown, shapes
from attention.testing.draw import draw
from attention.testing.masks import somewhere
from tests.laws.cases import CASES


@pytest.mark.parametrize(("length", "dtype"), [("odd", "float32"), (256, "bfloat16")])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_gradient_lower(case, length, dtype):
    length = case.lengths[0] if length == "odd" else length
    setting = grown(somewhere(case), length)
    drawn = draw(setting, q_len=length, dtype=dtype)
    for function in forward_and_grad(drawn).values():
        program = export.export(jax.jit(function), platforms=("tpu", "cuda"))(*shapes(drawn))
        assert program.platforms == ("tpu", "cuda")

"""No attention factors a batch of matrices: on two cores a CPU may wait for itself for ever."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.protocols import Attention
from attention.testing.case import qkv
from attention.testing.draw import draw
from attention.testing.masks import Setting
from tests.laws.cases import ALONE, CASES

FACTORISATIONS = {"geqrf", "householder_product", "qr", "lu", "cholesky", "eigh", "svd"}


def factored(jaxpr):
    """The shapes of what is factored, in loops and branches too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in FACTORISATIONS:
            yield equation.invars[0].aval.shape
        for value in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from factored(inner)


def test_factorisations_are_found_in_loops():
    shapes = factored(
        jax.make_jaxpr(lambda x: jax.lax.map(jnp.linalg.qr, x))(np.ones((5, 2, 3, 3)))
    )
    assert (2, 3, 3) in set(shapes)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_batch_is_factored(case):
    sizes = case.sizes[0]
    traced = [jax.make_jaxpr(lambda: case.init(sizes))()]
    drawn = draw(Setting(case, case.slots[0], case.padded), abstract=True)
    traced.append(
        jax.make_jaxpr(lambda *own: case.apply(sizes, *own, drawn.mask, drawn.bias))(
            drawn.variables, drawn.inputs
        )
    )
    assert all(len(shape) == 2 for jaxpr in traced for shape in factored(jaxpr))


@pytest.mark.parametrize(
    "case",
    [case for case in ALONE if type(case.attention)._gather is not Attention._gather],
    ids=str,
)
def test_none_where_weights_are_shown(case):
    drawn = draw(Setting(case, case.slots[0], case.padded), abstract=True)

    def gather(own, inputs):
        x_BTM = inputs.get("x")
        return case.attention.gather(
            own["params"], own["state"], *qkv(inputs), drawn.mask, x_BTM=x_BTM
        )

    jaxpr = jax.make_jaxpr(gather)(drawn.variables, drawn.inputs)
    assert all(len(shape) == 2 for shape in factored(jaxpr))

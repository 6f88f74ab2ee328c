"""Parameters that a stack shares over its layers."""

import dataclasses
import functools
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import MultiHead, Transformer
from attention.protocols import Capabilities, WithAxes
from attention.variants import Softmax

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder


@dataclasses.dataclass(frozen=True)
class Factored(Softmax):
    """Softmax attention times a factor a head, which all layers share."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        "exact", cross=True, bias=False, decoding="no"
    )

    def params_shared(self, rng, sizes):
        return {"factor": WithAxes(1.0 + jax.random.uniform(rng, (sizes.heads,)), ("heads",))}

    def _attend(self, params, state, inputs, rng):
        out, _ = super()._attend({}, {}, inputs, rng)
        return out * params["factor"][None, None, :, None], state


SOURCE_BS, TARGET_BT = jnp.array([[4, 5, 6, 1], [7, 1, 0, 0]]), jnp.array([[3, 5, 4], [3, 9, 0]])
MODEL = Transformer(
    vocab_size=11, size=8, heads=2, layers=2, encoder=Factored(), cross=Factored(), pre_norm=True
)


@functools.cache
def variables_of():
    return nn.meta.unbox(jax.jit(MODEL.init)(jax.random.key(0), SOURCE_BS, TARGET_BT))


def paths_of(params):
    return {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)}


def test_a_stack_makes_them_once_and_each_layer_has_a_share_in_their_gradient():
    variables = variables_of()
    found = {path for path in paths_of(variables["params"]) if "factor" in path}
    assert found == {
        "['encoder_shared']['learned']['factor']", "['cross_shared']['learned']['factor']"
    }  # fmt: skip

    def loss(params):
        return (MODEL.apply({"params": params}, SOURCE_BS, TARGET_BT) ** 2).sum()

    grads = jax.jit(jax.grad(loss))(variables["params"])
    for place in ("encoder_shared", "cross_shared"):
        assert np.all(np.asarray(grads[place]["learned"]["factor"]) != 0)


def test_decoding_step_by_step_has_them_too():
    variables = variables_of()
    full = np.asarray(jax.jit(MODEL.apply)(variables, SOURCE_BS, TARGET_BT))
    start = jax.jit(functools.partial(MODEL.apply, length=3, method="start"))
    memory, cache = start(variables, SOURCE_BS)
    extend = jax.jit(functools.partial(MODEL.apply, method="extend"))
    for t in range(2):
        logits, cache = extend(variables, memory, cache, np.asarray(TARGET_BT)[:, t])
        np.testing.assert_allclose(logits, full[:, t], atol=2e-5)


def test_a_layer_by_itself_makes_its_own():
    layer, x_BTM = MultiHead(heads=2, attention=Factored()), jnp.ones((1, 3, 8))
    variables = nn.meta.unbox(jax.jit(layer.init)(jax.random.key(0), x_BTM))
    apply = jax.jit(layer.apply)
    own = variables["params"]["own"]["shared"]["learned"]["factor"]
    ours = np.asarray(apply(variables, x_BTM))
    np.testing.assert_array_equal(ours, apply(variables, x_BTM, shared={"factor": own}))
    doubled = apply(variables, x_BTM, shared={"factor": 2 * own})
    bias_M = np.asarray(variables["params"]["out"]["bias"])
    np.testing.assert_allclose(doubled, 2 * ours - bias_M[None, None], atol=1e-6)

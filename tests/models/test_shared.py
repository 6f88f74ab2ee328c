"""Parameters that a stack shares over its layers."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from attention import MultiHead, Transformer
from attention.shapes import Abilities, Named
from attention.variants import Softmax


@dataclasses.dataclass(frozen=True)
class Factored(Softmax):
    """Softmax attention times a factor a head, which all layers share."""

    abilities: ClassVar[Abilities] = Abilities("exact", cross=True, bias=False, decoding="no")

    def init_shared(self, rng, sizes):
        return {"factor": Named(1.0 + jax.random.uniform(rng, (sizes.heads,)), ("heads",))}

    def attend(self, params, state, q, k, v, mask, **options):
        out, _ = super().attend({}, {}, q, k, v, mask, **options)
        return out * params["factor"][None, None, :, None], state


SOURCE_BS, TARGET_BT = jnp.array([[4, 5, 6, 1], [7, 1, 0, 0]]), jnp.array([[3, 5, 4], [3, 9, 0]])
MODEL = Transformer(
    vocab_size=11, size=8, heads=2, layers=2, encoder=Factored(), cross=Factored(), pre_norm=True
)


def paths_of(params):
    return {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)}


def test_a_stack_makes_them_once_and_each_layer_has_a_share_in_their_gradient():
    variables = nn.meta.unbox(MODEL.init(jax.random.key(0), SOURCE_BS, TARGET_BT))
    found = {path for path in paths_of(variables["params"]) if "factor" in path}
    assert found == {
        "['encoder_shared']['learned']['factor']", "['cross_shared']['learned']['factor']"
    }  # fmt: skip

    def loss(params):
        return (MODEL.apply({"params": params}, SOURCE_BS, TARGET_BT) ** 2).sum()

    grads = jax.grad(loss)(variables["params"])
    for place in ("encoder_shared", "cross_shared"):
        assert np.all(np.asarray(grads[place]["learned"]["factor"]) != 0)


def test_decoding_step_by_step_has_them_too():
    variables = nn.meta.unbox(MODEL.init(jax.random.key(0), SOURCE_BS, TARGET_BT))
    full = MODEL.apply(variables, SOURCE_BS, TARGET_BT)
    memory, cache = MODEL.apply(variables, SOURCE_BS, length=3, method="start")
    for t in range(2):
        logits, cache = MODEL.apply(variables, memory, cache, TARGET_BT[:, t], method="extend")
        np.testing.assert_allclose(logits, full[:, t], atol=2e-5)


def test_a_layer_by_itself_makes_its_own():
    layer, x_BTM = MultiHead(heads=2, attend=Factored()), jnp.ones((1, 3, 8))
    variables = nn.meta.unbox(layer.init(jax.random.key(0), x_BTM))
    own = variables["params"]["own"]["shared"]["learned"]["factor"]
    ours = layer.apply(variables, x_BTM)
    np.testing.assert_array_equal(ours, layer.apply(variables, x_BTM, shared={"factor": own}))
    doubled = layer.apply(variables, x_BTM, shared={"factor": 2 * own})
    bias_M = variables["params"]["out"]["bias"]
    np.testing.assert_allclose(doubled, 2 * ours - bias_M[None, None], atol=1e-6)

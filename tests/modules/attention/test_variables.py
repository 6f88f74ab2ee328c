"""An attention's own parameters and state, by one made for the purpose."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from attention import MultiHead
from attention.modules.attention.variables import STATE
from attention.protocols import Attention, Capabilities, WithAxes
from attention.variants import Softmax


@dataclasses.dataclass(frozen=True)
class Counting(Attention):
    """Softmax attention times a trained factor a head, which counts its calls in training."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        "exact", cross=True, bias=False, decoding="no"
    )

    def init(self, rng, sizes):
        factor_H = 1.0 + jax.random.uniform(rng, (sizes.heads,))
        return {"factor": WithAxes(factor_H, ("heads",))}, {"calls": WithAxes(jnp.zeros(()), ())}

    def _attend(self, params, state, inputs, rng):
        out, _ = Softmax().attend({}, {}, *inputs[:4])
        if rng is not None:
            state = {"calls": state["calls"] + 1}
        return out * params["factor"][None, None, :, None], state


X_BTM = jax.random.normal(jax.random.key(1), (2, 5, 8))
LAYER = MultiHead(heads=2, attention=Counting())


def test_parameters_and_state_stand_apart_and_carry_axis_names():
    boxed = LAYER.init(jax.random.key(0), X_BTM)
    own = boxed["params"]["own"]["learned"]["factor"]
    assert own.names == ("heads",)
    assert own.value.shape == (2,)
    assert set(boxed) == {"params", STATE}


def test_parameters_act_and_get_gradients():
    variables = nn.meta.unbox(LAYER.init(jax.random.key(0), X_BTM))
    plain = {name: p for name, p in variables["params"].items() if name != "own"}
    doubled = jax.tree.map(lambda p: p, variables)
    doubled["params"]["own"]["learned"]["factor"] = jnp.full((2,), 2.0)
    bare = MultiHead(heads=2).apply({"params": plain}, X_BTM)
    np.testing.assert_allclose(
        LAYER.apply(doubled, X_BTM), 2 * bare - plain["out"]["bias"][None, None], atol=1e-6
    )
    grads = jax.grad(lambda v: LAYER.apply(v, X_BTM).sum())(variables)
    assert (grads["params"]["own"]["learned"]["factor"] != 0).all()


def test_state_moves_only_in_training_and_where_it_is_mutable():
    variables = nn.meta.unbox(LAYER.init(jax.random.key(0), X_BTM))
    rngs = {"dropout": jax.random.key(3)}
    LAYER.apply(variables, X_BTM, rngs=rngs)
    _, moved = LAYER.apply(variables, X_BTM, rngs=rngs, mutable=[STATE])
    _, still = LAYER.apply(variables, X_BTM, mutable=[STATE])
    assert moved[STATE]["own"]["kept"]["calls"] == 1
    assert still[STATE]["own"]["kept"]["calls"] == 0


def test_an_attention_without_any_makes_no_variable():
    variables = MultiHead(heads=2).init(jax.random.key(0), X_BTM)
    assert set(variables) == {"params"}
    assert set(variables["params"]) == {"query", "key", "value", "out"}

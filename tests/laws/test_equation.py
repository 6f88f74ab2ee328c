"""Law 1: equal to the paper's equation in float64 NumPy. Law 2: so are the gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies

from attention.testing.draw import assert_close, draw
from tests.laws.cases import ALONE, CASES, declaring
from tests.laws.harness import few, lengths_of, seeds, sizes_of
from tests.laws.settings import places_of, settings_of

FLOAT32, BFLOAT16 = 5e-6, 2e-2
STEP = 1e-6
# One token alone sees no key here: no loops, or no block of keys that is complete.
NO_KEY_FOR_ONE = "graph-gat-without-loops", "compressed-3-3-causal", "compressed-5-2-causal"


@pytest.mark.parametrize("setting", settings_of(CASES))
def test_equal_to_the_paper(setting):
    for drawn in (draw(setting, seed, k_len=setting.case.lengths[-1]) for seed in (0, 1)):
        assert_close(drawn.out(), drawn.expected(), FLOAT32)


@pytest.mark.long
@pytest.mark.parametrize("setting", settings_of(CASES))
@given(data=strategies.data(), seed=seeds)
@few
def test_equal_to_the_paper_at_any_size(setting, data, seed):
    drawn = draw(
        setting,
        seed,
        sizes=data.draw(sizes_of(setting.case)),
        q_len=data.draw(lengths_of(setting.case)),
        k_len=data.draw(lengths_of(setting.case)),
    )
    assert_close(drawn.out(), drawn.expected(), FLOAT32)


@pytest.mark.parametrize("setting", places_of(CASES))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_size_of_head(setting, dtype):
    for sizes in setting.case.sizes[1:] if dtype == "float32" else setting.case.sizes[:1]:
        drawn = draw(setting, sizes=sizes, k_len=setting.case.lengths[-1], dtype=dtype)
        ours = drawn.out()
        assert ours.dtype == dtype
        tolerance = FLOAT32 if dtype == "float32" else BFLOAT16
        assert_close(ours, drawn.expected(), tolerance)


@pytest.mark.parametrize("setting", places_of(CASES))
def test_one_token(setting):
    for k_len in (1, setting.case.lengths[0]):
        drawn = draw(setting, q_len=1, k_len=k_len)
        assert np.any(drawn.expected()) != (setting.case.name in NO_KEY_FOR_ONE)
        assert_close(drawn.out(), drawn.expected(), FLOAT32)


@pytest.mark.parametrize("setting", places_of(declaring(ALONE, bias=True)))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_equal_to_the_paper_with_a_bias(setting, dtype):
    drawn = draw(setting, k_len=setting.case.lengths[-1], dtype=dtype, bias=True)
    assert drawn.bias is not None
    assert_close(drawn.out(), drawn.expected(), FLOAT32 if dtype == "float32" else BFLOAT16)


@pytest.mark.parametrize("setting", places_of(CASES))
def test_gradients(setting):
    """By differences along one line through all that is differentiated, and a random weighing."""
    with jax.enable_x64(True):
        bias = setting.case.attend.capabilities.bias and setting.case.module is None
        drawn = draw(
            setting, sizes=setting.case.sizes[0], batch=1, q_len=4, k_len=3, dtype="float64",
            bias=bias,
        )  # fmt: skip

        # Of ALiBi's slopes there is no gradient, and T5's table is of float32: see test_biases.py.
        array = drawn.bias if hasattr(drawn.bias, "shape") else None
        arguments = drawn.inputs, drawn.variables["params"], array
        random = np.random.default_rng(0)

        def out(inputs, params, array):
            bias = drawn.bias if array is None else array
            variables = drawn.variables | {"params": params}
            return drawn.case.apply(drawn.sizes, variables, inputs, drawn.mask, bias)

        @jax.jit
        def value_and_grads(*arguments):
            value, pull = jax.vjp(out, *arguments)
            weights = jnp.asarray(random.normal(size=value.shape))  # a constant of the program
            return (value * weights).sum(), pull(weights)

        direction = jax.tree.map(lambda x: random.normal(size=x.shape), arguments)

        def at(distance):
            moved = jax.tree.map(lambda x, d: np.asarray(x) + distance * d, arguments, direction)
            return value_and_grads(*moved)

        value, grads = at(0.0)
        assert value.dtype == "float64"
        slope = sum(jax.tree.leaves(jax.tree.map(np.vdot, grads, direction)))
        difference = (at(STEP)[0] - at(-STEP)[0]) / (2 * STEP)
        np.testing.assert_allclose(slope, difference, atol=1e-5, rtol=1e-5)

"""Every attention is a module by its own name."""

import inspect

import jax
import jax.numpy as jnp
import pytest

import attention
from attention import MultiHead, variants
from attention.modules.attention import named
from attention.modules.mixing import TokenMixing

X_BTM = jnp.ones((1, 6, 8))
NEEDS = {"Patterned": {"mask": attention.masks.Window(1, 1)}}


MIXES = [name for name in variants.__all__ if hasattr(getattr(variants, name), "mix")]
ATTENDS = [name for name in variants.__all__ if name not in MIXES]


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTENDS)
def test_it_is_multi_head_around_the_variant(name):
    made = getattr(attention, f"{name}Attention")(
        heads=2, dtype=jnp.bfloat16, **NEEDS.get(name, {})
    )
    variant = getattr(variants, name)(**NEEDS.get(name, {}))
    assert made == MultiHead(heads=2, attention=variant, dtype=jnp.bfloat16)
    assert f"{name}Attention" in attention.__all__
    asked = (X_BTM, X_BTM) if variant.capabilities.decoding == "stateful" else (X_BTM,)
    out_BTM, _ = jax.eval_shape(made.init_with_output, jax.random.key(0), *asked)
    assert out_BTM.shape == X_BTM.shape


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXES)
def test_it_is_mixing_around_the_mixer(name):
    made = getattr(attention, f"{name}Mixing")(heads=2, dtype=jnp.bfloat16)
    assert made == TokenMixing(heads=2, mixer=getattr(variants, name)(), dtype=jnp.bfloat16)
    assert f"{name}Mixing" in attention.__all__
    out_BTM, _ = jax.eval_shape(made.init_with_output, jax.random.key(0), X_BTM)
    assert out_BTM.shape == X_BTM.shape


def test_the_variants_parameters_are_its_own():
    made = attention.LocalAttention(heads=4, left=3, right=0, features=16, kv_heads=2)
    assert made.attention == variants.Local(left=3, right=0)
    assert (made.heads, made.features, made.kv_heads) == (4, 16, 2)
    parameters = inspect.signature(attention.LocalAttention).parameters
    assert list(parameters)[:2] == ["heads", "features"]
    assert parameters["left"].default == 64
    assert "window" in attention.LocalAttention.__doc__
    assert attention.LocalAttention.__name__ == "LocalAttention"


def test_what_it_does_not_have_is_told():
    with pytest.raises(TypeError, match="unexpected keyword argument 'window'"):
        attention.LocalAttention(heads=4, window=3)
    with pytest.raises(ValueError, match=r"Window\(left=-1\): needs a whole number, 0 or more"):
        attention.LocalAttention(heads=4, left=-1)


def test_there_are_none_beside_those_of_the_variants():
    makers = {name for name in vars(named) if name.endswith(("Attention", "Mixing"))} - {
        "TokenMixing"
    }
    assert makers == {f"{name}Attention" for name in ATTENDS} | {f"{name}Mixing" for name in MIXES}

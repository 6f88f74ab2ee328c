"""Every attention is a module by its own name."""

import copy
import inspect
import pathlib
import subprocess
import sys
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import attention
from attention import MultiHead, TokenMixing, variants
from attention.modules.attention import named
from tools import named_attentions

X_BTM = jnp.ones((1, 6, 8))
NEEDS = {"Patterned": {"mask": attention.masks.Window(1, 1)}}


MIXES = [name for name in variants.__all__ if hasattr(getattr(variants, name), "mix")]
ATTENDS = [name for name in variants.__all__ if name not in MIXES]


def fields_of(module):
    return {name: getattr(module, name) for name in ("heads", "features", "rotary", "kv_heads")}


class Twice(nn.Module):
    """Two layers that Linen names."""

    make: object
    memory: bool

    @nn.compact
    def __call__(self, x_BTM):
        for _ in range(2):
            x_BTM = self.make()(x_BTM, x_BTM if self.memory else None)
        return x_BTM


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTENDS)
def test_it_is_multi_head_around_the_variant(name):
    needs = NEEDS.get(name, {})
    variant = getattr(variants, name)(**needs)
    make = partial(getattr(attention, f"{name}Attention"), heads=2, kv_heads=2, **needs)
    plain = partial(MultiHead, heads=2, attention=variant, kv_heads=2)
    made = make()
    assert isinstance(made, MultiHead)
    assert made.attention == variant
    assert fields_of(made) == fields_of(plain())
    assert f"{name}Attention" in attention.__all__
    # Its parameters have the names that they have in a MultiHead, those by Linen too.
    memory = variant.capabilities.decoding == "stateful"
    ours, theirs = (
        jax.eval_shape(Twice(make, memory).init, jax.random.key(0), X_BTM) for make in (make, plain)
    )
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert set(ours["params"]) == {"MultiHead_0", "MultiHead_1"}


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXES)
def test_it_is_token_mixing_around_the_mixer(name):
    make = partial(getattr(attention, f"{name}Mixing"), heads=2, dtype=jnp.bfloat16)
    made = make()
    assert isinstance(made, TokenMixing)
    assert (made.heads, made.mixer, made.dtype) == (2, getattr(variants, name)(), jnp.bfloat16)
    assert f"{name}Mixing" in attention.__all__
    out_BTM, variables = jax.eval_shape(
        Twice(make, memory=False).init_with_output, jax.random.key(0), X_BTM
    )
    assert out_BTM.shape == X_BTM.shape
    assert set(variables.get("params", ())) <= {"Mixing_0", "Mixing_1"}


def test_the_variants_parameters_are_its_own():
    made = attention.LocalAttention(heads=4, left=3, right=0, features=16, kv_heads=2)
    assert made.attention == variants.Local(left=3, right=0)
    assert (made.heads, made.features, made.kv_heads) == (4, 16, 2)
    parameters = inspect.signature(attention.LocalAttention).parameters
    assert list(parameters)[:2] == ["heads", "features"]
    assert parameters["left"].default == 64
    assert "window" in attention.LocalAttention.__doc__
    assert attention.LocalAttention.__qualname__ == "LocalAttention"


def test_it_is_copied_as_what_it_is():
    made = attention.LocalAttention(heads=4, left=3, name="nearby")
    for twin in (made.clone(), copy.deepcopy(made)):
        assert isinstance(twin, attention.LocalAttention)
        assert twin == made
        assert (twin.attention, twin.name) == (variants.Local(left=3), "nearby")
    assert made.clone(heads=2).heads == 2
    assert not isinstance(made, attention.StridedAttention)


def test_what_it_does_not_have_is_told():
    with pytest.raises(TypeError, match="unexpected keyword argument 'window'"):
        attention.LocalAttention(heads=4, window=3)
    with pytest.raises(ValueError, match=r"Window\(left=-1\): needs a whole number, 0 or more"):
        attention.LocalAttention(heads=4, left=-1)


def test_there_are_none_beside_those_of_the_variants():
    names = {f"{name}Attention" for name in ATTENDS} | {f"{name}Mixing" for name in MIXES}
    assert set(named_attentions.classes()) == names
    assert all(getattr(named, name).__qualname__ == name for name in names)


def test_the_stub_is_current():
    made = named_attentions.stub()
    assert named_attentions.STUB.read_text("utf-8") == made, "python -m tools.named_attentions"


MISSPELT = """
from attention import BigBirdAttention, LSTMMixing, MultiHead, PatternedAttention, masks

layer: MultiHead = BigBirdAttention(8, block=64, features=16, name="layer")
other: MultiHead = PatternedAttention(heads=2, mask=masks.Causal(), kv_heads=1)
LSTMMixing()
BigBirdAttention(heads=8, blok=64)  # wrong
BigBirdAttention(heads=8, block="64")  # wrong
PatternedAttention(heads=2)  # wrong
LSTMMixing(hiden=3)  # wrong
"""


@pytest.mark.slow
def test_a_misspelt_field_fails_in_mypy(tmp_path):
    file = tmp_path / "misspelt.py"
    file.write_text(MISSPELT)
    root = pathlib.Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "mypy", "--no-error-summary", f"--cache-dir={tmp_path}"]
    ran = subprocess.run(
        [*command, str(file)], cwd=root, capture_output=True, text=True, timeout=600
    )
    lines = [line for line in ran.stdout.splitlines() if ": error: " in line]
    wrong = [n for n, line in enumerate(MISSPELT.split("\n"), 1) if line.endswith("# wrong")]
    assert [int(line.split(":")[1]) for line in lines] == wrong, ran.stdout + ran.stderr

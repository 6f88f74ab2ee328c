"""``check`` finds faults that are put into an attention, and names the law."""

from dataclasses import dataclass
from typing import Any

import pytest

from attention import variants
from attention.shapes import Sizes
from attention.testing import check
from tests.testing.page import FILES, TEXT, load

SOURCE = FILES["my_package/sigmoid.py"]
FIELD = "    capabilities: ClassVar[Capabilities] = Capabilities("
RATE = "    dropout_rate: float = 0.0\n"
DROPPING = """        rate = self.dropout_rate
        kept = jax.random.bernoulli(jax.random.key(0), 1 - rate, v_BHKE.shape[:3])
        v_BHKE = v_BHKE / (1 - rate) * kept[..., None]
"""
INIT = """    def init(self, rng, sizes):
        return {"scale": jnp.ones(sizes.heads)}, {}

"""


@dataclass(frozen=True)
class Fault:
    """A fault, as a change of the page's class.

    Attributes:
      name: what is wrong.
      law: the law that finds it.
      text: a line of the error says this too.
      changes: pairs of old and new source.
    """

    name: str
    law: str
    text: str
    changes: tuple[tuple[str, str], ...]


def fault(name: str, law: str, text: str, *changes: str, long: bool = False) -> Any:
    made = Fault(name, law, text, tuple(zip(changes[::2], changes[1::2], strict=True)))
    return pytest.param(made, id=name, marks=pytest.mark.long if long else ())


FAULTS = [
    fault("it is not frozen", "is a frozen value", "unhashable",
          "@dataclass(frozen=True)", "@dataclass"),
    fault("a parameter without axes", "every parameter names its axes", "not WithAxes",
          FIELD, INIT + FIELD),
    fault("Python branches on data", "jit changes nothing", "TracerBoolConversionError",
          "    if bias is not None:", "    if q_BQHD.sum() > 0 and bias is not None:"),
    fault("a cache that is not declared", "what is not declared is refused", "decoding",
          ', decoding="cached"', ""),
    fault("a scale of 1/D", "equal to the reference", "outputs differ by", "** 0.5", "** 1.0"),
    fault("a dropout rate that does nothing", "without an rng nothing is dropped",
          "with an rng nothing is dropped", FIELD, RATE + FIELD),
    fault("dropout in evaluation", "without an rng nothing is dropped", "with and without",
          FIELD, RATE + FIELD, "        return _gather(q", DROPPING + "        return _gather(q"),
    fault("the future is seen", "what comes later changes nothing", "after position 0",
          "v_BHKE, mask, bias, q_pos[None]", "v_BHKE, mask | ~Causal(), bias, q_pos[None]"),
    fault("the future is never seen", "without a causal mask the future is seen", "later",
          "v_BHKE, mask, bias, q_pos[None]", "v_BHKE, mask & Causal(), bias, q_pos[None]"),
    fault("NaN where nothing is seen", "a row that sees nothing is zero", "NaN",
          "jnp.log(visible_BHQ1)), 0)",
          "jnp.log(visible_BHQ1)), 0) / see_BHQK.sum(-1, keepdims=True)"),
    fault("not linear", "linear in the values", "outputs differ by",
          "kv_cache.zero_unseen(v_BHKE, see_BHQK)", "jnp.tanh(v_BHKE)"),
    fault("a cache with another axis first", "a cache has the batch first", "11 rows",
          "(sizes, batch, length, dtype)",
          '(sizes, batch, length, dtype) | {"step": jnp.zeros(1)}'),
    fault("a cached position one early", "cached decoding is the full pass", "positions 0 to",
          "jnp.arange(q_BQHD.shape[1])[None]\n", "jnp.arange(q_BQHD.shape[1])[None] - 1\n"),
    fault("all rows at one position", "a cache survives a beam reorder", "step 0",
          'cache["index_B"][:, None] +', '0 * cache["index_B"][:, None] + cache["index_B"][0] +'),
    fault("padding counts", "more padding changes nothing", "outputs differ by",
          "see_BHQK.sum(axis=-1, keepdims=True), 1", "k_BHKD.shape[2], 1"),
    fault("segments are ignored", "weights follow the mask", "encoder-segments",
          "mask.at(*positions), s", '("Segments" in str(mask)) | mask.at(*positions), s',
          long=True),
    fault("a bias is ignored", "a bias counts", "changes outputs by 0",
          "    if bias is not None:", "    if False:"),
    fault("half of a gradient", "gradients equal differences", "slopes differ",
          "** 0.5\n", "** 0.5\n    s_BHQK = (s_BHQK + jax.lax.stop_gradient(s_BHQK)) / 2\n",
          long=True),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault):
    source = SOURCE
    for old, new in fault.changes:
        assert old in source
        source = source.replace(old, new)
    attention = load("my_package.sigmoid", source).Sigmoid()
    reference = None
    if fault.law == "equal to the reference":
        name = "my_package.test_sigmoid"
        reference = load(name, FILES["my_package/test_sigmoid.py"]).reference
    with pytest.raises(AssertionError) as caught:
        check(attention, reference)
    assert str(caught.value).startswith(f"{fault.law} (Sigmoid")
    assert fault.text in str(caught.value)
    assert "\n" not in str(caught.value)
    if fault.name == "padding counts":  # as the page says
        assert str(caught.value).partition(" differ ")[0] in TEXT


@pytest.mark.slow
def test_a_cost_above_what_is_expected_is_found():
    attention = load("my_package.sigmoid", SOURCE).Sigmoid()
    with pytest.raises(AssertionError, match=r"^multiply adds grow .*: they grow as n\^2.00"):
        check(attention, multiply_adds=1.0)


def test_a_class_is_no_attention():
    with pytest.raises(TypeError, match=r"check: <class .*Linear'> is no Attention or TokenMixer"):
        check(variants.Linear)


def test_a_fixed_length_may_be_too_short():
    with pytest.raises(ValueError, match="Linformer is made for 8 positions; make it for 13"):
        check(variants.Linformer(length=8, rank=2))


@pytest.mark.long
@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        (variants.Softmax(), {"sums_to_one": True}),
        (variants.Local(left=2, right=1), {"multiply_adds": 1.0}),
        (variants.Linformer(length=16, rank=5), {}),
        (variants.Linear(), {"multiply_adds": 1.0}),
        (variants.ReLU(), {}),
        (variants.Longformer(left=1, right=2, first=1), {}),
        (variants.Reformer(buckets=4, chunk=3), {}),
        (variants.Sinkhorn(block=3, length=24), {}),
        (variants.BigBird(block=2), {}),
        (variants.Graph(), {}),
        (variants.Monotonic(), {}),
        (variants.Compressed(), {"mixes_channels": True}),
        (variants.LSTM(), {"multiply_adds": 1.0}),
        (variants.LSTM(bidirectional=False), {"multiply_adds": 1.0}),
        (variants.FNet(), {"sizes": (Sizes(3, 1, 1, 3),)}),
    ],
    ids=repr,
)
def test_ours_pass(attention, expected):
    assert len(check(attention, **expected)) > 20

"""The laws of outputs, weights and gradients; those of padding and of caches stand beside."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.analysis.matrices import effective_matrix
from attention.masks import Causal, Mask, Segments
from attention.protocols import WithAxes
from attention.shapes import Sizes
from attention.testing.case import Case, Inputs, qkv
from attention.testing.draw import Drawn, draw
from attention.testing.law import assert_close, assert_zero, expect, law
from attention.testing.masks import Setting, somewhere

FLOAT32, BFLOAT16 = 5e-6, 2e-2  # of outputs against the reference
ROUNDING = 1e-5
STEP = 1e-6
MOST = 1e4  # of a gradient where all that is drawn is about 1


@law
def is_a_frozen_value(case: Case) -> None:
    """A dataclass that is equal, and has the same hash, where all fields are."""
    attention = case.attention
    expect(is_dataclass(attention), "it is no dataclass")
    expect(hash(attention) == hash(replace(attention)), "two that are equal differ in their hash")
    expect(attention == replace(attention), "two with equal fields differ")
    frozen = type(attention).__dataclass_params__.frozen
    expect(frozen, "a field may be set: use @dataclass(frozen=True)")


@law
def every_parameter_names_its_axes(case: Case) -> None:
    """What ``init`` makes are ``WithAxes`` with a name, or None, for each axis."""
    made = case.attention.init(jax.random.key(0), case.sizes[0])
    for leaf in jax.tree.leaves(made, is_leaf=lambda leaf: isinstance(leaf, WithAxes)):
        expect(isinstance(leaf, WithAxes), f"init made a {type(leaf).__name__}, not WithAxes")
        expect(len(leaf.axes) == leaf.value.ndim, f"{leaf.axes} for shape {leaf.value.shape}")


@law
def equal_to_the_reference(
    setting: Setting,
    seed: int = 0,
    dtype: str = "float32",
    sizes: Sizes | None = None,
    q_len: int | None = None,
    k_len: int | None = None,
    bias: bool = False,
) -> None:
    """Equal to the paper's equation in float64 NumPy; see ``draw`` for what is drawn."""
    drawn = draw(setting, seed, dtype=dtype, sizes=sizes, q_len=q_len, k_len=k_len, bias=bias)
    expect(drawn.bias is not None or not bias, "no bias was drawn")
    ours = drawn.out()
    expect(ours.dtype == dtype, f"outputs are {ours.dtype}")
    assert_close(ours, drawn.expected(), FLOAT32 if dtype == "float32" else BFLOAT16)


@law
def gradients_equal_differences(setting: Setting) -> None:
    """Along one line through all that is differentiated, with a random weighing, in float64."""
    with jax.enable_x64(True):
        bias = setting.case.alone and setting.case.attention.capabilities.bias
        drawn = draw(setting, batch=1, q_len=4, k_len=3, dtype="float64", bias=bias)

        # Of ALiBi's slopes there is no gradient, and T5's table is of float32: see test_biases.py.
        array = drawn.bias if hasattr(drawn.bias, "shape") else None
        arguments = drawn.inputs, drawn.variables["params"], array
        random = np.random.default_rng(0)

        def out(inputs: Inputs, params: Any, array: Any) -> jax.Array:
            bias = drawn.bias if array is None else array
            variables = drawn.variables | {"params": params}
            return drawn.case.apply(drawn.sizes, variables, inputs, drawn.mask, bias)

        @jax.jit
        def value_and_grads(*arguments: Any) -> tuple[jax.Array, Any]:
            value, pull = jax.vjp(out, *arguments)
            weights = jnp.asarray(random.normal(size=value.shape))  # a constant of the program
            return (value * weights).sum(), pull(weights)

        direction = jax.tree.map(lambda x: random.normal(size=x.shape), arguments)

        def at(distance: float) -> tuple[jax.Array, Any]:
            moved = jax.tree.map(lambda x, d: np.asarray(x) + distance * d, arguments, direction)
            return value_and_grads(*moved)

        value, grads = at(0.0)
        expect(value.dtype == "float64", f"outputs are {value.dtype}")
        slope = sum(jax.tree.leaves(jax.tree.map(np.vdot, grads, direction)))
        difference = (at(STEP)[0] - at(-STEP)[0]) / (2 * STEP)
        assert_close(slope, difference, ROUNDING, "slopes")


@functools.cache
def matrix_of(case: Case) -> Callable:
    return jax.jit(functools.partial(effective_matrix, case.attention))


def weights_of(drawn: Drawn) -> np.ndarray:
    """The effective matrix, [B, H, Q, K]."""
    params, state = drawn.variables["params"], drawn.variables["state"]
    options = {"bias": drawn.bias, "x_BTM": drawn.inputs.get("x")}
    q, k, _ = qkv(drawn.inputs)
    return np.asarray(matrix_of(drawn.case)(params, state, q, k, drawn.mask, **options))


@law
def weights_follow_the_mask(setting: Setting, seed: int = 0) -> None:
    """The effective matrix is zero where the mask hides, and times the values is the output."""
    case = setting.case
    drawn = draw(setting, seed, k_len=case.lengths[-1])
    weights_BHQK, see_BHQK = weights_of(drawn), drawn.seen_BHQK
    hidden = np.abs(weights_BHQK[~see_BHQK]).max(initial=0)
    expect(hidden == 0, f"a key that the mask hides weighs {hidden:.2g}")
    if case.sums_to_one:
        assert_close(weights_BHQK.sum(-1), see_BHQK.any(-1), 2e-6, "sums of weights and 1")
    if not case.mixes and case.linear:  # it is held to derivatives, or to each way, elsewhere
        v_BKHE = np.repeat(np.asarray(qkv(drawn.inputs)[2]), case.groups, axis=2)
        out_BQHE = np.einsum("BHQK,BKHE->BQHE", weights_BHQK, v_BKHE)
        assert_close(drawn.out(), out_BQHE, ROUNDING, "outputs and weights times values")


@law
def weights_are_shares(setting: Setting) -> None:
    """None is below zero, and those of a query are together at most one."""
    weights_BHQK = weights_of(draw(setting, k_len=setting.case.lengths[-1]))
    expect(weights_BHQK >= 0, f"the least weight is {weights_BHQK.min():.2g}")
    most = weights_BHQK.sum(-1).max()
    expect(most <= 1 + ROUNDING, f"weights of a query add up to {most:.6f}")


@law
def linear_in_the_values(setting: Setting) -> None:
    drawn, other = draw(setting, 0), draw(setting, 1)
    one, two = (np.asarray(qkv(each.inputs)[2]) for each in (drawn, other))

    def out(v: np.ndarray) -> np.ndarray:
        return drawn.out(inputs=drawn.inputs | {"v": v})

    assert_close(out(2 * one - 3 * two), 2 * out(one) - 3 * out(two), ROUNDING)
    assert_zero(out(0 * one), "outputs of values that are zero")


@law
def a_bias_counts(setting: Setting) -> None:
    """A bias that is declared changes outputs, and one that is zero does not."""
    drawn = draw(setting, bias=True)
    change = np.abs(drawn.out() - drawn.out(bias=None)).max()
    expect(change > 1e-3, f"a bias of about 1 changes outputs by {change:.2g}")
    if hasattr(drawn.bias, "shape"):
        assert_close(drawn.out(bias=0 * drawn.bias), drawn.out(bias=None), ROUNDING)


def assert_the_past_stays(setting: Setting, dtype: str = "float32") -> None:
    """Replaces inputs after each i by others, large ones too; outputs up to i are the same."""
    drawn, later = (draw(setting, seed, dtype=dtype) for seed in (0, 1))
    exact = setting.case.attention.capabilities.causal == "exact"
    plain, changed = np.asarray(drawn.out()), False
    for i in range(drawn.shape.q_len - 1):
        inputs = dict(drawn.inputs)
        for name in inputs if exact else ["v"]:
            replaced = np.array(inputs[name])
            replaced[:, i + 1 :] = 30 * np.asarray(later.inputs[name])[:, i + 1 :]
            inputs[name] = replaced
        ours = np.asarray(drawn.out(inputs=inputs))
        what = f"with other inputs after position {i}, outputs before"
        assert_close(ours[:, : i + 1], plain[:, : i + 1], 0, what)
        changed = changed or bool(np.any(ours != plain))
        last = i + 2 == drawn.shape.q_len and not drawn.case.last_resort
        expect(not last or np.any(ours != plain), "the last token does not see itself")
    expect(changed, "no input changes an output")


@law
def what_comes_later_changes_nothing(setting: Setting, dtype: str = "float32") -> None:
    """Where the attention is causal in values only, no value that comes later does."""
    assert_the_past_stays(setting, dtype)


@law
def without_a_causal_mask_the_future_is_seen(case: Case) -> None:
    """Else the law above would hold for an attention that is causal whatever it is told."""
    try:
        assert_the_past_stays(Setting(case, "encoder", "all"))
    except AssertionError:
        return
    raise AssertionError("no output depends on what comes later")


@law
def packed_sequences_get_what_each_gets_alone(case: Case, slot: str) -> None:
    """Sequences of four and three tokens in one row, under ``Segments``."""
    drawn = draw(Setting(case, slot, "all"), q_len=7)
    segments: Mask = Segments(np.array([[1] * 4 + [2] * 3] * drawn.shape.batch))
    packed = drawn.out(mask=Causal() & segments if slot == "decoder" else segments)
    for part in (slice(0, 4), slice(4, None)):
        inputs = {name: np.asarray(x)[:, part] for name, x in drawn.inputs.items()}
        assert_close(packed[:, part], drawn.out(inputs=inputs), ROUNDING)


@law
def gradients_of_a_zero_token_are_of_ordinary_size(case: Case) -> None:
    """A real token that is zero, as a fresh layer makes of an empty embedding."""
    drawn = draw(somewhere(case))
    inputs = {name: np.array(x) for name, x in drawn.inputs.items()}
    for x in inputs.values():
        x[:, 1] = 0
    _, *grads = drawn.grads(inputs=inputs)
    for leaf in jax.tree.leaves(grads):
        expect(np.abs(leaf) < MOST, f"a gradient is {np.abs(leaf).max():.2g}")

"""jit, vmap, remat and scan change nothing beyond rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from attention.testing.case import Case, Inputs
from attention.testing.draw import Drawn, draw, weighted_sum
from attention.testing.law import assert_close, assert_finite, expect, law
from attention.testing.masks import somewhere

ROUNDING = 1e-5


def plain(drawn: Drawn) -> Callable:
    """A function of the inputs and the mask."""

    def attention(inputs: Inputs, mask: Any) -> jax.Array:
        return drawn.case.apply(drawn.sizes, drawn.variables, inputs, mask, drawn.bias)

    return attention


def mapped(attention: Callable) -> Callable:
    """Rows one at a time."""

    def rows(inputs: Inputs, mask: Any) -> jax.Array:
        one = jax.tree.map(lambda x: x[:, None], (inputs, mask))
        return jax.vmap(attention)(*one).swapaxes(0, 1)

    return rows


def recomputed(attention: Callable) -> Callable:
    checkpointed = jax.checkpoint(attention)
    return lambda inputs, mask: checkpointed(inputs, mask)[None]


def scanned(attention: Callable) -> Callable:
    """The same layer twice; inputs and mask are carried."""

    def layer(carry: Any, _: None) -> tuple[Any, jax.Array]:
        return carry, attention(*carry)

    return lambda inputs, mask: jax.lax.scan(layer, (inputs, mask), length=2)[1]


@law
def transforms_change_nothing(case: Case, transform: Callable) -> None:
    """vmap, remat and scan; a transform makes copies of the output."""
    drawn = draw(somewhere(case))
    out, grads, _ = drawn.grads()
    attention = transform(plain(drawn))

    def loss(inputs: Inputs, mask: Any) -> tuple[jax.Array, jax.Array]:
        copies = attention(inputs, mask)
        return weighted_sum(copies.mean(0)), copies

    our_grads, copies = jax.jit(jax.grad(loss, has_aux=True))(drawn.inputs, drawn.mask)
    for copy in np.asarray(copies):
        assert_close(copy, out, ROUNDING)
    for name, grad in grads.items():
        assert_finite(grad, f"gradients by {name}", zero=case.idle)
        assert_close(our_grads[name], grad, ROUNDING, f"gradients by {name}")


@law
def jit_changes_nothing(case: Case) -> None:
    """Where Python sees the numbers, as without jit, it asks for the same operations.

    Running them one by one would compile each.
    """
    drawn = draw(somewhere(case))
    traced = jax.make_jaxpr(plain(drawn))(drawn.inputs, drawn.mask)
    seen = jax.make_jaxpr(lambda: plain(drawn)(drawn.inputs, drawn.mask))()
    expect(len(traced.eqns) > 1, "it computes nothing")
    same = list(operations(traced.jaxpr)) == list(operations(seen.jaxpr))
    expect(same, "Python asks for other operations where it sees the numbers")
    expect(not traced.effects and not seen.effects, "something is called on the host")


def operations(jaxpr: Any) -> Iterator[Any]:
    """All operations in order, those of loops and branches too, with all that is constant."""
    for equation in jaxpr.eqns:
        params = equation.params.items()
        inner = [jaxpr_of(leaf) for leaf in jax.tree.leaves([value for _, value in params])]
        inner = [each for each in inner if each is not None]
        out = [str(variable.aval) for variable in equation.outvars]
        if inner:  # whether it takes a number as an argument or as a constant may differ
            yield equation.primitive.name, out
        else:
            settings = [(name, str(value)) for name, value in params if not callable(value)]
            given = [str(getattr(each, "val", each.aval)) for each in equation.invars]
            yield equation.primitive.name, out, settings, given
        for each in inner:
            yield from operations(each)


def jaxpr_of(value: Any) -> Any:
    value = getattr(value, "jaxpr", value)
    return value if hasattr(value, "eqns") else None

"""Costs grow no faster with the length than expected; nothing is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax

from attention.analysis.growth import exponent
from attention.analysis.multiply_adds import multiply_adds
from attention.testing.case import Inputs
from attention.testing.draw import Drawn, draw
from attention.testing.law import expect, law
from attention.testing.masks import Setting

EDGES = 0.1  # of an exponent: a window's first block is cheaper than the others
TRACED = 1024, 16384


def forward_and_grad(drawn: Drawn) -> dict[str, Callable]:
    """Functions of the inputs, the mask and the variables."""

    def out(inputs: Inputs, mask: Any, variables: Any) -> jax.Array:
        return drawn.case.apply(drawn.sizes, variables, inputs, mask)

    def total(*arguments: Any) -> jax.Array:
        return out(*arguments).sum(dtype="float32")

    return {"forward": out, "gradient": jax.grad(total)}


def shapes(drawn: Drawn) -> Any:
    """The shapes of the inputs, of the mask and of the variables."""
    all_three = drawn.inputs, drawn.mask, drawn.variables
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), all_three)


def grown(setting: Setting, length: int) -> Setting:
    """The setting with its attention made for a length, where that matters."""
    case = setting.case
    if case.grown is None:
        return setting
    return setting._replace(case=replace(case, attention=case.grown(length)))


def costs(measure: Callable, setting: Setting, part: str, lengths: tuple[int, ...]) -> list[int]:
    """What ``measure`` says of the forward pass or the gradient at each length; none is run."""
    drawn = [
        draw(grown(setting, length), batch=1, q_len=length, abstract=True) for length in lengths
    ]
    return [measure(forward_and_grad(one)[part], *shapes(one)) for one in drawn]


@law
def multiply_adds_grow_as_declared(setting: Setting, part: str = "forward") -> None:
    """Traced at 1k and 16k tokens; a length half-way would not move the slope that is fitted."""
    counted = costs(multiply_adds, setting, part, TRACED)
    expect(min(counted) > 0, "there are none")
    most, found = setting.case.multiply_adds, exponent(TRACED, counted)
    expect(found <= most + EDGES, f"they grow as n^{found:.2f}, expected at most n^{most:g}")

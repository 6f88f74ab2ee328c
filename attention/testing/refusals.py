"""What is not declared raises NotImplementedError, with the name and a remedy."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from attention.masks import Causal, Window
from attention.testing.case import Case, qkv
from attention.testing.draw import Drawn, draw
from attention.testing.law import expect, law
from attention.testing.masks import Setting


def ask(drawn: Drawn, **changes: Any) -> None:
    """Refusals are made in tracing: nothing is compiled."""
    drawn = replace(drawn, **changes)
    function = functools.partial(drawn.case.apply, drawn.sizes)
    jax.eval_shape(function, drawn.variables, drawn.inputs, drawn.mask, drawn.bias)


def causal(case: Case) -> None:
    drawn = draw(Setting(case, "encoder", "lengths"))
    ask(drawn, mask=Causal() & drawn.mask)


def cross(case: Case) -> None:
    drawn = draw(Setting(case, "cross", "lengths"), k_len=case.lengths[-1])
    inputs = drawn.inputs
    if case.alone and "k" not in inputs:  # the queries' projection makes the keys
        inputs = inputs | {"k": np.pad(qkv(inputs)[0], ((0, 0), (0, 1), (0, 0), (0, 0)))}
    ask(drawn, inputs=inputs)


def bias(case: Case) -> None:
    drawn = draw(Setting(case, "encoder", "lengths"))
    ask(drawn, bias=np.zeros(drawn.shape[:4], "float32"))


def decoding(case: Case) -> None:
    drawn = draw(Setting(case, "encoder", "lengths"))
    case.start(drawn.sizes, drawn.variables, 2, 8)


def window(case: Case) -> None:
    drawn = draw(Setting(case, "encoder", "lengths"))
    ask(drawn, mask=Window(2, 1) & drawn.mask)


REQUESTS: dict[Callable, Callable] = {
    window: lambda capabilities: capabilities.masks == "any",
    causal: lambda capabilities: capabilities.causal != "no",
    cross: lambda capabilities: capabilities.cross,
    bias: lambda capabilities: capabilities.bias,
    decoding: lambda capabilities: capabilities.decoding == "cached",
}


@law
def what_is_not_declared_is_refused(case: Case, request: Callable) -> None:
    """With one line: the name, what it cannot do, and what to use."""
    try:
        request(case)
    except NotImplementedError as error:
        fits = re.fullmatch(rf"{type(case.attention).__name__} .*; use \S+.*", str(error))
        expect(fits, f"the error does not name the class and a remedy: {error}")
        return
    raise AssertionError("it raises no NotImplementedError")


@law
def what_is_declared_is_not_refused(case: Case, request: Callable) -> None:
    request(case)

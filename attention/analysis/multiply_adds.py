"""Multiply-adds of a function, counted in its jaxpr rather than by the compiler.

XLA's own ``cost_analysis()`` counts the body of a loop once, and so calls tiled dense attention
linear in its length.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

# What runs its one body once; the name of the parameter that holds it.
_ONCE = {
    "jit": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
# What may multiply out of sight.
_OPAQUE = ("ffi_call", "pure_callback", "io_callback", "ragged_dot", "dot_product_attention")


def multiply_adds(function: Callable, *arguments: Any) -> int:
    """Counts the multiply-adds of ``function(*arguments)`` without running it.

    Only products of contractions count: each multiplication inside a matrix product or a
    convolution (where it meets no padding), and 2·n·log2(n) for a Fourier transform of length n.
    Elementwise work (softmax, masks, sums, sorting, factorisations) counts nothing. The dearest
    branch of a conditional counts, and what each device of a shard_map does. Work is counted as
    traced: what the compiler would find unused and remove is still in it.

    Args:
      function: of arrays, or of pytrees of them; static arguments must be bound beforehand.
      arguments: arrays or ``jax.ShapeDtypeStruct``.

    Returns:
      The number of multiply-adds.

    Raises:
      NotImplementedError: a product stands where how often it runs cannot be known, as in a
        ``while`` loop, or may be hidden in an opaque call.

        >>> import jax
        >>> import jax.numpy as jnp
        >>> x_QD, w_DF = jnp.ones((5, 3)), jnp.ones((3, 7))
        >>> multiply_adds(jnp.dot, x_QD, w_DF)
        105
        >>> def ten_times(x_DD):
        ...     return jax.lax.scan(lambda x, _: (x @ x, None), x_DD, length=10)
        >>> multiply_adds(ten_times, jnp.ones((4, 4)))
        640
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of_jaxpr(jaxpr: Any) -> int:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name in _PRODUCTS:
        return _PRODUCTS[name](equation)
    if name in _ONCE:
        return _of_jaxpr(_open(params[_ONCE[name]]))
    if name == "scan":
        return params["length"] * _of_jaxpr(params["jaxpr"].jaxpr)
    if name == "cond":
        return max(_of_jaxpr(branch.jaxpr) for branch in params["branches"])
    if name == "shard_map":
        mesh = params["mesh"].shape
        axes = params.get("newly_manual_axes", params.get("manual_axes", mesh))
        return math.prod(mesh[axis] for axis in axes) * _of_jaxpr(_open(params["jaxpr"]))
    if name.startswith(_OPAQUE):
        raise NotImplementedError(
            f"multiply_adds cannot look into {name}: count another kernel of the same function"
        )
    # Whatever else holds a jaxpr runs it an unknown number of times; zero stays zero.
    if any(_of_jaxpr(inner) for value in params.values() for inner in _jaxprs(value)):
        if name == "while":
            raise NotImplementedError(
                "multiply_adds cannot know how often a while loop runs: use jax.lax.scan, or "
                "fori_loop with bounds that are Python ints under jax.grad or jit"
            )
        raise NotImplementedError(
            f"multiply_adds does not know how often {name} runs the products inside it: "
            "count a form of the function that is made of scan, cond and jit"
        )
    return 0


def _dot_general(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)


def _convolution(equation: Any) -> int:
    params, numbers = equation.params, equation.params["dimension_numbers"]
    left, right = (variable.aval.shape for variable in equation.invars)
    out = equation.outvars[0].aval.shape
    met = 1  # pairs of an output and a tap that meet an input, over all spatial axes
    for axis, padding in enumerate(params["padding"]):
        met *= _pairs(
            length=left[numbers.lhs_spec[2 + axis]],
            taps=right[numbers.rhs_spec[2 + axis]],
            outputs=out[numbers.out_spec[2 + axis]],
            first=-padding[0],
            stride=params["window_strides"][axis],
            apart=params["rhs_dilation"][axis],
            spread=params["lhs_dilation"][axis],
        )
    batch, features = (out[axis] for axis in numbers.out_spec[:2])
    return batch * features * right[numbers.rhs_spec[1]] * met


def _pairs(
    *, length: int, taps: int, outputs: int, first: int, stride: int, apart: int, spread: int
) -> int:
    """Pairs of an output and a tap, along one axis, that meet an input rather than padding."""
    output_O1, tap_1T = np.arange(outputs, dtype=np.int64)[:, None], np.arange(taps)[None]
    place_OT = first + stride * output_O1 + apart * tap_1T
    met_OT = (place_OT >= 0) & (place_OT <= (length - 1) * spread) & (place_OT % spread == 0)
    return int(met_OT.sum())


def _fft(equation: Any) -> int:
    # Half as many butterflies as points, log2 n times; each a complex product of four.
    size = max(variable.aval.size for variable in (*equation.invars, *equation.outvars))
    return round(2 * size * math.log2(max(1, math.prod(equation.params["fft_lengths"]))))


_PRODUCTS = {"dot_general": _dot_general, "conv_general_dilated": _convolution, "fft": _fft}


def _open(jaxpr: Any) -> Any:
    return jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr


def _jaxprs(value: Any) -> Iterator[Any]:
    """The jaxprs in a parameter, however they are wrapped."""
    if isinstance(value, ClosedJaxpr | Jaxpr):
        yield _open(value)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _jaxprs(part)

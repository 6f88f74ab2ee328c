"""How a law fails: by an AssertionError of one line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np


def law(function: Callable) -> Callable:
    """Makes a law of a function: its errors say which law fails, in which setting, and by how much.

    Args:
      function: takes what the law is about, as a ``Setting`` or a ``Case``, and raises.

    Returns:
      The function, all of whose errors are AssertionErrors of one line.
    """
    name = function.__name__.replace("_", " ")

    @functools.wraps(function)
    def held(*arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
        except Exception as error:
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            (text, *_) = [*str(error).strip().splitlines(), ""]
            bound = inspect.signature(function).bind(*arguments, **options).arguments
            given = {key: getattr(value, "__name__", str(value)) for key, value in bound.items()}
            where = ", ".join(
                value if key in ("case", "setting") else f"{key}={value}"
                for key, value in given.items()
                if value != "None"
            )
            raise AssertionError(f"{name} ({where}): {kind}{text}") from error

    return held


def expect(holds: Any, text: str) -> None:
    """Raises AssertionError with the text unless something holds."""
    if not np.all(holds):
        raise AssertionError(text)


def numbers(x: Any) -> np.ndarray:
    """As float64, so that NumPy compares any dtype."""
    return np.asarray(x).astype(np.float64)


def assert_close(ours: Any, theirs: Any, tolerance: float, what: str = "outputs") -> None:
    """Raises AssertionError where numbers differ by more, absolutely and relatively, or are NaN."""
    ours, theirs = numbers(ours), numbers(theirs)
    expect(ours.shape == theirs.shape, f"{what} have shape {ours.shape}, expected {theirs.shape}")
    with np.errstate(invalid="ignore"):
        difference = np.where(ours == theirs, 0, np.abs(ours - theirs))
        wrong = ~(difference <= tolerance * (1 + np.abs(theirs)))
    expect(
        not wrong.any(),
        f"{what} differ by {difference.max(initial=0):.2g} in {wrong.sum()} of {wrong.size} "
        f"numbers, where {tolerance:g} is allowed",
    )


def assert_zero(x: Any, what: str) -> None:
    """Raises AssertionError where a number is not zero."""
    x = numbers(x)
    wrong = x != 0
    expect(not wrong.any(), f"{what} must be zero, and {wrong.sum()} of {x.size} numbers are not")


def assert_finite(x: Any, what: str, *, zero: bool = False) -> None:
    """Raises AssertionError where a number is NaN or infinite, or all are zero that may not be."""
    x = numbers(x)
    expect(np.isfinite(x), f"{what} must be finite, and hold NaN or infinity")
    expect(zero or np.any(x), f"{what} are all zero")

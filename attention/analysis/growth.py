"""How a cost grows with the length."""

from collections.abc import Sequence

import numpy as np


def exponent(lengths: Sequence[float], costs: Sequence[float]) -> float:
    """The a of costs ≈ c·lengthsᵃ, by least squares of the logarithms.

    Args:
      lengths: at least two different ones, above zero.
      costs: one for each length, above zero.

    Raises:
      ValueError: too few lengths, or what has no logarithm.

        >>> round(exponent([1024, 2048, 4096], [10, 40, 160]), 6)
        2.0
    """
    if len(lengths) != len(costs):
        raise ValueError(f"exponent: {len(lengths)} lengths and {len(costs)} costs; pair them")
    if len(set(lengths)) < 2:
        raise ValueError(f"exponent: lengths are {list(lengths)}; it needs two different ones")
    if min(*lengths, *costs) <= 0:
        raise ValueError(
            f"exponent: lengths {list(lengths)} and costs {list(costs)} must be above zero"
        )
    return float(np.polyfit(np.log(lengths), np.log(costs), 1)[0])

"""How the probability that the decoder reads gold falls with the step."""

import dataclasses
import math

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Constant:
    """Reads predictions at one rate for ever: gold has probability ``1 - rate``.

    Args:
      rate: the share of the decoder's input that comes from predictions.
    """

    rate: float

    def gold_probability(self, step: jax.typing.ArrayLike) -> jax.Array:
        return jnp.full(jnp.shape(step), 1.0 - self.rate, jnp.float32)


@dataclasses.dataclass(frozen=True)
class Linear:
    """Gold with probability ``max(floor, k - c * step)`` (Bengio et al. 2015, section 2.4).

    Args:
      k: the probability at step 0, in [0, 1].
      c: its fall a step, not negative.
      floor: the smallest probability of gold, epsilon in the paper.
    """

    k: float = 1.0
    c: float = 1e-4
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.k <= 1.0:
            raise ValueError(f"k must be in [0, 1], got {self.k}")

    def gold_probability(self, step: jax.typing.ArrayLike) -> jax.Array:
        return jnp.maximum(self.floor, self.k - self.c * jnp.asarray(step, jnp.float32))


@dataclasses.dataclass(frozen=True)
class Exponential:
    """Gold with probability ``k ** step`` (Bengio et al. 2015, section 2.4).

    Args:
      k: below 1, such as 0.9999.
    """

    k: float = 0.9999

    def __post_init__(self) -> None:
        if not 0.0 < self.k < 1.0:
            raise ValueError(f"k of an exponential decay must be in (0, 1), got {self.k}")

    def gold_probability(self, step: jax.typing.ArrayLike) -> jax.Array:
        return jnp.exp(math.log(self.k) * jnp.asarray(step, jnp.float32))


@dataclasses.dataclass(frozen=True)
class InverseSigmoid:
    """Gold with probability ``k / (k + exp(step / k))`` (Bengio et al. 2015, section 2.4).

    Args:
      k: at least 1, in steps; gold and predictions draw level at step ``k * log(k)``.
    """

    k: float = 1000.0

    def __post_init__(self) -> None:
        if not 1.0 <= self.k < math.inf:
            raise ValueError(f"k of an inverse sigmoid decay must be >= 1, got {self.k}")

    def gold_probability(self, step: jax.typing.ArrayLike) -> jax.Array:
        # The same value as the paper's, in the form that does not overflow.
        return jax.nn.sigmoid(math.log(self.k) - jnp.asarray(step, jnp.float32) / self.k)


Decay = Constant | Linear | Exponential | InverseSigmoid

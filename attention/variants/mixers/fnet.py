"""FNet: Lee-Thorp et al. 2021, "FNet: Mixing Tokens with Fourier Transforms"."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels.sharded import over_batch
from attention.protocols import Capabilities, MixerInputs, TokenMixer
from attention.shapes import Tree, accumulator

_LONGEST = 2**16  # beyond it, the square of a position overflows 32 bits


@dataclass(frozen=True)
class FNet(TokenMixer):
    """Re(F_seq(F_hidden(x))), the Fourier transforms over features and over positions (equation 3).

    The transform over positions is of each row's own length n: it runs over the real tokens in
    their order, so that neither padding nor the other rows of a batch change anything. Rows of
    unlike lengths go through one transform of a fixed size by Bluestein's algorithm (1970, "A
    linear filtering approach to the computation of discrete Fourier transform"):
    jk = (j² + k² - (k - j)²) / 2 makes the sum over j a convolution with a chirp, exp(iπ m² / n).

    Cost: about 20·T·log2(4T)·M multiply-adds for three transforms of 2T to 4T positions, and
    2·T·log2(M)·M for the one over features, in float32 or better.

    Raises:
      ValueError: more than 65,536 positions, for which the chirp's phase would be wrong.

        >>> x_BTM = jnp.ones((1, 3, 4))
        >>> out_BTM, _ = FNet().mix({}, {}, x_BTM, None)
        >>> round(float(out_BTM[0, 0, 0]), 4)
        12.0
    """

    name: ClassVar[str] = "fnet"

    capabilities: ClassVar[Capabilities] = Capabilities(
        projections="none",
        masks="padding and causal",
        time="n·log n·d",
        memory="n·d",
        attends_globally="all",
    )

    def _mix(
        self, params: Tree, state: Tree, inputs: MixerInputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        x_BTM, real_BT, _ = inputs
        if x_BTM.shape[1] > _LONGEST:
            raise ValueError(
                f"FNet: x_BTM has {x_BTM.shape[1]} positions; it needs at most {_LONGEST}: cut it"
            )
        return over_batch(_transform, {}, x_BTM, real_BT), state


def _transform(params: Tree, x_BTM: jax.Array, real_BT: jax.Array) -> jax.Array:
    """Of each row's real tokens, which are put together for it and then back in their places."""
    y_BTM = jnp.fft.fft(x_BTM.astype(accumulator(x_BTM.dtype)), axis=2)
    real_first_BT = jnp.argsort(~real_BT, axis=1, stable=True)
    y_BTM = jnp.take_along_axis(y_BTM, real_first_BT[..., None], axis=1)
    y_BTM = over_own_length(y_BTM, real_BT.sum(axis=1))
    place_BT = jnp.maximum(jnp.cumsum(real_BT, axis=1) - 1, 0)
    return jnp.take_along_axis(y_BTM.real, place_BT[..., None], axis=1)


def over_own_length(x_BTM: jax.Array, length_B: jax.Array) -> jax.Array:
    """The Fourier transform of each row's first ``length_B`` positions, by Bluestein's algorithm.

    Args:
      x_BTM: complex; zero from each row's length on.
      length_B: whole numbers.

    Returns:
      y_BTM, complex; from each row's length on it is nothing of use.
    """
    length = x_BTM.shape[1]
    size = 1 << (2 * length - 2).bit_length()  # at least 2·length - 1: nothing wraps around
    chirp_BT = _chirp(length_B, length, x_BTM.dtype)
    around_BS = jnp.concatenate(
        [chirp_BT, jnp.zeros((len(chirp_BT), size - 2 * length + 1), chirp_BT.dtype),
         chirp_BT[:, :0:-1]], axis=1,
    )  # fmt: skip
    against_BT1 = chirp_BT.conj()[..., None]
    spectrum_BSM = jnp.fft.fft(x_BTM * against_BT1, size, axis=1)
    spectrum_BSM *= jnp.fft.fft(around_BS, axis=1)[..., None]
    return jnp.fft.ifft(spectrum_BSM, axis=1)[:, :length] * against_BT1


def _chirp(length_B: jax.Array, count: int, dtype: Any) -> jax.Array:
    """exp(iπ m² / n) of the first ``count`` m, for each row's n; [B, count].

    Whole numbers hold m² modulo 2n and, in quarters of a turn, what is left of the phase: thousands
    of turns would lose its digits, and one turn loses two bits of them.
    """
    n_B1 = jnp.maximum(length_B, 1).astype(jnp.uint32)[:, None]
    m_1T = jnp.arange(count, dtype=jnp.uint32)[None]
    square_BT = m_1T**2 % (2 * n_B1)
    halves_BT = (2 * square_BT + n_B1) // (2 * n_B1)  # the nearest half turn
    rest_BT = square_BT.astype(jnp.int32) - (halves_BT * n_B1).astype(jnp.int32)
    real = jnp.finfo(dtype).dtype
    phase_BT = jnp.pi * (rest_BT.astype(real) / n_B1.astype(real))
    sign_BT = 1 - 2 * (halves_BT % 2).astype(real)
    return lax.complex(sign_BT * jnp.cos(phase_BT), sign_BT * jnp.sin(phase_BT)).astype(dtype)

"""Who sees whom, by the papers, as a question about two positions; softmax over what is seen."""

import numpy as np

from tests.reference.attention import softmax_attention


def patterned(sees, q_BQHD, k_BKHD, v_BKHE, see=None, bias=None):
    """Softmax attention where ``sees(i, j, head, heads)``."""
    heads, length = q_BQHD.shape[2], q_BQHD.shape[1]
    shape = (len(q_BQHD), heads, length, k_BKHD.shape[1])
    own_BHQK = np.zeros(shape, bool)
    for h, i, j in np.ndindex(*shape[1:]):
        own_BHQK[:, h, i, j] = sees(i, j, h, heads)
    own_BHQK &= np.broadcast_to(True if see is None else np.asarray(see), shape)
    return softmax_attention(q_BQHD, k_BKHD, v_BKHE, own_BHQK, bias)


def dilated(left, right, step):
    """Beltagy et al. 2020, section 3.1: gaps of size dilation."""
    return lambda i, j, h, heads: j in [i + m * step for m in range(-left, right + 1)]


def strided(stride):
    """Child et al. 2019, section 4.2: A1 and A2 together, both ways."""
    return lambda i, j, h, heads: abs(i - j) < stride or (i - j) % stride == 0


def strided_apart(stride):
    """The same, one after the other: the first heads see {t .. i} with t = i - l."""

    def sees(i, j, h, heads):
        return abs(i - j) <= stride if h < (heads + 1) // 2 else (i - j) % stride == 0

    return sees


def fixed(block, summary):
    """The same section: floor(j/l) = floor(i/l), or j mod l in {l - c, ..., l - 1}."""

    def sees(i, j, h, heads):
        return i // block == j // block or j % block in range(block - summary, block)

    return sees


def fixed_apart(block, summary):
    """The same by head."""

    def sees(i, j, h, heads):
        if h < (heads + 1) // 2:
            return i // block == j // block
        return j % block in range(block - summary, block)

    return sees


def global_tokens(chosen):
    """A few see all and are seen by all; the others see them and themselves."""
    return lambda i, j, h, heads: i in chosen or j in chosen or i == j


def grid(width, rows, columns):
    """A rectangle of pixels around one."""

    def sees(i, j, h, heads):
        (y, x), (v, u) = divmod(i, width), divmod(j, width)
        return -rows <= v - y <= rows and -columns <= u - x <= columns

    return sees


def axial(width):
    """The same row, or the same column."""
    return lambda i, j, h, heads: i // width == j // width or i % width == j % width


def per_head(windows):
    """(left, right, step) of each head."""
    return lambda i, j, h, heads: dilated(*windows[h])(i, j, h, heads)

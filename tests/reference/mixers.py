"""Token mixers without attention, token by token.

``see`` is the mask [B, H, Q, K]: a token is real where it sees any; the mask is causal where no
token sees one after itself, though there are real ones.
"""

import numpy as np


def real_of(see):
    """Which tokens are no padding, [B, T]."""
    return np.asarray(see).any(axis=(1, 3))


def fnet(params, x_BTM, memory, see):
    """Lee-Thorp et al. 2021, equation 3: the real part of a two-dimensional DFT of each text."""
    out_BTM = np.zeros(x_BTM.shape)
    for b, real_T in enumerate(real_of(see)):
        text_NM = np.asarray(x_BTM[b], np.float64)[real_T]
        w_NN, w_MM = (
            np.exp(-2j * np.pi * np.outer(range(n), range(n)) / max(n, 1)) for n in text_NM.shape
        )
        out_BTM[b, real_T] = (w_NN @ text_NM @ w_MM).real
    return out_BTM

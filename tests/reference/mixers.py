"""Token mixers without attention, token by token.

``see`` is the mask [B, H, Q, K]: a token is real where it sees any; the mask is causal where no
token sees one after itself, though there are real ones.
"""

from functools import partial

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


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _lstm_cell(x, h, c, w, u, b):
    """Gers et al. 2000: input, forget, cell and output gates, in this order."""
    i, f, g, o = (w[:, n].T @ x + u[:, n].T @ h + b[n] for n in range(4))
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _gru_cell(x, h, c, w, u, b):
    """Cho et al. 2014, equations 5 to 8: reset and update gate, and the candidate."""
    r, z = (_sigmoid(w[:, n].T @ x + u[:, n].T @ h + b[n]) for n in range(2))
    new = np.tanh(w[:, 2].T @ x + u[:, 2].T @ (r * h) + b[2])
    return z * h + (1 - z) * new, c


def _recurrent(cell, params, x_BTM, memory, see):
    """Each text read word by word, and, where there are two sets of weights, backwards too."""
    own = {n: np.asarray(p, np.float64) for n, p in params["own"]["learned"].items()}
    out_BTM = np.zeros(x_BTM.shape)
    for b, real_T in enumerate(real_of(see)):
        words = np.flatnonzero(real_T)
        for way, order in zip(range(len(own["input"])), (words, words[::-1]), strict=False):
            h = c = np.zeros(own["input"].shape[-1])
            for t in order:
                x = np.asarray(x_BTM[b, t], np.float64)
                h, c = cell(x, h, c, *(own[n][way] for n in ("input", "hidden", "bias")))
                out_BTM[b, t] += own["out"][way].T @ h
        out_BTM[b, words] += own["out_bias"]
    return out_BTM


lstm, gru = partial(_recurrent, _lstm_cell), partial(_recurrent, _gru_cell)

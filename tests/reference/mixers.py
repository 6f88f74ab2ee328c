"""Token mixers without attention, token by token.

``see`` is the mask [B, H, Q, K]: a token is real where it sees any; the mask is causal where no
token sees one after itself, though there are real ones.
"""

import math
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


def conv(params, x_BTM, memory, see, kind, left):
    """Kaiser et al. 2018, and Wu et al. 2019, equations 3 to 6: offsets from -left on."""
    own = {n: np.asarray(p, np.float64) for n, p in params["own"]["learned"].items()}
    x_BTM, real_BT = np.asarray(x_BTM, np.float64), real_of(see)
    u_BTM, out_BTM = x_BTM, np.zeros(x_BTM.shape)
    if kind != "separable":
        value, gate = (x_BTM @ own["in"][:, n] + own["in_bias"][n] for n in range(2))
        u_BTM = value * _sigmoid(gate)
    for b, t in np.argwhere(real_BT):
        w_WH = own["kernel"]
        if kind == "dynamic":
            w_WH = np.einsum("m,mwh->wh", u_BTM[b, t], w_WH)
        if kind != "separable":
            w_WH = np.exp(w_WH) / np.exp(w_WH).sum(axis=0)
        w_WM = np.repeat(w_WH, x_BTM.shape[2] // w_WH.shape[1], axis=1)
        seen = [(o, t + o - left) for o in range(len(w_WM)) if 0 <= t + o - left < x_BTM.shape[1]]
        y_M = sum(w_WM[o] * u_BTM[b, at] for o, at in seen if np.asarray(see)[b, 0, t, at])
        out_BTM[b, t] = y_M @ own["out"] + own["out_bias"]
    return out_BTM


def mlp_mixer(params, x_BTM, memory, see):
    """Tolstikhin et al. 2021, equation 1, its first line, for sentences filled up to the length."""
    own = {n: np.asarray(p, np.float64) for n, p in params["own"]["learned"].items()}
    real_BT1 = real_of(see)[..., None]
    full_BLM = np.zeros((len(x_BTM), len(own["in"]), x_BTM.shape[2]))
    full_BLM[:, : x_BTM.shape[1]] = np.where(real_BT1, np.asarray(x_BTM, np.float64), 0)
    out_BTM = np.zeros(x_BTM.shape)
    for b, m in np.ndindex(len(x_BTM), x_BTM.shape[2]):
        h_F = full_BLM[b, :, m] @ own["in"] + own["in_bias"]
        h_F *= [(1 + math.erf(h / math.sqrt(2))) / 2 for h in h_F]
        out_BTM[b, :, m] = (h_F @ own["out"] + own["out_bias"])[: x_BTM.shape[1]]
    return np.where(real_BT1, out_BTM, 0)

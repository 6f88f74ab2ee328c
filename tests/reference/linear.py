"""Attention by reordered products, in the order of softmax attention: pair by pair, in float64."""

import math

import numpy as np


def _gathered(weights, q_BQHD, k_BKHD, v_BKHE, see):
    """Σ_j w_j v_j, one query at a time; ``weights(b, i, h, keys)`` for the keys that it sees."""
    (batch, q_len, heads, _), k_len = q_BQHD.shape, k_BKHD.shape[1]
    see_BHQK = np.broadcast_to(True if see is None else see, (batch, heads, q_len, k_len))
    out_BQHE = np.zeros((batch, q_len, heads, v_BKHE.shape[3]))
    for b, h, i in np.ndindex(batch, heads, q_len):
        keys = np.flatnonzero(see_BHQK[b, h, i])
        if keys.size:
            out_BQHE[b, i, h] = weights(b, i, h, keys) @ np.asarray(v_BKHE[b, keys, h], np.float64)
    return out_BQHE


def _normalised(weight, q, k, v, see):
    """``weight(q_D, k_D, h)``, divided by the sum of the weights of all keys seen."""

    def weights(b, i, h, keys):
        w = np.array([weight(q[b, i, h], k[b, j, h], h) for j in keys])
        return w / w.sum() if w.sum() else 0 * w

    return _gathered(weights, q, k, v, see)


def linear(q, k, v, see=None, bias=None):
    """Katharopoulos et al. 2020, equation 4 with the similarity of section 3.2."""
    q, k = (np.asarray(x, np.float64) for x in (q, k))

    def phi(x):
        return np.array([y + 1 if y > 0 else math.exp(y) for y in x])

    return _normalised(lambda q, k, h: phi(q) @ phi(k), q, k, v, see)


def efficient(q, k, v, see=None, bias=None):
    """Shen et al. 2018, section 3.3: each feature's softmax over the keys seen, mixed by q's."""
    q, k = (np.asarray(x, np.float64) for x in (q, k))

    def softmax(x, axis):
        powers = np.exp(x - x.max(axis, keepdims=True))
        return powers / powers.sum(axis, keepdims=True)

    def weights(b, i, h, keys):
        return softmax(k[b, keys, h], 0) @ softmax(q[b, i, h], 0)

    return _gathered(weights, q, k, v, see)


def performer(q, k, v, see=None, bias=None, state=None, kind="softmax"):
    """Choromanski et al. 2021, equation 5 with lemma 1, and the ReLU of section 2.2's end."""
    q, k = (np.asarray(x, np.float64) / q.shape[-1] ** 0.25 for x in (q, k))
    draws_HRD = np.asarray(state["draws_HRD"], np.float64)

    def phi(x, h):
        wx = draws_HRD[h] @ x
        numbers = np.exp(wx - x @ x / 2) if kind == "softmax" else np.maximum(wx, 0)
        return numbers / math.sqrt(len(wx))

    return _normalised(lambda q, k, h: phi(q, h) @ phi(k, h), q, k, v, see)


def rfa(q, k, v, see=None, bias=None, params=None, state=None, x_BTM=None, floor=0.01):
    """Peng et al. 2021, equations 4 to 7; sin·sin + cos·cos as the cosine of the difference.

    A gate leaves of every key what the gates of the tokens between it and the query leave.
    """
    q, k = (np.asarray(x, np.float64) for x in (q, k))
    q, k = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (q, k))
    own = {name: np.asarray(x, np.float64) for name, x in params.items()}
    draws_HRD = np.asarray(state["draws_HRD"], np.float64) / np.exp(own["log_sigma"])[:, None]
    gate_BTH = None
    if x_BTM is not None:
        gate_BTH = 1 / (1 + np.exp(-(np.asarray(x_BTM, np.float64) @ own["gate"] + own["bias"])))

    def share(b, i, j, h, keys):
        if gate_BTH is None:
            return 1.0
        between = [n for n in keys if j < n <= i or i <= n < j]
        return (1 - gate_BTH[b, j, h]) * math.prod(gate_BTH[b, n, h] for n in between)

    def weights(b, i, h, keys):
        shares = np.array([share(b, i, j, h, keys) for j in keys])
        cosines = [np.cos(draws_HRD[h] @ (q[b, i, h] - k[b, j, h])).mean() for j in keys]
        w = shares * cosines
        least = floor * shares.sum()
        total = w.sum() if abs(w.sum()) >= least else math.copysign(least, w.sum())
        return w / total

    return _gathered(weights, q, k, v, see)

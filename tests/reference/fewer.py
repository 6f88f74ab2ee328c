"""Attentions to fewer keys than there are tokens, and of patterns that are learned."""

import math

import numpy as np


def _real(see_BHQK):
    """Which queries and which keys are no padding."""
    see_BQK = np.asarray(see_BHQK).any(axis=1)
    return see_BQK.any(axis=2), see_BQK.any(axis=1)


def _softmax(scores):
    powers = np.exp(scores - max(scores))
    return powers / powers.sum()


def linformer(q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, params=None):
    """Wang et al. 2020, equation 7, with keys and values laid into matrices of the full length."""
    q, k, v = (np.asarray(x, np.float64) for x in (q_BQHD, k_BKHD, v_BKHE))
    e = np.asarray(params["keys"], np.float64)
    f = np.asarray(params["values"], np.float64) if "values" in params else e
    (batch, q_len, heads, size), k_len = q.shape, k.shape[1]
    q_real_BQ, k_real_BK = _real(see)
    out_BQHE = np.zeros((batch, q_len, heads, v.shape[3]))
    for b, h in np.ndindex(batch, heads):
        e_RL, f_RL = (w[h] if w.ndim == 3 else w for w in (e, f))
        k_LD, v_LE = (np.zeros((e_RL.shape[1], x.shape[3])) for x in (k, v))
        for j in range(k_len):
            if k_real_BK[b, j]:
                k_LD[j], v_LE[j] = k[b, j, h], v[b, j, h]
        for i in np.flatnonzero(q_real_BQ[b]):
            scores = (e_RL @ k_LD) @ q[b, i, h] / math.sqrt(size)
            out_BQHE[b, i, h] = _softmax(scores) @ (f_RL @ v_LE)
    return out_BQHE


def compressed(q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, params=None, *, kernel, stride, causal):
    """Liu et al. 2018, section 4.2.3: keys and values by a strided convolution, one at a time."""
    q, k, v = (np.asarray(x, np.float64) for x in (q_BQHD, k_BKHD, v_BKHE))
    w_k, w_v = (np.asarray(params[name], np.float64) for name in ("keys", "values"))
    q_real_BQ, k_real_BK = _real(see)
    (batch, q_len, heads, size), k_len = q.shape, k.shape[1]
    out_BQHE = np.zeros((batch, q_len, heads, v.shape[3]))
    for b, h in np.ndindex(batch, heads):
        for i in np.flatnonzero(q_real_BQ[b]):
            keys, values = [], []
            for first in range(0, k_len, stride):
                inside = range(first, first + kernel)
                real = [j for j in inside if j < k_len and k_real_BK[b, j]]
                if not real or (causal and inside[-1] > i):
                    continue
                keys.append(sum(w_k[h, j - first].T @ k[b, j, h] for j in real))
                values.append(sum(w_v[h, j - first].T @ v[b, j, h] for j in real))
            if keys:
                scores = np.stack(keys) @ q[b, i, h] / math.sqrt(size)
                out_BQHE[b, i, h] = _softmax(scores) @ np.stack(values)
    return out_BQHE

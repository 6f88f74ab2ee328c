"""Attentions of other scores and normalisers than softmax of products, pair by pair."""

import math

import numpy as np


def _gathered(score, weights, q_BQHD, k_BKHD, v_BKHE, see, bias):
    """weights(scores of what is seen) v, one query at a time; ``score(b, i, j, h)``."""
    (batch, q_len, heads, _), k_len = q_BQHD.shape, k_BKHD.shape[1]
    shape = (batch, heads, q_len, k_len)
    see_BHQK = np.broadcast_to(True if see is None else np.asarray(see), shape)
    bias_BHQK = np.broadcast_to(0.0 if bias is None else np.asarray(bias, np.float64), shape)
    out_BQHE = np.zeros((batch, q_len, heads, v_BKHE.shape[3]))
    for b, h, i in np.ndindex(batch, heads, q_len):
        keys = np.flatnonzero(see_BHQK[b, h, i])
        scores = [score(b, i, j, h) + bias_BHQK[b, h, i, j] for j in keys]
        for j, weight in zip(keys, weights(scores), strict=True):
            out_BQHE[b, i, h] += weight * np.asarray(v_BKHE[b, j, h], np.float64)
    return out_BQHE


def _softmax(scores):
    powers = [math.exp(s - max(scores)) for s in scores]
    return [power / sum(powers) for power in powers]


def additive(q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, params=None):
    """Bahdanau et al. 2015, appendix A.1.2: v' tanh(W s + U h), softmax."""
    q, k = np.asarray(q_BQHD, np.float64), np.asarray(k_BKHD, np.float64)
    w_q, w_k, w = (np.asarray(params[n], np.float64) for n in ("query", "key", "score"))

    def score(b, i, j, h):
        return w[h] @ np.tanh(w_q[h].T @ q[b, i, h] + w_k[h].T @ k[b, j, h])

    return _gathered(score, _softmax, q, k, v_BKHE, see, bias)


def relu(q_BQHD, k_BKHD, v_BKHE, see=None, bias=None):
    """Wortsman et al. 2023: relu of the scaled product, divided by how many keys there are."""
    q, k = np.asarray(q_BQHD, np.float64), np.asarray(k_BKHD, np.float64)

    def score(b, i, j, h):
        return q[b, i, h] @ k[b, j, h] / math.sqrt(q.shape[-1])

    return _gathered(
        score, lambda scores: [max(s, 0.0) / len(scores) for s in scores], q, k, v_BKHE, see, bias
    )


def learned_temperature(q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, params=None):
    """Lee et al. 2021, section 3.2: the scores divided by a learned temperature of the head."""
    q, k = np.asarray(q_BQHD, np.float64), np.asarray(k_BKHD, np.float64)
    tau_H = math.sqrt(q.shape[-1]) * np.exp(np.asarray(params["temperature"], np.float64))

    def score(b, i, j, h):
        return q[b, i, h] @ k[b, j, h] / tau_H[h]

    return _gathered(score, _softmax, q, k, v_BKHE, see, bias)


def cosine(q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, params=None):
    """Henry et al. 2020, section 2: a learned factor times the cosine of query and key."""
    q, k = np.asarray(q_BQHD, np.float64), np.asarray(k_BKHD, np.float64)
    g_H = np.asarray(params["scale"], np.float64)

    def score(b, i, j, h):
        norms = np.linalg.norm(q[b, i, h]) * np.linalg.norm(k[b, j, h])
        return g_H[h] * (q[b, i, h] @ k[b, j, h]) / norms

    return _gathered(score, _softmax, q, k, v_BKHE, see, bias)

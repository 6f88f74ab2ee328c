"""Attention in float64 NumPy, one query at a time, as the papers' equations read."""

import math

import numpy as np


def softmax_attention(q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, scale=None):
    """Vaswani et al. 2017, equation 1: only visible keys are ever touched.

    `see` and `bias` broadcast to [B, H, Q, K]. A query that sees nothing gets zeros.
    """
    q_BQHD, k_BKHD, v_BKHE = (np.asarray(x, np.float64) for x in (q_BQHD, k_BKHD, v_BKHE))
    batch, q_len, heads, size = q_BQHD.shape
    shape = (batch, heads, q_len, k_BKHD.shape[1])
    see_BHQK = np.broadcast_to(True if see is None else np.asarray(see), shape)
    bias_BHQK = np.broadcast_to(0.0 if bias is None else np.asarray(bias, np.float64), shape)
    scale = 1 / math.sqrt(size) if scale is None else scale
    out_BQHE = np.zeros((batch, q_len, heads, v_BKHE.shape[3]))
    for b, h, i in np.ndindex(batch, heads, q_len):
        keys = [j for j in range(shape[3]) if see_BHQK[b, h, i, j]]
        scores = [
            scale * sum(q_BQHD[b, i, h] * k_BKHD[b, j, h]) + bias_BHQK[b, h, i, j] for j in keys
        ]
        weights = [math.exp(score - max(scores)) for score in scores]
        for j, weight in zip(keys, weights, strict=True):
            out_BQHE[b, i, h] += weight / sum(weights) * v_BKHE[b, j, h]
    return out_BQHE


def local_attention(q_BQHD, k_BKHD, v_BKHE, left, right, see=None, bias=None):
    """Softmax attention of i over the keys i - left .. i + right, less the hidden ones."""
    shape = (*q_BQHD.shape[:1], q_BQHD.shape[2], q_BQHD.shape[1], k_BKHD.shape[1])
    near_BHQK = np.zeros(shape, bool)
    for i in range(shape[2]):
        for j in range(max(0, i - left), min(shape[3] - 1, i + right) + 1):
            near_BHQK[:, :, i, j] = True
    near_BHQK &= np.broadcast_to(True if see is None else np.asarray(see), shape)
    return softmax_attention(q_BQHD, k_BKHD, v_BKHE, near_BHQK, bias)


def multi_head(params, x_BQM, memory_BKM, see=None, rotate=lambda x_TD: x_TD):
    """Section 3.2.2: Concat(head_1, ..., head_h) W_O, one head and one sentence after another.

    `params` has query, key, value [M, H, D] and out [H, E, M], each with its bias; `rotate` turns
    the queries and keys of one head, [T, D].
    """
    x_BQM, memory_BKM = np.asarray(x_BQM, np.float64), np.asarray(memory_BKM, np.float64)
    p = {
        name: {k: np.asarray(a, np.float64) for k, a in part.items()}
        for name, part in params.items()
    }
    heads = p["query"]["kernel"].shape[1]
    shape = (len(x_BQM), heads, x_BQM.shape[1], memory_BKM.shape[1])
    see_BHQK = np.broadcast_to(True if see is None else np.asarray(see), shape)
    out_BQM = np.tile(p["out"]["bias"], (*x_BQM.shape[:2], 1))
    for b, h in np.ndindex(len(x_BQM), heads):
        q_QD, k_KD, v_KE = (
            x_TM @ p[name]["kernel"][:, h] + p[name]["bias"][h]
            for name, x_TM in (
                ("query", x_BQM[b]),
                ("key", memory_BKM[b]),
                ("value", memory_BKM[b]),
            )
        )
        one = (rotate(q_QD), rotate(k_KD), v_KE)
        head_1Q1E = softmax_attention(*(a[None, :, None] for a in one), see_BHQK[b, h])
        out_BQM[b] += head_1Q1E[0, :, 0] @ p["out"]["kernel"][h]
    return out_BQM

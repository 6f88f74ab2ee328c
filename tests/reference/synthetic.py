"""Synthesizers, score by score."""

import math

import numpy as np


def _float64(tree):
    if isinstance(tree, dict):
        return {name: _float64(leaf) for name, leaf in tree.items()}
    return np.asarray(tree, np.float64)


def _layers(own, h, x_M):
    """Tay et al. 2021, equation 2, of one head: W2 relu(W1 x + b1) + b2."""
    hidden = np.maximum(own["in"][:, h].T @ x_M + own["in_bias"][h], 0)
    return own["out"][h].T @ hidden + own["out_bias"][h]


def synthesizer(
    q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, params=None, state=None, x_BTM=None, *, parts, a
):
    """Tay et al. 2021, section 3: softmax of a mixture of scores; ``a`` columns of b each."""
    q, k, v = (_float64(x) for x in (q_BQHD, k_BKHD, v_BKHE))
    params, state = _float64(params or {}), _float64(state or {})
    (batch, length, heads, size), see = q.shape, np.asarray(see)

    def score(part, b, h, i, j):
        if part == "dot":
            return q[b, i, h] @ k[b, j, h] / math.sqrt(size)
        if part in ("random", "fixed"):
            return (params | state)[part][h, i, j]
        own = params[part]
        if part == "factorised_random":
            return own["left"][h, i] @ own["right"][h, j]
        f = _layers(own, h, np.asarray(x_BTM[b, i], np.float64))
        return f[j] if part == "dense" else f[j // (len(f) - a)] * f[a + j % (len(f) - a)]

    alpha = np.exp(params.get("mixture", np.zeros(1)))
    alpha /= alpha.sum()
    out_BQHE = np.zeros((batch, length, heads, v.shape[3]))
    for b, h, i in np.ndindex(batch, heads, length):
        if keys := [j for j in range(length) if see[b, h, i, j]]:
            scores = [
                sum(w * score(part, b, h, i, j) for w, part in zip(alpha, parts, strict=True))
                for j in keys
            ]
            powers = np.exp(np.array(scores) - max(scores))
            out_BQHE[b, i, h] = powers / powers.sum() @ v[b, keys, h]
    return out_BQHE

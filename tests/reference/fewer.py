"""Attentions to fewer keys than there are tokens, and of patterns that are learned."""

import itertools
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


def _balanced(m_NJ, iterations, causal):
    """Rows, then columns, divided by their sums; causally by those of the rows so far."""
    for _ in range(iterations):
        for i in range(len(m_NJ)):
            m_NJ[i] /= m_NJ[i].sum() or 1
        before = m_NJ.copy()
        for i, j in np.argwhere(m_NJ > 0):
            m_NJ[i, j] /= before[: i + 1 if causal else None, j].sum()
    return m_NJ


def sinkhorn(
    q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, params=None, x_BTM=None, *, attend, causal
):
    """Tay et al. 2020, section 3, of real tokens alone; ``attend`` has the fields."""
    q, k, v, x = (np.asarray(a, np.float64) for a in (q_BQHD, k_BKHD, v_BKHE, x_BTM))
    w_MHN, b_HN = (np.asarray(params[name], np.float64) for name in ("kernel", "bias"))
    real_BQ, _ = _real(see)
    (batch, _, heads, size), c = q.shape, attend.block
    out_BQHE = np.zeros((*q.shape[:3], v.shape[3]))
    for b, h in np.ndindex(batch, heads):
        real = [int(t) for t in np.flatnonzero(real_BQ[b])]
        blocks = sorted({t // c for t in real})
        sort = np.zeros((len(blocks), len(blocks)))
        for i, j in np.ndindex(sort.shape):
            first = blocks[i] * c
            pooled = sum(x[b, t] for t in real if (t <= first if causal else t // c == blocks[i]))
            if not causal or j < i:
                score = pooled @ w_MHN[:, h, blocks[j]] + b_HN[h, blocks[j]]
                sort[i, j] = np.exp(score / attend.temperature)
        sort = _balanced(sort, attend.iterations, causal)
        # Of each sorted block, the slots to which some token comes: keys and values.
        fetched = [[] for _ in blocks]
        for i, slot in itertools.product(range(len(blocks)), range(c)):
            sources = [
                j for j in range(i if causal else len(blocks)) if blocks[j] * c + slot in real
            ]
            if sources:
                fetched[i].append(
                    [
                        sum(sort[i, j] * a[b, blocks[j] * c + slot, h] for j in sources)
                        for a in (k, v)
                    ]
                )
        for t in real:
            if attend.cut:
                pairs = list(itertools.chain(*fetched[: attend.cut]))
            else:
                own = [s for s in real if s // c == t // c and not (causal and s > t)]
                pairs = fetched[blocks.index(t // c)] + [[k[b, s, h], v[b, s, h]] for s in own]
            keys, values = (np.stack(a) for a in zip(*pairs, strict=True))
            out_BQHE[b, t, h] = _softmax(keys @ q[b, t, h] / math.sqrt(size)) @ values
    return out_BQHE

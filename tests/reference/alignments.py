"""Attentions that carry their alignment, in float64 NumPy: query by query, key by key."""

import numpy as np


def _carried(align, first, q_BQHD, k_BKHD, v_BKHE, see):
    """Σ_j α_ij v_j, α_i = align(b, i, h, α_(i-1), the keys that are real); padding is left out."""
    (batch, q_len, heads, _), k_len = q_BQHD.shape, k_BKHD.shape[1]
    see_BHQK = np.broadcast_to(
        True if see is None else np.asarray(see), (batch, heads, q_len, k_len)
    )
    out_BQHE = np.zeros((batch, q_len, heads, v_BKHE.shape[3]))
    for b, h in np.ndindex(batch, heads):
        alignment_K = first(k_len)
        for i in range(q_len):
            keys = np.flatnonzero(see_BHQK[b, h, i])
            if len(keys) == 0:
                continue
            alignment_K = align(b, i, h, alignment_K, keys)
            for j in keys:
                out_BQHE[b, i, h] += alignment_K[j] * np.asarray(v_BKHE[b, j, h], np.float64)
    return out_BQHE


def location(q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, params=None):
    """Chorowski et al. 2015: softmax of w' tanh(W s + V h + U f + b), f = F * α."""
    q, k = np.asarray(q_BQHD, np.float64), np.asarray(k_BKHD, np.float64)
    p = {name: np.asarray(leaf, np.float64) for name, leaf in params.items()}
    half = p["filters"].shape[1] // 2

    def align(b, i, h, alignment_K, keys):
        scores = []
        for j in keys:
            f_C = np.zeros(p["filters"].shape[2])
            for offset in range(-half, half + 1):
                if 0 <= j - offset < len(alignment_K):
                    f_C += p["filters"][h, offset + half] * alignment_K[j - offset]
            hidden_R = p["query"][h].T @ q[b, i, h] + p["key"][h].T @ k[b, j, h]
            hidden_R = hidden_R + p["location"][h].T @ f_C + p["hidden_bias"][h]
            scores.append(p["score"][h] @ np.tanh(hidden_R))
        powers = np.exp(np.array(scores) - max(scores))
        new_K = np.zeros(len(alignment_K))
        new_K[keys] = powers / powers.sum()
        return new_K

    return _carried(align, np.zeros, q, k, v_BKHE, see)


def monotonic_energy(params, q_D, k_D, h):
    """Raffel et al. 2017, section 2.4: g v' tanh(W s + V h + b) / |v| + r."""
    p = {name: np.asarray(leaf, np.float64)[h] for name, leaf in params.items()}
    hidden_R = np.tanh(p["query"].T @ q_D + p["key"].T @ k_D + p["hidden_bias"])
    return p["gain"] * (p["score"] @ hidden_R) / np.sqrt((p["score"] ** 2).sum()) + p["offset"]


def monotonic(q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, params=None):
    """Its expected alignment, as a sum over where the query before stopped (equation 9)."""
    q, k = np.asarray(q_BQHD, np.float64), np.asarray(k_BKHD, np.float64)

    def align(b, i, h, alignment_K, keys):
        stop_K = np.zeros(len(alignment_K))
        for j in keys:
            energy = monotonic_energy(params, q[b, i, h], k[b, j, h], h)
            stop_K[j] = 1 / (1 + np.exp(-energy))
        new_K = np.zeros(len(alignment_K))
        for j in keys:
            for before in range(j + 1):
                passed = np.prod([1 - stop_K[x] for x in range(before, j)])
                new_K[j] += stop_K[j] * alignment_K[before] * passed
        return new_K

    return _carried(align, lambda k_len: np.eye(k_len)[0], q, k, v_BKHE, see)


def hard_monotonic(energies_QK, v_KE):
    """Section 2.2, of one head of one sentence: what each query gets, and where it stops.

    It stops where σ(e) > 1/2. Who goes beyond the last key has no place any more.
    """
    out_QE, stops, at = np.zeros((len(energies_QK), v_KE.shape[1])), [], 0
    for i, energies_K in enumerate(energies_QK):
        j = at
        while j is not None and j < len(v_KE) and not 1 / (1 + np.exp(-energies_K[j])) > 0.5:
            j += 1
        at = None if j is None or j == len(v_KE) else j
        if at is not None:
            out_QE[i] = v_KE[at]
        stops.append(at)
    return out_QE, stops

"""Attention among tokens that hashing or clustering puts together, token by token."""

import math

import numpy as np


def _softmax(scores):
    powers = np.exp(np.array(scores) - max(scores))
    return powers / powers.sum()


def _hash(x_D, rotation_DR):
    y_R = x_D @ rotation_DR
    return int(np.argmax(np.concatenate([y_R, -y_R])))


def _bucket(x_D, rotation_DR, tokens, buckets, chunk, columns):
    """A token's bucket, one number or a pair of them."""
    if buckets:
        return _hash(x_D, rotation_DR[:, : buckets // 2])
    wanted = 2 * (tokens // chunk)
    if wanted <= 2 * columns:
        return _hash(x_D, rotation_DR[:, : wanted // 2]) if wanted else 0
    side = next(side for side in range(2, wanted + 1, 2) if side**2 >= wanted)
    half = min(side, 2 * columns) // 2
    second = rotation_DR[:, columns : columns + half]
    return _hash(x_D, second), _hash(x_D, rotation_DR[:, :half])


def reformer(
    q_BTHD, k_BTHD, v_BTHE, see, bias=None, state=None, *, buckets, chunk, scale=0.0, columns=32
):
    """Kitaev et al. 2020, section 2: softmax over the union of what each round shows."""
    assert bias is None
    q, v = np.asarray(q_BTHD, np.float64), np.asarray(v_BTHE, np.float64)
    np.testing.assert_array_equal(q_BTHD, k_BTHD)
    batch, length, heads, size = q.shape
    scale = scale or 1 / math.sqrt(size)
    out_BTHE = np.zeros(v.shape)
    for b, h in np.ndindex(batch, heads):
        tokens = [i for i in range(length) if see[b, h, i, i]]
        seen = {i: set() for i in tokens}
        for rotation_DR in np.asarray(state["rotations"][h], np.float64):
            of = {
                i: _bucket(q[b, i, h], rotation_DR, len(tokens), buckets, chunk, columns)
                for i in tokens
            }
            ordered = sorted(tokens, key=lambda i: (of[i], i))
            chunks = [ordered[i : i + chunk] for i in range(0, len(ordered), chunk)]
            for n, members in enumerate(chunks):
                near = members + (chunks[n - 1] if n else [])
                for i in members:
                    seen[i] |= {j for j in near if of[j] == of[i] and see[b, h, i, j]}
        for i in tokens:
            keys = sorted(seen[i] - {i}) or [i]
            unit = [q[b, j, h] / np.linalg.norm(q[b, j, h]) for j in keys]
            weights = _softmax([scale * q[b, i, h] @ k_D for k_D in unit])
            out_BTHE[b, i, h] = sum(w * v[b, j, h] for w, j in zip(weights, keys, strict=True))
    return out_BTHE


def normalised(x):
    """Layer normalisation without scale and bias."""
    x = np.asarray(x, np.float64)
    return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)


def _attended(q_TD, k_TD, v_TE, i, keys, scale):
    weights = _softmax([scale * q_TD[i] @ k_TD[j] for j in keys])
    return sum(w * v_TE[j] for w, j in zip(weights, keys, strict=True))


def routing(
    q_BTHD,
    k_BTHD,
    v_BTHE,
    see,
    bias=None,
    state=None,
    *,
    clusters,
    window=0,
    local_heads=0,
    left=0,
    right=0,
):
    """Roy et al. 2021, algorithm 1, cluster by cluster; local heads token by token."""
    assert bias is None
    q, k, v = (np.asarray(x, np.float64) for x in (q_BTHD, k_BTHD, v_BTHE))
    batch, length, heads, size = q.shape
    scale = 1 / math.sqrt(size)
    out_BTHE = np.zeros(v.shape)
    for b, h in np.ndindex(batch, heads):
        tokens = [i for i in range(length) if see[b, h, i, i]]
        if h < local_heads:
            for i in tokens:
                keys = [
                    j for j in range(i - left, i + right + 1) if j in tokens and see[b, h, i, j]
                ]
                out_BTHE[b, i, h] = _attended(q[b, :, h], k[b, :, h], v[b, :, h], i, keys, scale)
            continue
        if not tokens:
            continue
        q_TD, k_TD = (normalised(x[b, :, h]) for x in (q, k))
        members = min(window or math.ceil(len(tokens) / clusters), len(tokens))
        gathered = {i: [] for i in tokens}
        for mu_D in np.asarray(state["centroids"][h - local_heads], np.float64):
            asking, asked = (
                sorted(tokens, key=lambda i: -(x_TD[i] @ mu_D))[:members] for x_TD in (q_TD, k_TD)
            )
            for i in asking:
                keys = [j for j in asked if see[b, h, i, j]]
                gathered[i].append(_attended(q_TD, k_TD, v[b, :, h], i, keys, scale))
        for i, found in gathered.items():
            if found:
                out_BTHE[b, i, h] = np.mean(found, axis=0)
    return out_BTHE

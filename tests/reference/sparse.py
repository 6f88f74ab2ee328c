"""Longformer and BigBird, by their papers, position by position."""

import numpy as np

from tests.reference.attention import softmax_attention
from tests.reference.patterns import patterned


def bigbird(block, table, q_BQHD, k_BKHD, v_BKHE, see=None, bias=None):
    """Zaheer et al. 2020, appendix D; ``table`` [N, N] says which random blocks a block sees."""
    outs = []
    for b in range(len(q_BQHD)):
        length = q_BQHD.shape[1]
        see_HQK = np.broadcast_to(
            True if see is None else np.asarray(see), (len(q_BQHD), q_BQHD.shape[2], length, length)
        )[b]
        seen = np.flatnonzero(see_HQK.any(axis=(0, 1)))
        last = seen[-1] // block if len(seen) else 0

        def sees(i, j, h, heads, last=last):
            m, n = i // block, j // block
            return abs(m - n) <= 1 or m in (0, last) or n in (0, last) or table[m, n]

        mine = (np.asarray(x)[b : b + 1] for x in (q_BQHD, k_BKHD, v_BKHE))
        own = (
            None if bias is None else np.broadcast_to(bias, (len(q_BQHD), *see_HQK.shape))[b][None]
        )
        outs.append(patterned(sees, *mine, see=see_HQK[None], bias=own))
    return np.concatenate(outs)


def longformer(
    windows, chosen, q_BQHD, k_BKHD, v_BKHE, see=None, bias=None, params=None, x_BTM=None
):
    """Beltagy et al. 2020, section 3.1; (left, right, step) of each head, global positions."""
    batch, length, heads, _ = q_BQHD.shape
    see = np.broadcast_to(True if see is None else np.asarray(see), (batch, heads, length, length))

    def sees(i, j, h, heads):
        left, right, step = windows[h % len(windows)]
        return j in chosen or j in [i + m * step for m in range(-left, right + 1)]

    out_BQHE = patterned(sees, q_BQHD, k_BKHD, v_BKHE, see=see, bias=bias)
    if not chosen:
        return out_BQHE
    x_BTM = np.asarray(x_BTM, np.float64)

    def projected(name):
        kernel, b = (np.asarray(params[name][part], np.float64) for part in ("kernel", "bias"))
        return np.stack(
            [[[x @ kernel[:, h] + b[h] for h in range(heads)] for x in row] for row in x_BTM]
        )

    q, k, v = (projected(f"global_{part}") for part in ("query", "key", "value"))
    everything = softmax_attention(q, k, v, see, bias)
    for i in chosen:
        if i < length:
            out_BQHE[:, i] = everything[:, i]
    return out_BQHE

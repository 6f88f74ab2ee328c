"""Copying in float64 NumPy, a target token at a time."""

import numpy as np


def pointer_generator(params, logits_TV, y_TM, x_TM, weights_TS, tokens_S, memory_SM):
    """See et al. 2017, equations 8 and 9, of one sentence: probabilities [T, V].

    What the weights lack to a sum of one is generated.
    """
    w_c, w_s, w_x = np.asarray(params["kernel"], np.float64)
    out_TV = np.zeros(logits_TV.shape)
    for t in range(len(logits_TV)):
        powers = np.exp(logits_TV[t] - max(logits_TV[t]))
        context_M = sum(weights_TS[t, s] * memory_SM[s] for s in range(len(tokens_S)))
        score = w_c @ context_M + w_s @ y_TM[t] + w_x @ x_TM[t] + float(params["bias"])
        generate = 1 / (1 + np.exp(-score))
        kept = generate + (1 - generate) * (1 - sum(weights_TS[t]))
        out_TV[t] = kept * powers / powers.sum()
        for s, token in enumerate(tokens_S):
            out_TV[t, token] += (1 - generate) * weights_TS[t, s]
    return out_TV

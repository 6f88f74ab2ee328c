"""The encoder-decoder Transformer in float64 NumPy, a sentence at a time, without padding.

Vaswani et al. 2017, section 3. Each sentence is cut to its tokens first, so that there is nothing
to mask but the future.
"""

import numpy as np

from tests.reference.attention import multi_head
from tests.reference.positions import rotate, sinusoids


def layer_norm(p, x_TM):
    """Ba et al. 2016, equations 3 and 4, row by row."""
    rows = []
    for x_M in x_TM:
        mean = sum(x_M) / len(x_M)
        variance = sum((x_M - mean) ** 2) / len(x_M)
        rows.append((x_M - mean) / np.sqrt(variance + 1e-6) * p["scale"] + p["bias"])
    return np.array(rows)


def feed_forward(p, x_TM):
    """Equation 2; or SwiGLU (Shazeer 2020, equation 6) where there is a gate."""
    h_TF = x_TM @ p["in"]["kernel"] + p["in"]["bias"]
    if "gate" in p:
        gate_TF = x_TM @ p["gate"]["kernel"] + p["gate"]["bias"]
        h_TF = gate_TF / (1 + np.exp(-gate_TF)) * h_TF
    else:
        h_TF = np.where(h_TF > 0, h_TF, 0)
    return h_TF @ p["out"]["kernel"] + p["out"]["bias"]


def residual(p, x_TM, f, pre):
    """Section 5.4 (normalised after), or f on what is normalised before (Xiong et al. 2020)."""
    if pre:
        return x_TM + f(layer_norm(p["normalise"], x_TM))
    return layer_norm(p["normalise"], x_TM + f(x_TM))


class Transformer:
    """Logits of one sentence, from the parameters of `attention.Transformer`."""

    def __init__(self, params, *, layers, pre=False, positions="sinusoidal", tied=True):
        self.p = to_float64(params)
        self.layers, self.pre, self.positions, self.tied = layers, pre, positions, tied
        self.rotate = rotate if positions == "rotary" else lambda x_TD: x_TD

    def logits(self, source_S, target_T):
        """Of the token after each of target_T: [T, V]."""
        memory_SM = self.embed("source", source_S)
        for n in range(self.layers):
            memory_SM = self.encoder_layer(self.p[f"encoder_layers_{n}"], memory_SM)
        if self.pre:
            memory_SM = layer_norm(self.p["encoder_norm"], memory_SM)
        y_TM = self.embed("target", target_T)
        for n in range(self.layers):
            y_TM = self.decoder_layer(self.p[f"decoder_layers_{n}"], y_TM, memory_SM)
        if self.pre:
            y_TM = layer_norm(self.p["decoder_norm"], y_TM)
        return y_TM @ self.table("output").T

    def table(self, side):
        return self.p[f"{'source' if self.tied else side}_embedding"]["embedding"]

    def embed(self, side, tokens_T):
        table_VM = self.table(side)
        x_TM = np.array([table_VM[token] * np.sqrt(table_VM.shape[1]) for token in tokens_T])
        if self.positions == "sinusoidal":
            return x_TM + sinusoids(*x_TM.shape)
        if self.positions == "learned":
            return x_TM + self.p[f"{side}_positions"]["embedding"][: len(x_TM)]
        return x_TM

    def encoder_layer(self, p, x_TM):
        def attend(x_TM):
            return multi_head(p["self_attention"], x_TM[None], x_TM[None], rotate=self.rotate)[0]

        x_TM = residual(p["self_residual"], x_TM, attend, self.pre)
        return residual(p["ff_residual"], x_TM, lambda x: feed_forward(p["ff"], x), self.pre)

    def decoder_layer(self, p, y_TM, memory_SM):
        past_TT = np.array([[j <= i for j in range(len(y_TM))] for i in range(len(y_TM))])

        def attend(y_TM):
            y_1TM = y_TM[None]
            return multi_head(p["self_attention"], y_1TM, y_1TM, past_TT, self.rotate)[0]

        def ask(y_TM):
            return multi_head(p["cross_attention"], y_TM[None], memory_SM[None])[0]

        y_TM = residual(p["self_residual"], y_TM, attend, self.pre)
        y_TM = residual(p["cross_residual"], y_TM, ask, self.pre)
        return residual(p["ff_residual"], y_TM, lambda y: feed_forward(p["ff"], y), self.pre)


def to_float64(tree):
    if isinstance(tree, dict):
        return {name: to_float64(value) for name, value in tree.items()}
    return np.asarray(tree, np.float64)

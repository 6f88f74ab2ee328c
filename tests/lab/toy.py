"""A model small enough to train in a test: an embedding, dropout, a dense layer."""

import jax
import jax.numpy as jnp
import numpy as np

from attention.lab.training import losses, optimiser, schedules, step

VOCAB, SIZE = 13, 8


def params(seed=0):
    rng_embed, rng_dense = jax.random.split(jax.random.key(seed))
    return {
        "embed": {"table": jax.random.normal(rng_embed, (VOCAB, SIZE))},
        "dense": {
            "kernel": jax.random.normal(rng_dense, (SIZE, VOCAB)) / SIZE**0.5,
            "bias": jnp.zeros(VOCAB),
        },
    }


def logits(params, tokens_BT):
    y_BTM = params["embed"]["table"][tokens_BT]
    return y_BTM @ params["dense"]["kernel"] + params["dense"]["bias"][None, None]


def make_loss(dropout=0.0):
    """Loss with a model state that counts calls; `boost_B` (if there) makes it not finite."""

    def loss(params, model_state, batch, *, rng, step):
        y_BTM = params["embed"]["table"][batch["source_BS"]]
        if dropout:
            keep_BTM = jax.random.bernoulli(rng, 1 - dropout, y_BTM.shape)
            y_BTM = jnp.where(keep_BTM, y_BTM / (1 - dropout), 0)
        logits_BTV = y_BTM @ params["dense"]["kernel"] + params["dense"]["bias"][None, None]
        if "boost_B" in batch:
            logits_BTV *= batch["boost_B"][:, None, None]
        target_BT = batch["target_BT"]
        weight_BT = (target_BT > 0).astype(jnp.float32)
        total, weight = losses.cross_entropy(logits_BTV, target_BT, weight_BT, label_smoothing=0.1)
        return total, (weight, {"calls": model_state["calls"] + 1})

    return loss


def make_optimiser(peak=1e-2, **options):
    return optimiser.adam(schedules.constant(peak=peak, warmup=3), **options)


def state(opt, seed=0):
    model_state = {"calls": jnp.zeros((), jnp.int32)}
    return step.create_state(params(seed), model_state, opt, jax.random.key(seed + 1))


def batch(number, rows=8, length=6):
    """Rows of unequal length; padded with zeros."""
    random = np.random.default_rng(number)
    source_BS = random.integers(1, VOCAB, (rows, length)).astype(np.int32)
    target_BT = ((source_BS * 5 + 3) % (VOCAB - 1) + 1).astype(np.int32)
    lengths_B = random.integers(1, length + 1, rows)
    hidden_BT = np.arange(length)[None, :] >= lengths_B[:, None]
    target_BT[hidden_BT] = 0
    return {
        "source_BS": source_BS,
        "target_BT": target_BT,
        "index_B": np.arange(rows, dtype=np.int32),
    }


class Batches:
    """Endless batches, by number."""

    def __init__(self, rows=8):
        self.number = 0
        self.rows = rows

    def __next__(self):
        self.number += 1
        return batch(self.number, self.rows)

    def get_state(self):
        return {"number": self.number}

    def set_state(self, state):
        self.number = state["number"]

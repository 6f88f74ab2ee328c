"""Exposure bias: how well the next token is told after gold, and after the model's own words.

A decoder that has read only gold in training meets its own mistakes when it translates (Ranzato et
al. 2016; Bengio et al. 2015, section 1).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from attention.lab.data.tokenizer import BOS, PAD
from attention.lab.tasks.translation import Batch, Translation, shift_right
from attention.shapes import Tree


class ByPosition(NamedTuple):
    """Sums over the batch's target tokens at each position.

    Attributes:
      nats_T: -log p of gold.
      right_T: tokens where gold is the most probable.
      tokens_T: target tokens.
    """

    nats_T: jax.Array
    right_T: jax.Array
    tokens_T: jax.Array


def after_gold(task: Translation, params: Tree, model_state: Tree, batch: Batch) -> ByPosition:
    """The decoder reads gold, as in training with teacher forcing."""
    run = partial(task.model.apply, {"params": params, **model_state})
    target_BT = batch["target_BT"]
    return _sums(run(batch["source_BS"], shift_right(target_BT)), target_BT)


def after_own(task: Translation, params: Tree, model_state: Tree, batch: Batch) -> ByPosition:
    """The decoder reads its own most probable tokens, as in greedy search.

    It goes on after an end token of its own, so that every position of gold is counted.
    """
    run = partial(task.model.apply, {"params": params, **model_state})
    target_BT = batch["target_BT"]
    memory, cache = run(batch["source_BS"], length=target_BT.shape[1], method="start")

    def step(carry: tuple[Tree, jax.Array], _: None) -> tuple[tuple[Tree, jax.Array], jax.Array]:
        cache, token_B = carry
        logits_BV, cache = run(memory, cache, token_B, method="extend")
        return (cache, logits_BV.argmax(axis=-1).astype(token_B.dtype)), logits_BV

    first_B = jnp.full(target_BT.shape[:1], BOS, target_BT.dtype)
    _, logits_TBV = jax.lax.scan(step, (cache, first_B), length=target_BT.shape[1])
    return _sums(logits_TBV.swapaxes(0, 1), target_BT)


def _sums(logits_BTV: jax.Array, target_BT: jax.Array) -> ByPosition:
    real_BT = target_BT != PAD
    log_p_BTV = jax.nn.log_softmax(logits_BTV, axis=-1)
    gold_BT = jnp.take_along_axis(log_p_BTV, target_BT[..., None], axis=-1)[..., 0]
    right_BT = logits_BTV.argmax(axis=-1) == target_BT
    return ByPosition(
        nats_T=-jnp.where(real_BT, gold_BT, 0).sum(axis=0),
        right_T=(right_BT & real_BT).sum(axis=0),
        tokens_T=real_BT.sum(axis=0),
    )

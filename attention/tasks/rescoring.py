"""Candidates of one task, put in order by another that reads from left to right.

As in noisy parallel decoding (Gu et al. 2018, "Non-Autoregressive Neural Machine Translation",
section 4.3): the candidates differ in length, and a teacher says which is the best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from attention.data.tokenizer import PAD, Tokenizer
from attention.decoding import Beams
from attention.shapes import Tree
from attention.tasks.filling import Filling
from attention.tasks.translation import Batch, Search, Translation, shift_right


@dataclass(frozen=True, eq=False)
class Rescored:
    """A task whose ``search.beams`` candidates a teacher ranks by its log-probability a token.

    Parameters and state are pairs, the task's and the teacher's.

    Attributes:
      task: what makes candidates.
      teacher: what ranks them; it has the same vocabulary.
    """

    task: Filling | Translation
    teacher: Translation

    @property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary of both."""
        return self.task.tokenizer

    def eval_loss(self, params: Tree, model_state: Tree, batch: Batch) -> tuple[jax.Array, ...]:
        """The task's."""
        return self.task.eval_loss(params[0], model_state[0], batch)

    def texts(self, tokens: np.ndarray) -> list[str]:
        """The task's."""
        return self.task.texts(tokens)

    def search(
        self, params: Tree, model_state: Tree, source_BS: jax.Array, search: Search
    ) -> Beams:
        """The best of the candidates by the teacher; scores are the teacher's."""
        found = self.task.search(
            params[0], model_state[0], source_BS, replace(search, nbest=search.beams)
        )
        count = found.tokens_BNT.shape[1]
        tokens_RT = found.tokens_BNT.reshape(-1, found.tokens_BNT.shape[2])
        source_RS = jnp.repeat(source_BS, count, axis=0)
        run = partial(self.teacher.model.apply, {"params": params[1], **model_state[1]})
        log_p_RTV = jax.nn.log_softmax(run(source_RS, shift_right(tokens_RT)), axis=-1)
        log_p_RT = jnp.take_along_axis(log_p_RTV, tokens_RT[..., None], axis=-1)[..., 0]
        log_p_BN = jnp.where(tokens_RT != PAD, log_p_RT, 0).sum(axis=1).reshape(-1, count)
        score_BN = jnp.where(
            found.lengths_BN > 0, log_p_BN / jnp.maximum(found.lengths_BN, 1), -jnp.inf
        )
        score_BN, order_BN = jax.lax.top_k(score_BN, min(search.nbest, count))
        return Beams(
            jnp.take_along_axis(found.tokens_BNT, order_BN[..., None], axis=1),
            jnp.take_along_axis(found.lengths_BN, order_BN, axis=1),
            score_BN,
            jnp.take_along_axis(log_p_BN, order_BN, axis=1),
        )

"""Candidates of one task, put in order by another that reads from left to right.

As in noisy parallel decoding (Gu et al. 2018, "Non-Autoregressive Neural Machine Translation",
section 4.3): the candidates differ in length, and a teacher says which is the best.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from attention.decoding import Beams
from attention.decoding.hypotheses import ranked
from attention.lab.data.tokenizer import PAD, Tokenizer
from attention.lab.tasks.mask_predict import MaskPredict
from attention.lab.tasks.translation import Batch, Search, Translation, of_each, shift_right
from attention.lab.training.losses import log_likelihood
from attention.shapes import Tree

Task = Translation | MaskPredict  # the same calls, whatever the order of the tokens


@dataclass(frozen=True, eq=False)
class Rescored:
    """A task whose ``search.beams`` candidates a teacher ranks by its log-probability a token.

    Parameters and state are pairs, the task's and the teacher's.

    Attributes:
      task: what makes candidates.
      teacher: what ranks them; it has the same vocabulary.
    """

    task: Task
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
        variables = {"params": params[1], **model_state[1]}
        logits_RTV = self.teacher.model.apply(
            variables, source_BS, shift_right(tokens_RT), method=of_each
        )
        log_p_BN = log_likelihood(logits_RTV, tokens_RT, tokens_RT != PAD).reshape(-1, count)
        score_BN = jnp.where(
            found.lengths_BN > 0, log_p_BN / jnp.maximum(found.lengths_BN, 1), -jnp.inf
        )
        return ranked(found._replace(scores_BN=score_BN, log_probs_BN=log_p_BN), search.nbest)


Evaluated = Task | Rescored

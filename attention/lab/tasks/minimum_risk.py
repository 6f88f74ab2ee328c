"""Training toward the score: translations are drawn, judged, and the expected cost lowered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.decoding import Sampler
from attention.lab.data.tokenizer import PAD
from attention.lab.evaluation.scores import sentence_bleu
from attention.lab.tasks.translation import Batch, Translation, of_each, shift_right
from attention.lab.training.losses import cross_entropy, log_likelihood
from attention.lab.training.risk import distinct, expected_cost
from attention.lab.training.step import Metrics, TrainState
from attention.shapes import Tree

Update = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]

_LONGER = 10  # a candidate has at most so many tokens more than its batch's longest target
_DRAW = 2**31 - 1  # folded into a step's key; microbatches fold in their numbers, from 0


@dataclass(frozen=True, eq=False)
class MinimumRisk:
    """Minimum risk training of a translation task (Shen et al. 2016, section 3).

    Before each update candidates are drawn from the model as it then is, without dropout, and
    judged on the host: one costs 1 - BLEU, its sentence's own. The update lowers their expected
    cost, see ``training.risk.expected_cost``, with dropout as in any training.

    Attributes:
      task: what is trained.
      target_lang: picks BLEU's tokenisation.
      candidates: drawn for each source, N; the same one twice counts once.
      alpha: the sharpness of Q.
      temperature: of the draws.
      gold: whether gold is one more candidate, as in the paper's algorithm 1.
      cross_entropy: the share of gold's cross-entropy (nats a token, each sentence's own mean) that
        is mixed into the loss; the risk has the rest.
      max_length: most tokens of a candidate; also at most the batch's longest target and 10.
    """

    task: Translation
    target_lang: str
    candidates: int
    alpha: float = 5e-3
    temperature: float = 1.0
    gold: bool = True
    cross_entropy: float = 0.0
    max_length: int = 128

    def update(self, step: Update, put: Callable[[dict[str, np.ndarray]], Batch]) -> Update:
        """An update that draws and judges candidates, then takes the ``step`` of their loss.

        Args:
          step: from ``make_train_step(self.loss, ...)``.
          put: places a batch on the devices.

        Returns:
          ``update(state, batch)``; its metrics are the step's, but "weight" counts gold's tokens.
        """
        draw = jax.jit(self.draw)

        def update(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
            candidates_BNT = draw(state.params, state.model_state, batch, state.rng, state.step)
            target_BT = np.asarray(batch["target_BT"])
            costs_BN = self.costs(np.asarray(candidates_BNT), target_BT)
            judged = {"candidates_BNT": candidates_BNT, **put({"costs_BN": costs_BN})}
            state, metrics = step(state, {**batch, **judged})
            return state, {**metrics, "weight": jnp.float32((target_BT != PAD).sum())}

        return update

    def draw(
        self, params: Tree, model_state: Tree, batch: Batch, rng: jax.Array, step: Any
    ) -> jax.Array:
        """Each source's candidates_BNT, gold first if it is one; what stood before is padding.

        They follow from the run's ``rng``, the ``step`` and the example, whatever its batch.
        """
        target_BT = batch["target_BT"]
        decoded = self.task.sample(
            params,
            model_state,
            batch["source_BS"],
            Sampler(self.temperature),
            rng=jax.random.fold_in(jax.random.fold_in(rng, step), _DRAW),
            index_B=batch["index_B"],
            max_length=min(self.max_length, target_BT.shape[1] + _LONGER),
            samples=self.candidates,
        )
        length = decoded.tokens_BT.shape[1]
        drawn_BNT = decoded.tokens_BT.reshape(-1, self.candidates, length)
        if self.gold:
            both, width = (target_BT[:, None], drawn_BNT), max(target_BT.shape[1], length)
            drawn_BNT = jnp.concatenate([_widened(x_BNT, width) for x_BNT in both], axis=1)
        return distinct(drawn_BNT, pad=PAD)

    def costs(self, candidates_BNT: np.ndarray, target_BT: np.ndarray) -> np.ndarray:
        """1 - BLEU of each candidate's text against gold's, in [0, 1]; 0 where there is none."""
        costs_BN = np.zeros(candidates_BNT.shape[:2], np.float32)
        there_BN = (candidates_BNT != PAD).any(axis=2)
        if there_BN.any():
            gold = self.task.texts(target_BT)
            references = [gold[row] for row in np.nonzero(there_BN)[0]]
            texts = self.task.texts(candidates_BNT[there_BN])
            scores = sentence_bleu(texts, references, self.target_lang)
            costs_BN[there_BN] = 1 - np.array(scores) / 100
        return costs_BN

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, *, rng: jax.Array, step: Any
    ) -> tuple[jax.Array, tuple[jax.Array, Tree]]:
        """The training loss: (summed over sentences, (sentences, model state))."""
        rng_risk, rng_gold = jax.random.split(rng)
        candidates_BNT = batch["candidates_BNT"]
        said_XT = candidates_BNT.reshape(-1, candidates_BNT.shape[2])
        real_XT = said_XT != PAD
        logits_XTV, moved = self.task.model.apply(
            {"params": params, **model_state},
            batch["source_BS"],
            shift_right(said_XT),
            method=of_each,
            rngs={"dropout": rng_risk},
            mutable=list(model_state),
        )
        log_p_BN = log_likelihood(logits_XTV, said_XT, real_XT).reshape(candidates_BNT.shape[:2])
        there_BN = real_XT.any(axis=1).reshape(log_p_BN.shape)
        total, sentences = expected_cost(log_p_BN, batch["costs_BN"], there_BN, alpha=self.alpha)
        if self.cross_entropy:
            nats = self._mean_nats(params, model_state, batch, rng=rng_gold, step=step)
            total = (1 - self.cross_entropy) * total + self.cross_entropy * nats
        return total, (sentences, moved)

    def _mean_nats(
        self, params: Tree, model_state: Tree, batch: Batch, *, rng: jax.Array, step: Any
    ) -> jax.Array:
        """Each sentence's mean nats a token of gold, summed over sentences."""
        real_BT = batch["target_BT"] != PAD
        weight_BT = real_BT / jnp.maximum(real_BT.sum(axis=1, keepdims=True), 1)
        logits_BTV, _ = self.task.gold_logits(params, model_state, batch, rng=rng, step=step)
        smoothing = self.task.label_smoothing
        total, _ = cross_entropy(
            logits_BTV, batch["target_BT"], weight_BT, label_smoothing=smoothing
        )
        return total


def _widened(tokens_BNT: jax.Array, width: int) -> jax.Array:
    fill = ((0, 0), (0, 0), (0, width - tokens_BNT.shape[2]))
    return jnp.pad(tokens_BNT, fill, constant_values=PAD)

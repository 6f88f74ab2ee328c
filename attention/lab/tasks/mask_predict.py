"""Translation without an order: a target is filled in, all its tokens at once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from attention.decoding import Beams, Filled, mask_predict
from attention.decoding.hypotheses import ranked
from attention.lab.data.tokenizer import EOS, PAD, UNK, Tokenizer
from attention.lab.tasks.modelled import Modelled, never
from attention.lab.tasks.translation import Batch, Search, limits
from attention.lab.training.losses import cross_entropy
from attention.models.mask_predict import ConditionalMaskedLM
from attention.shapes import Tree

MASK = UNK  # which no text is made of: the vocabulary falls back on bytes
_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, eq=False)
class MaskPredict(Modelled):
    """Translation by mask-predict (Ghazvininejad et al. 2019).

    In training a number of tokens from one to all, drawn evenly, is masked in each target, and the
    loss is theirs (section 2.1). The target's length is one more thing that is told, and counts as
    a token does; or the target lies on a canvas of a fixed length, filled up with end tokens, and
    a translation is what stands before the first of them.

    Attributes:
      model: the Transformer that fills in.
      tokenizer: the joint vocabulary.
      label_smoothing: share of the target spread evenly over the vocabulary, in training.
      canvas: tokens of the canvas; 0 for lengths that are told.
    """

    model: ConditionalMaskedLM
    tokenizer: Tokenizer
    label_smoothing: float = 0.1
    canvas: int = 0

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, *, rng: jax.Array, step: Any
    ) -> tuple[jax.Array, tuple[jax.Array, Tree]]:
        """The training loss: (nats summed over masked tokens and lengths, (how many, state))."""
        rng_count, rng_place, rng_dropout = jax.random.split(rng, 3)
        target_BT, lengths_B = self._written(batch["target_BT"])
        real_BT = jnp.arange(target_BT.shape[1])[None] < lengths_B[:, None]
        count_B = jax.random.randint(rng_count, lengths_B.shape, 1, jnp.maximum(lengths_B, 1) + 1)
        places_BT = jnp.where(real_BT, jax.random.uniform(rng_place, real_BT.shape), 2.0)
        last_B1 = jnp.take_along_axis(jnp.sort(places_BT, axis=1), count_B[:, None] - 1, axis=1)
        masked_BT = real_BT & (places_BT <= last_B1)
        (logits_BTV, logits_BL), model_state = self._run(params, model_state)(
            batch["source_BS"],
            jnp.where(masked_BT, MASK, target_BT),
            rngs={"dropout": rng_dropout},
            mutable=list(model_state),
        )
        total, weight = cross_entropy(
            logits_BTV, target_BT, masked_BT, label_smoothing=self.label_smoothing
        )
        nats, told = self._length_loss(logits_BL, lengths_B, batch)
        return total + nats, (weight + told, model_state)

    def eval_loss(self, params: Tree, model_state: Tree, batch: Batch) -> tuple[jax.Array, ...]:
        """(nats of the target in one pass, and of its length; target tokens, eos included)."""
        target_BT, lengths_B = self._written(batch["target_BT"])
        real_BT = jnp.arange(target_BT.shape[1])[None] < lengths_B[:, None]
        logits_BTV, logits_BL = self._run(params, model_state)(
            batch["source_BS"], jnp.where(real_BT, MASK, PAD)
        )
        total, _ = cross_entropy(logits_BTV, target_BT, real_BT)
        nats, _ = self._length_loss(logits_BL, lengths_B, batch)
        return total + nats, (batch["target_BT"] != PAD).sum()

    def search(
        self, params: Tree, model_state: Tree, source_BS: jax.Array, search: Search
    ) -> Beams:
        """The best translations of each source: of ``search.beams`` lengths, by mean log p."""
        run = self._run(params, model_state)
        memories = run(source_BS, method="memories")
        longest = search.max_length if self.canvas else 1 + self.model.longest
        length, limit_B = limits(source_BS, min(search.max_length, longest))
        length -= 1  # without eos
        lengths_BN = self._lengths(run, memories, source_BS, limit_B - 1, min(search.beams, length))
        length = self.canvas or length
        never_V = never(self.model.transformer.vocab_size)
        if not self.canvas:
            never_V = never_V.at[EOS].set(-jnp.inf)
        lengths_R = lengths_BN.reshape(-1)

        def fill(tokens_RT: jax.Array) -> jax.Array:
            logits_RTV = run(tokens_RT, lengths_R, memories, source_BS, method="fill")
            return logits_RTV + never_V[None, None]

        def to(size: int) -> Filled:
            filled = mask_predict(
                fill, lengths_R, length=size, iterations=search.iterations, mask=MASK, pad=PAD
            )
            return Filled(*(jnp.pad(x_RT, ((0, 0), (0, length - size))) for x_RT in filled))

        # In arrays as short as the longest of the lengths allows.
        sizes = [size for size in _SIZES if size < length] + [length]
        which = jnp.searchsorted(jnp.array(sizes), lengths_R.max())
        filled = jax.lax.switch(which, [partial(to, size) for size in sizes])
        return self._best(filled, lengths_BN, limit_B, search.nbest)

    def _written(self, target_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What is to be filled in, and how many tokens of it."""
        tokens_B = (target_BT != PAD).sum(axis=1)
        if not self.canvas:  # the end is told by the length
            return jnp.where(target_BT == EOS, PAD, target_BT), jnp.maximum(tokens_B - 1, 0)
        missing = self.canvas - target_BT.shape[1]
        if missing < 0:
            raise ValueError(
                f"the canvas has {self.canvas} tokens, and targets {target_BT.shape[1]}; it needs "
                "as many at least"
            )
        target_BT = jnp.pad(target_BT, ((0, 0), (0, missing)), constant_values=PAD)
        filled_BT = jnp.where(target_BT == PAD, EOS, target_BT)
        real_B = tokens_B > 0
        return jnp.where(real_B[:, None], filled_BT, PAD), jnp.where(real_B, self.canvas, 0)

    def _length_loss(
        self, logits_BL: jax.Array, lengths_B: jax.Array, batch: Batch
    ) -> tuple[jax.Array, jax.Array]:
        """Nats of the lengths of real rows, and how many there are; nothing on a canvas."""
        real_B1 = (batch["target_BT"] != PAD).any(axis=1, keepdims=True) & (self.canvas == 0)
        told_B1 = jnp.minimum(lengths_B, self.model.longest)[:, None]
        return cross_entropy(logits_BL[:, None], told_B1, real_B1)

    def _lengths(
        self,
        run: Callable[..., Any],
        memories: Any,
        source_BS: jax.Array,
        limit_B: jax.Array,
        count: int,
    ) -> jax.Array:
        """The most probable lengths from 1 on, [B, N]; zeros for a filler row."""
        real_B1 = (source_BS != PAD).any(axis=1, keepdims=True)
        if self.canvas:
            return jnp.where(real_B1, self.canvas, 0)
        logits_BL = run(memories, source_BS, method="lengths")[:, 1:]
        told_1L = 1 + jnp.arange(logits_BL.shape[1])[None]
        logits_BL = jnp.where(told_1L <= limit_B[:, None], logits_BL, -jnp.inf)
        best_BN, at_BN = jax.lax.top_k(logits_BL, count)
        return jnp.where(real_B1 & (best_BN > -jnp.inf), 1 + at_BN, 0)

    def _best(self, filled: Filled, lengths_BN: jax.Array, limit_B: jax.Array, nbest: int) -> Beams:
        """The candidates of each row from best to worst, each with its end, or cut at the limit."""
        count, length = lengths_BN.shape[1], filled.tokens_BT.shape[1]
        tokens_RT = jnp.pad(filled.tokens_BT, ((0, 0), (0, 1)), constant_values=PAD)
        log_p_RT = jnp.pad(filled.log_probs_BT, ((0, 0), (0, 1)))
        position_1T = jnp.arange(1 + length)[None]
        lengths_R1 = lengths_BN.reshape(-1, 1)
        real_R1 = lengths_R1 > 0
        tokens_RT = jnp.where(real_R1 & (position_1T == lengths_R1), EOS, tokens_RT)
        first_R1 = (tokens_RT == EOS).argmax(axis=1, keepdims=True)  # its end, wherever it is
        limit_R1 = jnp.repeat(limit_B, count)[:, None]
        kept_RT = real_R1 & (position_1T <= first_R1) & (position_1T < limit_R1)
        log_prob_R = jnp.where(kept_RT, log_p_RT, 0).sum(axis=1)
        # An end that is no part of the canvas, but of the length, was not told.
        told_R = jnp.maximum((kept_RT & (position_1T < lengths_R1)).sum(axis=1), 1)
        score_BN = jnp.where(real_R1[:, 0], log_prob_R / told_R, -jnp.inf).reshape(-1, count)
        tokens_BNT = jnp.where(kept_RT, tokens_RT, PAD).reshape(-1, count, 1 + length)
        tokens_kept_BN = kept_RT.sum(axis=1).reshape(-1, count)
        log_prob_BN = log_prob_R.reshape(-1, count)
        return ranked(Beams(tokens_BNT, tokens_kept_BN, score_BN, log_prob_BN), nbest)

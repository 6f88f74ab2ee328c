"""Translation: a Transformer, its loss on gold or mixed targets, and its searches."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from attention.decoding import Beams, Decoded, Grow, Sampler, Step, beam_search, sample
from attention.decoding.steps import repeat_rows
from attention.lab.data.tokenizer import BOS, EOS, PAD, Tokenizer
from attention.lab.tasks.modelled import Modelled, never
from attention.lab.training.losses import cross_entropy
from attention.lab.training.noise import ScheduledSampling, TeacherForcing, TokenNoise
from attention.models.transformer import Transformer
from attention.shapes import Tree

Batch = Mapping[str, jax.Array]

_GROWTH, _EXTRA = 2, 10  # a translation has at most 2·source + 10 tokens


@dataclass(frozen=True)
class Search:
    """How translations are looked for.

    Attributes:
      beams: sequences followed; 1 is greedy.
      nbest: translations returned for each source, at most ``beams``.
      length_penalty: exponent of GNMT's length penalty.
      max_length: most tokens of a translation, eos included.
      iterations: of mask-predict, whose beams are lengths that are tried.
    """

    beams: int = 4
    nbest: int = 1
    length_penalty: float = 0.6
    max_length: int = 128
    iterations: int = 4


@dataclass(frozen=True, eq=False)
class Translation(Modelled):
    """One translation problem as a value.

    Attributes:
      model: the Transformer.
      tokenizer: the joint vocabulary.
      noise: what the decoder reads in training.
      label_smoothing: share of the target spread evenly over the vocabulary, in training.
    """

    model: Transformer
    tokenizer: Tokenizer
    noise: TeacherForcing | TokenNoise | ScheduledSampling = TeacherForcing()
    label_smoothing: float = 0.1

    def loss(
        self, params: Tree, model_state: Tree, batch: Batch, *, rng: jax.Array, step: Any
    ) -> tuple[jax.Array, tuple[jax.Array, Tree]]:
        """The training loss: (nats summed over target tokens, (target tokens, model state))."""
        target_BT = batch["target_BT"]
        logits_BTV, model_state = self.gold_logits(params, model_state, batch, rng=rng, step=step)
        total, weight = cross_entropy(
            logits_BTV, target_BT, target_BT != PAD, label_smoothing=self.label_smoothing
        )
        return total, (weight, model_state)

    def gold_logits(
        self, params: Tree, model_state: Tree, batch: Batch, *, rng: jax.Array, step: Any
    ) -> tuple[jax.Array, Tree]:
        """Training's logits_BTV of the target, read as ``noise`` says, and the model state."""
        rng_dropout, rng_first_pass, rng_noise = jax.random.split(rng, 3)
        target_BT = batch["target_BT"]
        gold_BT, valid_BT = shift_right(target_BT), target_BT != PAD
        run = self._run(params, model_state)

        def logits(y_BTM: jax.Array, rng: jax.Array) -> tuple[jax.Array, Tree]:
            return run(
                batch["source_BS"],
                y_BTM,
                valid_BT.sum(axis=1),
                method=_from_embedded,
                rngs={"dropout": rng},
                mutable=list(model_state),
            )

        y_BTM = self.noise.decoder_input(
            gold_BT,
            lambda y_BTM: logits(y_BTM, rng_first_pass)[0],
            partial(run, method="embed_target"),
            rng=rng_noise,
            step=step,
            valid_BT=valid_BT,
        )
        return logits(y_BTM, rng_dropout)

    def eval_loss(self, params: Tree, model_state: Tree, batch: Batch) -> tuple[jax.Array, ...]:
        """(nats summed over target tokens given gold, target tokens): no dropout, no smoothing."""
        target_BT = batch["target_BT"]
        logits_BTV = self._run(params, model_state)(batch["source_BS"], shift_right(target_BT))
        return cross_entropy(logits_BTV, target_BT, target_BT != PAD)

    def search(
        self, params: Tree, model_state: Tree, source_BS: jax.Array, search: Search
    ) -> Beams:
        """The best translations of each source; filler rows (all padding) get none."""
        length, limit_B = limits(source_BS, search.max_length)
        return beam_search(
            **self._decoder(params, model_state, source_BS),
            batch=source_BS.shape[0],
            beams=search.beams,
            nbest=search.nbest,
            bos=BOS,
            eos=EOS,
            pad=PAD,
            max_length=length,
            limit_B=limit_B,
            length_penalty=search.length_penalty,
        )

    def sample(
        self,
        params: Tree,
        model_state: Tree,
        source_BS: jax.Array,
        sampler: Sampler,
        *,
        rng: jax.Array,
        index_B: jax.Array | None = None,
        max_length: int = 128,
        samples: int = 1,
    ) -> Decoded:
        """Random translations of each source: ``samples`` rows of the first, then of the second.

        ``index_B`` ties a source's draws to its example, whatever batch it is in.
        """
        length, limit_B = limits(source_BS, max_length)
        decoder = self._decoder(params, model_state, source_BS)
        narrow, rows = decoder["narrow"], source_BS.shape[0]
        index_B = jnp.arange(rows) if index_B is None else index_B
        return sample(
            step=decoder["step"],
            cache=repeat_rows(decoder["cache"], samples),
            grow=decoder["grow"],
            narrow=lambda row_G: narrow(row_G // samples),
            rng=rng,
            sampler=sampler,
            batch=rows * samples,
            bos=BOS,
            eos=EOS,
            pad=PAD,
            max_length=length,
            limit_B=jnp.repeat(limit_B, samples),
            index_B=(index_B[:, None] * samples + jnp.arange(samples)[None]).reshape(-1),
        )

    def _decoder(self, params: Tree, model_state: Tree, source_BS: jax.Array) -> dict[str, Any]:
        run = self._run(params, model_state)
        memory, cache = run(source_BS, length=0, method="start")
        never_V = never(self.model.vocab_size)

        def step(memory: Tree, cache: Tree, token_B: jax.Array) -> tuple[jax.Array, Tree]:
            logits_BV, cache = run(memory, cache, token_B, method="extend")
            return logits_BV + never_V[None], cache

        def narrow(row_G: jax.Array) -> Step:
            return partial(step, jax.tree.map(lambda leaf: leaf[row_G], memory))

        grow: Grow = partial(run, method="grow")
        return {"step": partial(step, memory), "cache": cache, "grow": grow, "narrow": narrow}


def limits(source_BS: jax.Array, most: int) -> tuple[int, jax.Array]:
    """The longest translation in the batch's shape, and each row's own limit, eos included."""
    length = min(most, _GROWTH * source_BS.shape[1] + _EXTRA)
    source_B = (source_BS != PAD).sum(axis=1)
    own_B = jnp.minimum(most, _GROWTH * source_B + _EXTRA)
    return length, jnp.where(source_B > 0, own_B, 0)


def shift_right(target_BT: jax.Array) -> jax.Array:
    """What the decoder reads: the start token, then the target without its last; padding stays."""
    shifted_BT = jnp.roll(target_BT, 1, axis=1).at[:, 0].set(BOS)
    return jnp.where(target_BT != PAD, shifted_BT, PAD)


def _from_embedded(
    model: Transformer, source_BS: jax.Array, y_BTM: jax.Array, target_lengths_B: jax.Array
) -> jax.Array:
    memories = model.memories(source_BS)
    lengths_B = model.lengths(source_BS)
    return model.decode(y_BTM, memories, lengths_B, target_lengths_B, source_BS)


def of_each(model: Transformer, source_BS: jax.Array, read_XT: jax.Array) -> jax.Array:
    """Logits_XTV of several targets of each source, which is encoded once."""
    times = read_XT.shape[0] // source_BS.shape[0]
    memories = [jnp.repeat(memory, times, axis=0) for memory in model.memories(source_BS)]
    source_lengths_X = jnp.repeat(model.lengths(source_BS), times)
    y_XTM, lengths_X = model.embed_target(read_XT), model.lengths(read_XT)
    sources_XS = jnp.repeat(source_BS, times, axis=0)
    return model.decode(y_XTM, memories, source_lengths_X, lengths_X, sources_XS)

"""Evaluates a translation task on one split: loss given gold, and scores of what is decoded."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from attention.decoding import Beams, Decoded, Sampler
from attention.errors import UnsupportedError
from attention.lab.data.batching.buckets import Bucket
from attention.lab.data.batching.examples import Examples, cut, encode_all
from attention.lab.data.batching.ordered import eval_batches, source_batches
from attention.lab.data.sources.pairs import Pairs
from attention.lab.evaluation.scores import corpus_scores, sentence_bleu
from attention.lab.tasks.rescoring import Evaluated
from attention.lab.tasks.translation import Search, Translation
from attention.lab.training.devices import shard_batch
from attention.shapes import Tree


@dataclass(frozen=True, eq=False)
class Evaluator:
    """A task with all that evaluating it needs; made once, so that nothing compiles twice.

    Attributes:
      task: what is judged.
      mesh: devices over which batches are split.
      buckets: batch shapes.
      batch_tokens: source tokens of a batch.
      max_length: most tokens that are read of a sentence, eos included.
      target_lang: picks BLEU's tokenisation.
    """

    task: Evaluated
    mesh: Mesh
    buckets: Sequence[Bucket]
    batch_tokens: int
    max_length: int
    target_lang: str

    @cached_property
    def search(self) -> Callable[..., Beams]:
        """The task's search, compiled once for each shape and each ``Search``."""
        return jax.jit(self.task.search, static_argnums=3)

    @cached_property
    def sample(self) -> Callable[..., Decoded]:
        """Draws from the task's model, compiled once for each shape."""
        if not isinstance(self.task, Translation):
            raise UnsupportedError(
                "samples are drawn from left to right, token by token; leave samples away, and "
                "teacher too"
            )
        function = partial(self.task.sample, sampler=Sampler())
        return jax.jit(function, static_argnames=("samples", "max_length"))

    @cached_property
    def _loss(self) -> Callable[..., tuple[jax.Array, jax.Array]]:
        return jax.jit(self.task.eval_loss)

    def examples(self, pairs: Pairs) -> Examples:
        """The pairs as tokens; what is longer than ``max_length`` is cut, with one warning."""
        whole = encode_all(pairs, self.task.tokenizer)
        source, long_source = cut(whole.source, self.max_length)
        target, long_target = cut(whole.target, self.max_length)
        if long_source or long_target:
            warnings.warn(
                f"{len(long_source)} source and {len(long_target)} target sentences of "
                f"{len(pairs)} are cut to {self.max_length} tokens",
                stacklevel=2,
            )
        return replace(whole, source=source, target=target)

    def loss(self, params: Tree, model_state: Tree, examples: Examples) -> float:
        """Nats per target token given gold, over every sentence."""
        total = weight = 0.0
        for part, tokens in self.over(self._loss, params, model_state, examples):
            total, weight = total + float(part), weight + float(tokens)
        return total / weight

    def over(
        self, function: Callable[..., Any], params: Tree, model_state: Tree, examples: Examples
    ) -> Iterator[Any]:
        """``function(params, model_state, batch)`` of batches that hold each example once."""
        batches = eval_batches(examples, batch_tokens=self.batch_tokens, buckets=self.buckets)
        for batch in batches:
            with jax.set_mesh(self.mesh):
                found = function(params, model_state, shard_batch(batch, self.mesh))
            yield found

    def translate(
        self, params: Tree, model_state: Tree, sources: Sequence[np.ndarray], search: Search
    ) -> list[list[tuple[str, float]]]:
        """The ``search.nbest`` best translations of each source, with their scores, in order."""
        found: list[list[tuple[str, float]]] = [[] for _ in sources]

        def decode(batch: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
            beams = self.search(params, model_state, batch["source_BS"], search)
            return beams.tokens_BNT, beams.scores_BN

        for index, (tokens_NT, scores_N) in self._decoded(decode, sources, search.beams):
            texts = self.task.texts(tokens_NT)
            found[index] = list(zip(texts, map(float, scores_N), strict=True))
        return found

    def expected_bleu(
        self,
        params: Tree,
        model_state: Tree,
        pairs: Pairs,
        *,
        samples: int,
        max_length: int,
        rng: jax.Array,
    ) -> float:
        """The mean sentence BLEU of random translations, ``samples`` of each source.

        They follow from ``rng`` and the sentence's place in the split, whatever its batch, and
        have at most ``max_length`` tokens.
        """
        sources, texts, gold = self.examples(pairs).source, [], []

        def decode(batch: Mapping[str, jax.Array]) -> tuple[np.ndarray]:
            drawn = self.sample(
                params,
                model_state,
                batch["source_BS"],
                rng=rng,
                index_B=batch["index_B"],
                samples=samples,
                max_length=max_length,
            )
            tokens_XT = np.asarray(drawn.tokens_BT)
            return (tokens_XT.reshape(-1, samples, tokens_XT.shape[1]),)

        for index, (tokens_NT,) in self._decoded(decode, sources, samples):
            texts += self.task.texts(tokens_NT)
            gold += [pairs.target[index]] * samples
        return float(np.mean(sentence_bleu(texts, gold, self.target_lang)))

    def report(
        self, params: Tree, model_state: Tree, pairs: Pairs, search: Search
    ) -> tuple[dict[str, Any], list[str]]:
        """Loss and scores over every sentence, and the translations."""
        examples = self.examples(pairs)
        found = self.translate(params, model_state, examples.source, search)
        hypotheses = [best[0][0] for best in found]
        report: dict[str, Any] = {"loss": self.loss(params, model_state, examples)}
        report |= corpus_scores(hypotheses, list(pairs.target), self.target_lang)
        return report | {"examples": len(pairs), "sentences": len(hypotheses)}, hypotheses

    def _decoded(
        self, decode: Callable[..., tuple[Any, ...]], sources: Sequence[np.ndarray], each: int
    ) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Each source's index and what ``decode(batch)`` gives for it, ``each`` sequences."""
        # The sequences of one source stand side by side, so a batch is cut by their number.
        tokens = max(1, self.batch_tokens // each)
        for batch in source_batches(sources, batch_tokens=tokens, buckets=self.buckets):
            with jax.set_mesh(self.mesh):
                found = [np.asarray(x) for x in decode(shard_batch(batch, self.mesh))]
            for row, index in enumerate(batch["index_B"]):
                if index >= 0:
                    yield int(index), [x[row] for x in found]

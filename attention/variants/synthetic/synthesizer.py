"""Synthesizer: Tay et al. 2021, "Synthesizer: Rethinking Self-Attention for Transformer Models"."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import Inputs, softmax_attention
from attention.kernels.decode import cache as cache_of_heads
from attention.kernels.decode.step import step_attention
from attention.masks import Causal, Everything
from attention.masks.arrays import check_whole
from attention.protocols import Attention, Capabilities
from attention.shapes import Sizes, Tree
from attention.variants.synthetic import scores as synthetic


@dataclass(frozen=True)
class Synthesizer(Attention):
    """softmax(S) v with scores S that no pair of tokens makes (section 3.1).

    Each head has one S, or Σ_n α_n S_n with α the softmax of trained weights (section 3.2), of

    - "dense", S_i = W₂ relu(W₁ x_i + b₁) + b₂ (equation 2);
    - "random", a trained matrix, and "fixed", one that is not trained;
    - "factorised_dense", S_ij = A_i[j // b] · B_i[j mod b], where two maps of relu(W₁ x_i + b₁)
      give a and b numbers with a·b = length, as near to each other as can be;
    - "factorised_random", R₁R₂ᵀ of a rank;
    - "dot", the scaled product of queries and keys.

    The softmax runs over the keys that a query sees: the first of the ``length`` columns.

    Attributes:
      parts: which of them, each at most once.
      length: the longest sequence, in tokens.
      hidden: features of the hidden layer of the dense parts in each head; a head's D if 0.
      rank: k, of "factorised_random"; the paper takes 8.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·K·(X + E) multiply-adds a head, where X is ``hidden`` for "dense", ``rank`` for
    "factorised_random", D for "dot" and nothing for the others; T·M·hidden more for dense parts.
    Memory is linear but for "random", "fixed" and "factorised_dense". A cached step keeps values,
    and keys with "dot" alone.

    Raises:
      ValueError: a field is out of range; in use, a sequence is longer than ``length``.
      NotImplementedError: a bias, or two sequences.

        >>> synthesizer, v_BTHE = Synthesizer(("random",), length=8), jnp.ones((1, 5, 2, 4))
        >>> params, _ = synthesizer.init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> synthesizer.attend(params, {}, v_BTHE, v_BTHE, v_BTHE, None)[0].shape
        (1, 5, 2, 4)
    """

    name: ClassVar[str] = "synthesizer"
    forms: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"parts": ("random",)},
        {"parts": ("fixed",)},
        {"parts": ("factorised_dense",)},
        {"parts": ("factorised_random",)},
        {"parts": ("dense", "dot")},
    )

    parts: tuple[str, ...] = ("dense",)
    length: int = 512
    hidden: int = 0
    rank: int = 8
    dropout_rate: float = 0.0
    kernel: str = "auto"

    def __post_init__(self) -> None:
        known, parts = ", ".join(synthetic.PARTS), self.parts
        if not isinstance(parts, tuple) or not parts or not set(parts) <= set(synthetic.PARTS):
            raise ValueError(f"Synthesizer(parts={parts!r}): needs a tuple of some of {known}")
        if len(set(parts)) < len(parts):
            raise ValueError(f"Synthesizer(parts={parts!r}): needs each at most once")
        check_whole(self, 1, "length", "rank")
        check_whole(self, 0, "hidden")

    @property
    def capabilities(self) -> Capabilities:
        """What is projected, and whether the layer's input is wanted, are as the parts need."""
        return Capabilities(
            causal="exact",
            decoding="cached",
            projections="apart" if "dot" in self.parts else "values",
            needs_x=not synthetic.OF_X.isdisjoint(self.parts),
            fixed_length=True,
            time="n²·d",
            memory="n·d" if set(self.parts) <= {"dense", "factorised_random", "dot"} else "h·n²",
            attends_globally="all",
        )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """The parameters of each part by its name, and the weights of several; "fixed" is state."""
        return synthetic.init(self, rng, sizes)

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        real_BT = inputs.q_real_BQ[..., None]
        x_BTM = None if inputs.x_BTM is None else jnp.where(real_BT, inputs.x_BTM, 0)
        scores = synthetic.scores(self, params, state, inputs.q_BQHD, inputs.k_BKHD, x_BTM)
        out_BQHE = softmax_attention(
            scores.q_BQHX,
            scores.k_BKHX,
            inputs.v_BKHE,
            inputs.mask,
            bias=scores.bias_BHQK,
            dropout_rate=self.dropout_rate,
            rng=rng,
            kernel=self.kernel,
        )
        return out_BQHE, state

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """Room for ``length`` values, and keys where they are asked for."""
        self._check(Everything(), length)
        cache = cache_of_heads.empty(sizes, batch, length, dtype)
        return {n: x for n, x in cache.items() if n != "k_BHKD" or "dot" in self.parts}

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: Inputs
    ) -> tuple[jax.Array, Tree]:
        q_BQHD, k_BQHD, v_BQHE, mask, _, x_BTM = inputs
        new, length = v_BQHE.shape[1], cache["v_BHKE"].shape[2]
        at_BQ = cache["index_B"][:, None] + jnp.arange(new)[None]
        kept = cache | {
            name: cache_of_heads.write(cache[name], x, at_BQ)
            for name, x in (("k_BHKD", k_BQHD), ("v_BHKE", v_BQHE))
            if name in cache
        }
        kept["index_B"] = cache["index_B"] + new
        k_BKHD = kept.get("k_BHKD", kept["v_BHKE"]).swapaxes(1, 2)
        scores = synthetic.scores(self, params, state, q_BQHD, k_BKHD, x_BTM, at_BQ)
        k_pos = jnp.arange(length)[None, None, None, :]
        see_BHQK = (Causal() & mask).at(at_BQ[:, None, :, None], k_pos)
        v_BHKE = cache_of_heads.zero_unseen(kept["v_BHKE"], see_BHQK)
        k_BHKX = scores.k_BKHX.swapaxes(1, 2)
        return step_attention(scores.q_BQHX, k_BHKX, v_BHKE, see_BHQK, bias=scores.bias_BHQK), kept

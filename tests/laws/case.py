"""A case of the laws that may stand within a layer: a MultiHead, or a TokenMixing."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from attention import MultiHead, testing
from attention.modules.mixing import TokenMixing
from attention.protocols import TokenMixer
from attention.variants import Softmax


@dataclass(frozen=True)
class Case(testing.Case):
    """As ``attention.testing.Case``, with a layer.

    Attributes:
      module: makes the layer in which it is tested, given heads, attention, features and dtype;
        None tests the attention alone (law 5 puts it into a MultiHead all the same). For mixers,
        which are tested in layers only, see ``mixing``. The reference is then called as
        ``reference(params, x, memory, see)``.
    """

    module: Callable[..., nn.Module] | None = None

    @property
    def alone(self):
        return self.module is None

    def in_multi_head(self) -> Case:
        """The same within a MultiHead."""
        if self.module is not None:
            return self
        return replace(self, name=f"{self.name}-in-multi-head", module=MultiHead)

    def layer(self, sizes, dtype):
        heads = sizes.heads * self.groups
        features = heads * sizes.size
        return self.module(heads=heads, attention=self.attention, features=features, dtype=dtype)

    def init(self, sizes):
        if self.module is None:
            return super().init(sizes)
        x_BTM = jnp.zeros((1, self.lengths[0], sizes.model_size))
        carried = self.attention.capabilities.decoding == "stateful"
        init = self.layer(sizes, "float32").init
        variables = nn.meta.unbox(init(jax.random.key(0), x_BTM, x_BTM if carried else None))
        return {**variables, "params": variables.get("params", {})}

    def compiled_init(self, sizes):
        """Of all attentions that have no variables, a MultiHead has the same: made once."""
        if self.module is MultiHead and self.attention.capabilities.projections == "apart":
            alone = replace(self, module=None)
            if not jax.tree.leaves(jax.eval_shape(lambda: alone.init(sizes))):
                return copy.deepcopy(projections(sizes, self.groups))
        return super().compiled_init(sizes)

    def noisy(self, sizes):
        """The output's bias is zero, as laws ask."""
        variables = super().noisy(sizes)
        if self.module is not None and (out := variables["params"].get("out")):
            out["bias"] = np.zeros_like(out["bias"])
        return variables

    def draw(self, normal, sizes, batch, q_len, k_len):
        if self.module is None:
            return super().draw(normal, sizes, batch, q_len, k_len)
        inputs = {"x": normal(batch, q_len, sizes.model_size)}
        if k_len is not None:
            inputs["memory"] = normal(batch, k_len, sizes.model_size)
        return inputs

    def apply(self, sizes, variables, inputs, mask, bias=None, rng=None):
        if self.module is None:
            return super().apply(sizes, variables, inputs, mask, bias, rng)
        rngs = {} if rng is None else {"dropout": rng}
        options = {} if bias is None else {"bias": bias}
        layer = self.layer(sizes, inputs["x"].dtype)
        memory = inputs.get("memory")
        return layer.apply(variables, inputs["x"], memory, mask, rngs=rngs, **options)

    def start(self, sizes, variables, batch, room):
        if self.module is None:
            return super().start(sizes, variables, batch, room)
        layer = self.layer(sizes, jnp.float32)
        return layer.apply(variables, batch, room, sizes.model_size, method="start")

    def extend(self, sizes, variables, cache, inputs, pos_BQ, mask, bias):
        if self.module is None:
            return super().extend(sizes, variables, cache, inputs, pos_BQ, mask, bias)
        layer = self.layer(sizes, jnp.float32)
        return layer.apply(variables, cache, inputs["x"], pos_BQ, mask, method="extend")

    def expected(self, variables, inputs, see_BHQK, bias):
        if self.module is None:
            return super().expected(variables, inputs, see_BHQK, bias)
        x = inputs["x"]
        return self.reference(variables["params"], x, inputs.get("memory", x), see_BHQK)


@functools.cache
def projections(sizes, groups):
    """The variables of a MultiHead whose attention has none."""
    case = Case("", Softmax(), None, groups=groups, module=MultiHead)
    return testing.Case.compiled_init(case, sizes)


def mixing(heads: int, attention: TokenMixer, features: int, dtype: Any) -> TokenMixing:
    """The layer of a mixer, as ``Case.module``."""
    return TokenMixing(heads, attention, dtype)

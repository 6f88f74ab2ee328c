"""The variables of an attention: trained parameters, and state that is not trained."""

import flax.linen as nn
import jax

from attention.protocols import Attention, TokenMixer, WithAxes
from attention.shapes import Sizes, Tree

STATE = "attention_state"  # the collection of state: no gradient, no decay, no optimiser slot


class AttentionVariables(nn.Module):
    """Makes the parameters and state of an Attention or a TokenMixer, and keeps its state.

    State is written back only where the caller makes its collection mutable, as training does.
    """

    attention: Attention | TokenMixer

    @nn.compact
    def __call__(self, sizes: Sizes, shared: Tree = None) -> tuple[Tree, Tree]:
        """The parameters and the state, as plain arrays; ``shared`` is what ``Shared`` made."""
        shapes = jax.eval_shape(
            lambda rng: _boxed(self.attention.init(rng, sizes)), jax.random.key(0)
        )
        params: Tree = {}
        state: Tree = {}
        if jax.tree.leaves(shapes[0]):
            params = self.param("learned", lambda rng: _boxed(self.attention.init(rng, sizes)[0]))
        if jax.tree.leaves(shapes[1]):
            state = self.variable(
                STATE,
                "kept",
                lambda: _boxed(self.attention.init(self.make_rng("params"), sizes)[1]),
            ).value
        if shared is None:
            shared = Shared(self.attention, name="shared")(sizes)
        return nn.meta.unbox(params) | shared, nn.meta.unbox(state)

    def keep(self, state: Tree) -> None:
        """Writes the state back, if there is any and its collection is mutable."""
        if jax.tree.leaves(state) and self.is_mutable_collection(STATE):
            old = self.get_variable(STATE, "kept")
            self.put_variable(STATE, "kept", nn.meta.replace_boxed(old, state))


class Shared(nn.Module):
    """Makes the parameters that an Attention shares over layers: see its ``params_shared``.

    A stack makes them once, and hands them to each layer; a layer by itself makes its own.
    """

    attention: Attention | TokenMixer

    @nn.compact
    def __call__(self, sizes: Sizes) -> Tree:
        """The parameters as plain arrays, a dict that may be empty."""
        make = self.attention.params_shared
        if not jax.eval_shape(lambda rng: _boxed(make(rng, sizes)), jax.random.key(0)):
            return {}
        return nn.meta.unbox(self.param("learned", lambda rng: _boxed(make(rng, sizes))))


def _boxed(tree: Tree) -> Tree:
    """Flax's boxes around the values, which carry the names of their axes."""
    return jax.tree.map(
        lambda leaf: nn.LogicallyPartitioned(leaf.value, leaf.axes),
        tree,
        is_leaf=lambda leaf: isinstance(leaf, WithAxes),
    )

"""What an attention has of its own: trained parameters, and state that is not trained."""

from __future__ import annotations

import flax.linen as nn
import jax

from attention.shapes import Attend, Mixer, Named, Sizes, Tree

STATE = "attention_state"  # the collection of state: no gradient, no decay, no optimiser slot


class Own(nn.Module):
    """Makes an Attend's (or a Mixer's) parameters and state, where it has any, and keeps its state.

    State is written back only where the caller makes its collection mutable, as training does.
    """

    attend: Attend | Mixer

    @nn.compact
    def __call__(self, sizes: Sizes) -> tuple[Tree, Tree]:
        """The parameters and the state, as plain arrays."""
        shapes = jax.eval_shape(lambda rng: _boxed(self.attend.init(rng, sizes)), jax.random.key(0))
        params: Tree = {}
        state: Tree = {}
        if jax.tree.leaves(shapes[0]):
            params = self.param("learned", lambda rng: _boxed(self.attend.init(rng, sizes)[0]))
        if jax.tree.leaves(shapes[1]):
            state = self.variable(
                STATE, "kept", lambda: _boxed(self.attend.init(self.make_rng("params"), sizes)[1])
            ).value
        return nn.meta.unbox(params), nn.meta.unbox(state)

    def keep(self, state: Tree) -> None:
        """Writes the state back, if there is any and its collection is mutable."""
        if jax.tree.leaves(state) and self.is_mutable_collection(STATE):
            old = self.get_variable(STATE, "kept")
            self.put_variable(STATE, "kept", nn.meta.replace_boxed(old, state))


def _boxed(tree: Tree) -> Tree:
    """Flax's boxes around the values, which carry the names of their axes."""
    return jax.tree.map(
        lambda leaf: nn.LogicallyPartitioned(leaf.value, leaf.axes),
        tree,
        is_leaf=lambda leaf: isinstance(leaf, Named),
    )

"""One update: gradients of summed losses, one division, and nothing changed if not finite."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

Tree = Any
Batch = Any
Loss = Callable[..., tuple[jax.Array, tuple[jax.Array, Tree]]]
Metrics = dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """All that training changes, as one pytree.

    Args:
      step: batches seen, int32.
      params: what is trained.
      model_state: what the model carries on untrained (random features, centroids); may be {}.
      opt_state: the optimiser's.
      rng: the typed key of the run; it stays, and each step folds its number into it.
      skipped: steps in a row, up to now, that were not finite and changed nothing, int32.
    """

    step: jax.Array
    params: Tree
    model_state: Tree
    opt_state: Tree
    rng: jax.Array
    skipped: jax.Array


def create_state(
    params: Tree, model_state: Tree, optimiser: optax.GradientTransformation, rng: jax.Array
) -> TrainState:
    """Returns the state before the first step."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=optimiser.init(params),
        rng=rng,
        skipped=jnp.zeros((), jnp.int32),
    )


def make_train_step(
    loss: Loss, optimiser: optax.GradientTransformation, *, accumulate: int = 1
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Makes the jitted update; it consumes (donates) the state that it is given.

    Gradients of the summed loss are added up over microbatches, then divided once by the summed
    weight, so any ``accumulate`` takes the step that the whole batch would. Where the loss or the
    gradient's norm is not finite, params, model state and optimiser state stay as they are.

    Args:
      loss: ``loss(params, model_state, batch, *, rng, step) -> (sum, (weight, model_state))``.
      optimiser: an optax transformation.
      accumulate: microbatches a step; it must divide the batch's rows. Rows are dealt out in turn,
        so rows that are split over devices stay where they are.

    Returns:
      ``step(state, batch) -> (state, metrics)``; metrics are scalars on the device: loss (nats per
      unit of weight), weight, grad_norm (before clipping), finite, skipped, and learning_rate if
      the optimiser keeps it.

    Raises:
      ValueError: if accumulate does not divide the rows.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        total, weight, grads, new_model_state = _summed(loss, state, batch, accumulate)
        scale = 1.0 / jnp.where(weight > 0, weight, 1.0)
        grads = jax.tree.map(lambda g: g * scale.astype(g.dtype), grads)
        norm = optax.tree.norm(grads)
        finite = jnp.isfinite(total) & jnp.isfinite(weight) & jnp.isfinite(norm)

        def update(params: Tree, opt_state: Tree, _: Tree) -> tuple[Tree, Tree, Tree]:
            updates, opt_state = optimiser.update(grads, opt_state, params)
            return optax.apply_updates(params, updates), opt_state, new_model_state

        # A cond costs nothing here; a select on every leaf took 1.7 times as long, in copies.
        params, opt_state, model_state = jax.lax.cond(
            finite,
            update,
            lambda *old: old,
            *(state.params, state.opt_state, state.model_state),
        )
        new = TrainState(
            step=state.step + 1,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
            rng=state.rng,
            skipped=jnp.where(finite, 0, state.skipped + 1),
        )
        metrics = {
            "loss": total * scale,
            "weight": weight,
            "grad_norm": norm,
            "finite": finite,
            "skipped": new.skipped,
        }
        rate = optax.tree.get(new.opt_state, "learning_rate", None)
        if rate is not None:
            metrics["learning_rate"] = rate
        return new, metrics

    return jax.jit(step, donate_argnums=0)


def _summed(
    loss: Loss, state: TrainState, batch: Batch, accumulate: int
) -> tuple[jax.Array, jax.Array, Tree, Tree]:
    """Loss, weight and gradient, each summed over the batch, and the model state after it."""
    rng = jax.random.fold_in(state.rng, state.step)

    def value_and_grad(
        model_state: Tree, index: jax.Array, part: Batch
    ) -> tuple[jax.Array, jax.Array, Tree, Tree]:
        part_rng = jax.random.fold_in(rng, index)
        function = jax.value_and_grad(loss, has_aux=True)
        (total, (weight, model_state)), grads = function(
            state.params, model_state, part, rng=part_rng, step=state.step
        )
        return total, jnp.asarray(weight, jnp.float32), grads, model_state

    if accumulate == 1:
        return value_and_grad(state.model_state, jnp.int32(0), batch)

    def body(carry: tuple, xs: tuple) -> tuple[tuple, None]:
        *sums, model_state = carry
        *values, model_state = value_and_grad(model_state, *xs)
        return (*jax.tree.map(jnp.add, sums, values), model_state), None

    parts = jax.tree.map(lambda x: _deal(x, accumulate), batch)
    shapes = jax.eval_shape(
        value_and_grad, state.model_state, jnp.int32(0), jax.tree.map(lambda x: x[0], parts)
    )
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[:3])
    indices = jnp.arange(accumulate, dtype=jnp.int32)
    return jax.lax.scan(body, (*zeros, state.model_state), (indices, parts))[0]


def _deal(x_BX: jax.Array, parts: int) -> jax.Array:
    """Deals rows to microbatches in turn: row r goes to microbatch r % parts."""
    rows = x_BX.shape[0]
    if rows % parts:
        raise ValueError(
            f"accumulate={parts} must divide the rows of a batch, got {rows} rows;"
            f" pad with filler rows up to {rows + -rows % parts}"
        )
    return x_BX.reshape(rows // parts, parts, *x_BX.shape[1:]).swapaxes(0, 1)

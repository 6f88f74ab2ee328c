"""One training step of a translation Transformer, against PyTorch and flax's example.

    python benchmarks/training_step.py [--wmt=DIR] [--pairs=15] [--compile]

4+4 layers of 256 (feed-forward 1,024, 4 heads), vocabulary 8,000 in one tied table, batches of
64 x 32 tokens a side, normalisation before each sublayer, float32, two processors. All three have
dropout 0.1 on embeddings, attention weights, the inner layer and each sublayer's output, label
smoothing 0.1 and Adam without clipping. Each takes the same random tokens, of equal lengths; ours
and flax's respect padding nevertheless, PyTorch is spared the masks for it; flax's projections in
attention have no biases; ours looks whether the gradient is finite. Freed memory is kept for all.

PyTorch is optional (`pip install torch==2.13.0`); DIR is flax's examples/wmt, of which models.py
is read. What is absent is skipped.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
from paired import HEADER, paired, use_processors

LAYERS, SIZE, HIDDEN, HEADS, VOCAB = 4, 256, 1024, 4, 8_000
ROWS, LENGTH, RATE, SMOOTHING = 64, 32, 0.1, 0.1
PEAK, WARMUP = 1e-3, 400
Step = Callable[[], float]  # one update; returns its loss, which waits for it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wmt", type=Path, help="flax's examples/wmt")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="torch.compile as well")
    options = parser.parse_args()
    use_processors(2)
    ours = make_ours()
    print(
        f"Batch {ROWS} x {LENGTH}, two processors, Python {platform.python_version()}\n\n{HEADER}"
    )
    rates = []
    for name, make in others(options):
        try:
            step = make()
        except ImportError as error:
            print(f"{name}: skipped, {error}", file=sys.stderr)
            continue
        ratio = paired(ours, step, pairs=options.pairs)
        print(ratio.row(f"training step against {name}"), flush=True)
        rates.append(f"{name}: {tokens(ratio.seconds_a)} against {tokens(ratio.seconds_b)}")
    if rates:
        print("\nTarget tokens a second, " + "; ".join(rates))


def tokens(seconds: float) -> str:
    """Target tokens a second, of a step that takes so long."""
    return f"{ROWS * LENGTH / seconds:,.0f}"


def others(options: argparse.Namespace) -> list[tuple[str, Callable[[], Step]]]:
    """What is measured against, and how it is made."""
    made = [("PyTorch nn.Transformer", make_torch)]
    if options.compile:
        made.append(("torch.compile of it", lambda: make_torch(compiled=True)))
    return [*made, ("flax examples/wmt", lambda: make_wmt(options.wmt))]


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Source and target tokens, none of them special."""
    random = np.random.default_rng(0)
    source_BS, target_BT = random.integers(4, VOCAB, (2, ROWS, LENGTH), dtype=np.int32)
    return source_BS, target_BT


def make_ours() -> Step:
    """This project's step, built from a config."""
    import jax

    from attention.lab import build
    from attention.lab.commands import process
    from attention.lab.config import schema
    from attention.lab.training.step import create_state, make_train_step

    process.keep_compiled_programs()
    process.keep_freed_memory()
    config = schema.defaults()
    config["model"] |= dict(layers=LAYERS, size=SIZE, heads=HEADS, ff_size=HIDDEN)
    config["model"] |= dict(dropout=RATE, ff_dropout=RATE)
    for slot in schema.SLOTS:
        config["model"][slot] = {"name": "softmax", "dropout_rate": RATE}
    config["train"] |= dict(clip=0.0, schedule="inverse_sqrt", warmup=WARMUP, learning_rate=PEAK)
    experiment = build.experiment(config)
    task, optimiser = experiment.task(SimpleNamespace(vocab_size=VOCAB)), experiment.optimiser
    params, model_state = task.init(jax.random.key(0))
    update = make_train_step(task.loss, optimiser)
    state = create_state(params, model_state, optimiser, jax.random.key(1))
    source_BS, target_BT = batch()
    fed = jax.device_put({"source_BS": source_BS, "target_BT": target_BT})

    def step() -> float:
        nonlocal state
        state, metrics = update(state, fed)
        return float(jax.block_until_ready((state, metrics))[1]["loss"])

    return step


def make_wmt(directory: Path | None) -> Step:
    """The model of flax's example, with its loss by a one-hot target and its optimiser."""
    if directory is None:
        raise ImportError("say --wmt=DIR, a checkout of flax's examples/wmt")
    import jax
    import jax.numpy as jnp
    import optax

    models = load(directory / "models.py")
    settings = models.TransformerConfig(
        vocab_size=VOCAB,
        output_vocab_size=VOCAB,
        share_embeddings=True,
        logits_via_embedding=True,
        emb_dim=SIZE,
        num_heads=HEADS,
        num_layers=LAYERS,
        qkv_dim=SIZE,
        mlp_dim=HIDDEN,
        max_len=256,
        dropout_rate=RATE,
        attention_dropout_rate=RATE,
    )
    model = models.Transformer(settings)
    source_BS, target_BT = map(jnp.asarray, batch())
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    params = jax.jit(model.init)(rngs, source_BS, target_BT)["params"]
    rise = optax.linear_schedule(0.0, PEAK, WARMUP)
    optimiser = optax.adamw(rise, b1=0.9, b2=0.98, eps=1e-9, weight_decay=0.0)

    def loss(params, rng):
        logits_BTV = model.apply({"params": params}, source_BS, target_BT, rngs={"dropout": rng})
        off = SMOOTHING / (VOCAB - 1)
        soft_BTV = jax.nn.one_hot(target_BT, VOCAB) * (1 - SMOOTHING - off) + off
        loss_BT = -jnp.sum(soft_BTV * jax.nn.log_softmax(logits_BTV), axis=-1)
        weight_BT = (target_BT > 0).astype(jnp.float32)
        return jnp.sum(loss_BT * weight_BT) / jnp.sum(weight_BT)

    def update(params, opt_state, number):
        rng = jax.random.fold_in(rngs["dropout"], number)
        value, grads = jax.value_and_grad(loss)(params, rng)
        updates, opt_state = optimiser.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, number + 1, value

    update = jax.jit(update, donate_argnums=(0, 1))
    state = params, jax.jit(optimiser.init)(params), jnp.int32(0)

    def step() -> float:
        nonlocal state
        *state, value = jax.block_until_ready(update(*state))
        return float(value)

    return step


def load(path: Path) -> ModuleType:
    """A Python file as a module."""
    if not path.is_file():
        raise ImportError(f"there is no {path}")
    spec = importlib.util.spec_from_file_location("wmt_models", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def make_torch(*, compiled: bool = False) -> Step:
    """PyTorch's own Transformer with its fused Adam."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = torch_model()
    run = torch.compile(model) if compiled else model
    optimiser = torch.optim.Adam(model.parameters(), PEAK, (0.9, 0.98), 1e-9, fused=True)
    rise = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: min(1.0, (n + 1) / WARMUP))
    source_BS, target_BT = (torch.from_numpy(x).long() for x in batch())
    gold_BT = torch.roll(target_BT, 1, dims=1)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        logits_BTV = run(source_BS, gold_BT)
        loss = functional.cross_entropy(
            logits_BTV.flatten(0, 1), target_BT.flatten(), label_smoothing=SMOOTHING
        )
        loss.backward()
        optimiser.step()
        rise.step()
        return loss.item()

    return step


def torch_model():
    """``nn.Transformer`` between a table's rows with sinusoids, and the same table's logits."""
    import torch
    from torch import nn

    angles_TM = np.arange(LENGTH)[:, None] / 10_000 ** (np.arange(0, SIZE, 2) / SIZE)
    waves_TM = np.stack([np.sin(angles_TM), np.cos(angles_TM)], axis=-1).reshape(LENGTH, SIZE)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(VOCAB, SIZE)
            nn.init.normal_(self.embed.weight, std=SIZE**-0.5)
            self.layers = nn.Transformer(
                SIZE, HEADS, LAYERS, LAYERS, HIDDEN, RATE, batch_first=True, norm_first=True
            )
            self.drop = nn.Dropout(RATE)
            self.register_buffer("waves_TM", torch.tensor(waves_TM, dtype=torch.float32))
            self.register_buffer("hide_TT", nn.Transformer.generate_square_subsequent_mask(LENGTH))

        def forward(self, source_BS, target_BT):
            x_BSM, y_BTM = (
                self.drop(self.embed(tokens) * SIZE**0.5 + self.waves_TM)
                for tokens in (source_BS, target_BT)
            )
            y_BTM = self.layers(x_BSM, y_BTM, tgt_mask=self.hide_TT, tgt_is_causal=True)
            return nn.functional.linear(y_BTM, self.embed.weight)

    return Model()


if __name__ == "__main__":
    main()

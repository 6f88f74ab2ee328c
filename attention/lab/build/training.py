"""How a config's model is trained: optimiser, schedule, noise, loop and checkpoints."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import optax

from attention.errors import named
from attention.lab.config.key import forbid
from attention.lab.training import noise as noises
from attention.lab.training import schedules
from attention.lab.training.noise import ScheduledSampling, TeacherForcing, TokenNoise
from attention.lab.training.optimiser import adam

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Loop:
    """The keys of ``train`` that say how long, from where, and what happens every so many steps."""

    init_from: str | None
    steps: int
    batch_tokens: int
    accumulate: int
    eval_every: int
    checkpoint_every: int
    log_every: int
    patience: int
    max_skipped: int
    watchdog_seconds: int


@dataclass(frozen=True)
class Checkpointing:
    """The keys of ``checkpoint``."""

    keep: int
    average: int
    metric: str

    @property
    def metric_mode(self) -> str:
        """Whether a higher score is better: "max", or "min"."""
        return "min" if self.metric == "loss" else "max"


def schedule(config: Config) -> optax.Schedule:
    """The learning rate by update; ``train.learning_rate`` is its peak."""
    train, size = config["train"], config["model"]["size"]
    kind, peak, warmup, steps = (
        train[key] for key in ("schedule", "learning_rate", "warmup", "steps")
    )
    falls = {"cosine": schedules.cosine, "linear": schedules.linear}
    forbid(
        (
            kind == "inverse_sqrt" and warmup < 1,
            "train.warmup: 0 is too few for inverse_sqrt; use at least 1",
        ),
        (
            kind in falls and warmup >= steps,
            f"train.warmup: {warmup} is not below train.steps {steps}; use less, or more steps",
        ),
    )
    if kind == "inverse_sqrt":
        scale = peak * math.sqrt(size * warmup)
        return schedules.inverse_sqrt(model_size=size, warmup=warmup, scale=scale)
    if kind == "constant":
        return schedules.constant(peak=peak, warmup=warmup)
    return falls[kind](peak=peak, warmup=warmup, steps=steps)


def optimiser(config: Config, rate: optax.Schedule) -> optax.GradientTransformation:
    """Adam with the paper's constants."""
    train = config["train"]
    return adam(rate, clip=train["clip"] or None, weight_decay=train["weight_decay"])


def noise(
    section: Mapping[str, Any], vocab_size: int
) -> TeacherForcing | TokenNoise | ScheduledSampling:
    """What the decoder reads in training, from the section ``noise``."""
    tokens = TokenNoise(section["token_rate"], vocab_size) if section["token_rate"] else None
    if section["kind"] == "none":
        return tokens or TeacherForcing()
    top_k, temperature = section["top_k"], section["temperature"]
    decays: dict[str, Callable[..., noises.Decay]] = {
        "linear": lambda k=1.0: noises.Linear(k, section["c"], floor=1.0 - section["rate"]),
        "exponential": lambda k=0.9999: noises.Exponential(k),
        "inverse_sigmoid": lambda k=1_000.0: noises.InverseSigmoid(k),
        "constant": lambda k=None: noises.Constant(section["rate"]),
    }
    forbid(
        (
            section["mix"] == "top_k" and top_k > vocab_size,
            f"noise.top_k: {top_k} is more than the {vocab_size} tokens of the vocabulary; use at "
            "most as many",
        )
    )
    mixes: dict[str, Callable[[], noises.Mix]] = {
        "argmax": noises.Argmax,
        "sample": partial(noises.Sample, temperature),
        "top_k": partial(noises.TopK, temperature, top_k),
        "softmax": partial(noises.Soft, temperature),
        "gumbel": partial(noises.Gumbel, temperature),
    }
    k = {} if section["k"] is None else {"k": section["k"]}
    with named(f"config.noise with schedule {section['schedule']}"):
        decay = decays[section["schedule"]](**k)
    return ScheduledSampling(decay, mixes[section["mix"]](), section["backprop"], before=tokens)

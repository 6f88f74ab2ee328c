"""Every config key: its default, its range and one line of help.

The defaults, the checks and the documentation of configs all derive from this one table. A config
is a nested dict of plain values; the three attentions are ``{"name": ..., parameter: value}``.
"""

import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from attention.errors import ConfigError
from attention.lab.config.key import Key, check_value
from attention.lab.config.suggest import suggest

Config = dict[str, Any]

SLOTS = ("encoder", "decoder", "cross")


def _rate(default: float, help: str) -> Key:
    return Key(default, help, low=0.0, high=1.0, open_high=True)


def parameter(name: str, default: Any) -> Key:
    """The key of an attention's parameter, which the variant itself checks further."""
    about = f"{name} of the attention"
    if name.endswith("rate") and isinstance(default, float):
        return _rate(default, about)
    return Key(default, about, kind=object if default is None else None)


SCHEMA: dict[str, Key] = {
    "seed": Key(0, "seed of parameters, dropout, data order and sampling", low=0),
    "data.kind": Key("grammar", "where pairs come from", choices=("grammar", "text")),
    "data.dir": Key(None, "directory of text: DIR/SPLIT.LANG or DIR/SPLIT.LANG.gz", kind=str),
    "data.source_lang": Key("en", "ending of the source files"),
    "data.target_lang": Key("zh", "ending of the target files; picks BLEU's tokenisation"),
    "data.vocab_size": Key(1_000, "most pieces of the joint vocabulary", low=261),
    "data.vocabulary": Key(None, "tokenizer.model to use, rather than one of its own", kind=str),
    "data.max_length": Key(128, "most tokens of a training sentence, eos included", low=2),
    "data.buckets": Key(6, "most batch shapes; each is compiled once", low=1),
    "data.train_pairs": Key(50_000, "grammar: training pairs generated", low=1),
    "data.heldout_pairs": Key(500, "grammar: validation and test pairs, each", low=1),
    "model.layers": Key(3, "layers of the encoder and of the decoder", low=1),
    "model.size": Key(128, "features of a token, M", low=1),
    "model.heads": Key(4, "heads of each attention; divides model.size", low=1),
    "model.kv_heads": Key(0, "heads of keys and values; divides model.heads; 0: as many", low=0),
    "model.ff_size": Key(512, "inner size of the feed-forward layers, F", low=1),
    "model.activation": Key("relu", "of the feed-forward", choices=("relu", "gelu", "swiglu")),
    "model.dropout": _rate(0.1, "on embeddings and each sublayer's output"),
    "model.ff_dropout": _rate(0.0, "inside the feed-forward layers"),
    "model.norm": Key("layer", "normalisation", choices=("layer", "rms", "batch")),
    "model.encoder_norm": Key(
        None, "that of the encoder, if another", kind=str, choices=("layer", "rms", "batch")
    ),
    "model.norm_place": Key("pre", "before each sublayer or after it", choices=("pre", "post")),
    "model.positions": Key(
        "sinusoidal",
        "how positions are told",
        choices=("sinusoidal", "learned", "rotary", "alibi", "relative", "none"),
    ),
    "model.external_tokens": Key(0, "learned global tokens before the source", low=0),
    "model.encoder_memory": Key(
        "last",
        "which of the encoder's layers each layer of the decoder asks",
        choices=("last", "same", "mixture"),
    ),
    "model.copy": Key(False, "copy source tokens, by the last layer's cross-attention"),
    "model.levels": Key(0, "mixture: uppermost states mixed; at most layers + 1; 0: all", low=0),
    "model.tied": Key(True, "one table for source, target and output"),
    "model.remat": Key(False, "recompute layers in the backward pass to save memory"),
    "train.init_from": Key(
        None, "workdir of a run whose best checkpoint and vocabulary this one begins with", kind=str
    ),
    "train.steps": Key(1_000, "updates in all", low=1, resume=True),
    "train.batch_tokens": Key(4_096, "most tokens of a batch on either side, padded", low=1),
    "train.accumulate": Key(1, "microbatches of an update", low=1),
    "train.learning_rate": Key(2e-3, "the peak learning rate", low=0.0),
    "train.schedule": Key(
        "cosine",
        "after the warm-up",
        choices=("inverse_sqrt", "cosine", "linear", "constant"),
    ),
    "train.warmup": Key(200, "updates until the peak", low=0),
    "train.label_smoothing": _rate(0.1, "share of the target spread over the vocabulary"),
    "train.clip": Key(1.0, "largest norm of the gradient; 0 for no clipping", low=0.0),
    "train.weight_decay": Key(0.0, "decoupled decay of matrices", low=0.0),
    "train.eval_every": Key(500, "updates between evaluations", low=1, resume=True),
    "train.checkpoint_every": Key(500, "updates between checkpoints", low=1, resume=True),
    "train.log_every": Key(50, "updates between lines of metrics", low=1, resume=True),
    "train.patience": Key(0, "evaluations without a better score; 0: never stop early", low=0),
    "train.max_skipped": Key(10, "non-finite updates in a row that stop the run", low=1),
    "train.watchdog_seconds": Key(
        1_800, "seconds without a finished step until train gives up; 0: never", low=0, resume=True
    ),
    "train.dtype": Key("float32", "compute dtype", choices=("float32", "bfloat16")),
    "task.kind": Key(
        "left_to_right",
        "how a target is made: token by token, or all at once (mask-predict)",
        choices=("left_to_right", "mask_predict"),
    ),
    "task.canvas": Key(
        0, "mask_predict: tokens of a canvas that is cut at eos; 0: lengths are told", low=0
    ),
    "noise.kind": Key("none", "what the decoder reads", choices=("none", "scheduled")),
    "noise.schedule": Key(
        "inverse_sigmoid",
        "decay of gold's probability",
        choices=("linear", "exponential", "inverse_sigmoid", "constant"),
    ),
    "noise.rate": Key(0.25, "constant: share of predictions; linear: the most", low=0.0, high=1.0),
    "noise.k": Key(
        None, "k of the decay; by default 1, 0.9999 and 1000, as listed", kind=float, low=0.0
    ),
    "noise.c": Key(1e-4, "c of the linear decay", low=0.0),
    "noise.mix": Key(
        "argmax",
        "how a prediction is made",
        choices=("argmax", "sample", "top_k", "softmax", "gumbel"),
    ),
    "noise.top_k": Key(5, "top_k: tokens of the mean; at most data.vocab_size", low=1),
    "noise.temperature": Key(1.0, "of every mix but argmax", low=1e-3),
    "noise.backprop": Key(False, "let gradients through the first pass"),
    "noise.token_rate": _rate(0.0, "share of decoder inputs replaced by random tokens"),
    "risk.candidates": Key(
        0, "translations drawn of each source, to lower their expected 1 - BLEU; 0: none", low=0
    ),
    "risk.alpha": Key(5e-3, "sharpness of the candidates' weights, p^alpha", low=0.0),
    "risk.temperature": Key(1.0, "of the draws", low=1e-3),
    "risk.gold": Key(True, "gold is a candidate too"),
    "risk.cross_entropy": Key(0.0, "share of cross-entropy in the loss", low=0.0, high=1.0),
    "checkpoint.keep": Key(3, "latest checkpoints kept, beside the best", low=1),
    "checkpoint.average": Key(1, "checkpoints in the mean that evaluate can ask for", low=1),
    "checkpoint.metric": Key("bleu", "the score", choices=("bleu", "chrf", "loss")),
    "mesh.data": Key(0, "devices the batch is split over; 0: all", low=0),
    "decode.beam": Key(4, "beams; 1 is greedy", low=1, resume=True),
    "decode.iterations": Key(4, "of mask_predict, whose beams are lengths", low=1, resume=True),
    "decode.valid_beam": Key(1, "beams of evaluations during training", low=1, resume=True),
    "decode.length_penalty": Key(
        0.6, "exponent of GNMT's length penalty", low=-10.0, high=10.0, resume=True
    ),
    "decode.max_length": Key(
        128,
        "most tokens of a translation, eos included; also data.max_length with learned positions",
        low=2,
        resume=True,
    ),
    "decode.batch_tokens": Key(2_048, "source tokens of a batch when decoding", low=1, resume=True),
}


RENAMED = {  # old names, understood for one release
    "model.wiring": "model.encoder_memory",
    "train.start_from": "train.init_from",
    **{f"model.{slot}.both_ways": f"model.{slot}.bidirectional" for slot in SLOTS},
}
RENAMED_ATTENTIONS = {"tempered": "learned_temperature"}


def current_name(name: str) -> str:
    """The name of a key today; warns if it was given by an old one."""
    if name not in RENAMED:
        return name
    warnings.warn(f"config.{name} is now config.{RENAMED[name]}: use that name", stacklevel=3)
    return RENAMED[name]


def current_attention(name: Any) -> Any:
    """The name of an attention today; warns if it was given by an old one."""
    if name not in RENAMED_ATTENTIONS:
        return name
    warnings.warn(f"{name} is now {RENAMED_ATTENTIONS[name]}: use that name", stacklevel=3)
    return RENAMED_ATTENTIONS[name]


def defaults() -> Config:
    """The default config as a nested dict; attentions are softmax."""
    values = {name: key.default for name, key in SCHEMA.items()}
    return unflatten(values | {f"model.{slot}.name": "softmax" for slot in SLOTS})


def completed(config: Mapping[str, Any]) -> Config:
    """A config with today's names of keys; those younger than it have their defaults."""
    full, names = defaults(), [f"model.{slot}.name" for slot in SLOTS]
    old = dict(flatten(config))
    # The fields of an attention outside this package are its author's.
    theirs = tuple(f"model.{s}." for s in SLOTS if ":" in str(old.get(f"model.{s}.name")))
    flat = {n if n.startswith(theirs) else RENAMED.get(n, n): value for n, value in old.items()}
    today = {n: RENAMED_ATTENTIONS.get(str(flat[n]), flat[n]) for n in names if n in flat}
    for section, value in unflatten(flat | today).items():
        if isinstance(full.get(section), dict) and isinstance(value, Mapping):
            full[section].update(value)
        else:
            full[section] = value
    return full


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields dotted names and values of a nested config."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def unflatten(flat: Mapping[str, Any]) -> Config:
    """The nested config of dotted names and values."""
    config: Config = {}
    for name, value in flat.items():
        *sections, leaf = name.split(".")
        owner = config
        for section in sections:
            owner = owner.setdefault(section, {})
        owner[leaf] = value
    return config


def settings(kind: type, section: Mapping[str, Any]) -> Any:
    """A dataclass from the keys of a section that have the names of its fields."""
    return kind(**{field.name: section[field.name] for field in dataclasses.fields(kind)})


def is_attention(name: str) -> bool:
    """Whether a dotted name lies in one of the three attentions, whose keys are the variant's."""
    return name.startswith(tuple(f"model.{slot}." for slot in SLOTS))


def may_change(name: str) -> bool:
    """Whether a key may change when a run goes on."""
    return name in SCHEMA and SCHEMA[name].resume


def check(config: Mapping[str, Any]) -> None:
    """Checks every key by itself: known, of its type, in its range.

    Raises:
      ValueError: a key is unknown or missing, or a value out of range; one line.
      TypeError: a value is of another type.
    """
    given = {name: value for name, value in flatten(config) if not is_attention(name)}
    for name, value in given.items():
        if name not in SCHEMA:
            raise ConfigError(f"config.{name}: unknown key{suggest(name, SCHEMA)}")
        check_value(name, SCHEMA[name], value)
    missing = [name for name in SCHEMA if name not in given]
    if missing:
        raise ConfigError(
            f"config.{missing[0]}: missing, with {len(missing)} keys in all; start from "
            "experiments/base.py and set single keys, never a whole section"
        )

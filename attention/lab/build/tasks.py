"""The task of a config, how its translations are searched for, and training toward their score."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attention.errors import ConfigError
from attention.lab.build.training import noise
from attention.lab.config.key import forbid
from attention.lab.data.tokenizer import Tokenizer
from attention.lab.tasks.mask_predict import MaskPredict
from attention.lab.tasks.minimum_risk import MinimumRisk
from attention.lab.tasks.rescoring import Task
from attention.lab.tasks.translation import Search, Translation
from attention.models.mask_predict import ConditionalMaskedLM
from attention.models.transformer import Transformer

Config = Mapping[str, Any]


def task(config: Config, model: Transformer) -> Callable[[Tokenizer], Task]:
    """What makes the task of a model once the vocabulary is known.

    Raises:
      ConfigError: a key of ``task`` or ``noise`` cannot be used with the others.
    """
    smoothing, canvas = config["train"]["label_smoothing"], config["task"]["canvas"]
    longest, section = config["data"]["max_length"], dict(config["noise"])
    noise(section, config["data"]["vocab_size"])
    _check(config, filled=not model.causal)

    def make(tokenizer: Tokenizer) -> Task:
        sized = model.clone(vocab_size=tokenizer.vocab_size)
        if model.causal:
            corrupted = noise(section, tokenizer.vocab_size)
            return Translation(sized, tokenizer, corrupted, label_smoothing=smoothing)
        filled = ConditionalMaskedLM(sized, longest)
        return MaskPredict(filled, tokenizer, label_smoothing=smoothing, canvas=canvas)

    return make


def search(config: Config, model: Transformer) -> Search:
    """How translations are searched for."""
    decode, longest = config["decode"], config["decode"]["max_length"]
    vocab_size = config["data"]["vocab_size"]
    for name in ("beam", "valid_beam"):
        check_beam(f"config.decode.{name}", decode[name], vocab_size)
    if config["model"]["positions"] == "learned":  # there are no vectors for further ones
        longest = min(longest, config["data"]["max_length"])
    longest = min(longest, model.decoder.longest or longest)
    return Search(
        beams=decode["beam"],
        length_penalty=decode["length_penalty"],
        max_length=longest,
        iterations=decode["iterations"],
    )


def check_beam(name: str, beam: int, vocab_size: int) -> None:
    """Raises ConfigError unless there are as many first tokens as beams."""
    if not 1 <= beam <= vocab_size:
        raise ConfigError(f"{name}: {beam} is not within the vocabulary; use 1 to {vocab_size}")


def minimum_risk(config: Config, longest: int) -> Callable[[Task], MinimumRisk] | None:
    """What trains a task toward its score; None where the config has cross-entropy alone."""
    risk, noisy = dict(config["risk"]), config["noise"]
    candidates, share = risk["candidates"], risk["cross_entropy"]
    forbid(
        (
            share and not candidates,
            f"risk.cross_entropy: {share} is a share beside a risk, but risk.candidates is 0; use "
            "candidates, or 0",
        ),
        (
            candidates == 1 and not risk["gold"],
            "risk.candidates: 1 alone has no gradient without risk.gold; use 2 or more",
        ),
        (
            candidates and share == 1,
            "risk.cross_entropy: 1 leaves the candidates no weight; use less, or candidates 0",
        ),
        (
            candidates and not (risk["alpha"] or share),
            "risk.alpha: 0 weighs all candidates alike, which has no gradient; use more than 0",
        ),
        (
            candidates and not share and (noisy["kind"] != "none" or noisy["token_rate"]),
            f"noise.kind: {noisy['kind']} and token_rate {noisy['token_rate']:g} need a share of "
            "risk.cross_entropy, which is 0; use none and 0, or a share",
        ),
    )
    if not candidates:
        return None
    language = config["data"]["target_lang"]
    return partial(MinimumRisk, target_lang=language, max_length=longest, **risk)


def _check(config: Config, *, filled: bool) -> None:
    """Checks what ``task`` demands of other keys, where targets are filled in or are not."""
    canvas, longest = config["task"]["canvas"], config["data"]["max_length"]
    candidates, noisy = config["risk"]["candidates"], config["noise"]
    forbid(
        (
            canvas and not filled,
            f"task.canvas: {canvas} has no use with task.kind left_to_right; use mask_predict, or "
            "canvas 0",
        ),
        (
            filled and candidates,
            f"risk.candidates: {candidates} cannot be drawn by task.kind mask_predict; use "
            "left_to_right, or 0",
        ),
        (
            filled and config["model"]["copy"],
            "model.copy: true needs tokens one after another, but task.kind is mask_predict; use "
            "left_to_right, or copy false",
        ),
        (
            filled and 0 < canvas < longest,
            f"task.canvas: {canvas} is less than data.max_length {longest}, the longest target; "
            "use at least as many, or a smaller max_length",
        ),
        (
            filled and canvas > longest and config["model"]["positions"] == "learned",
            f"task.canvas: {canvas} is more than data.max_length {longest}, the learned positions; "
            f"use {longest}, or sinusoidal positions",
        ),
        (
            filled and (noisy["kind"] != "none" or noisy["token_rate"]),
            f"noise.kind: {noisy['kind']} and token_rate {noisy['token_rate']:g} change words that "
            "task.kind mask_predict does not read; use none and 0",
        ),
    )

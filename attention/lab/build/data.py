"""Where the sentence pairs of a config come from, and how they become batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attention.errors import ConfigError
from attention.lab.config.key import forbid
from attention.lab.config.schema import settings
from attention.lab.data.sources import grammar
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.sources.text import read_parallel


@dataclass(frozen=True)
class Data:
    """The keys of ``data`` and the seed; see ``attention.lab.config.schema``."""

    kind: str
    dir: str | None
    source_lang: str
    target_lang: str
    vocab_size: int
    vocabulary: str | None
    max_length: int
    buckets: int
    train_pairs: int
    heldout_pairs: int
    seed: int

    def pairs(self, split: str, directory: str | None = None) -> Pairs:
        """The sentence pairs of a split, from files or from the grammar.

        Args:
          split: which; of files any name.
          directory: of other files than those of the config.

        Raises:
          ConfigError: the grammar makes no such split.
          DataError: the files are missing or cannot be used.
        """
        if directory is not None or self.kind == "text":
            where = directory or self.dir or ""
            return read_parallel(where, split, self.source_lang, self.target_lang)
        counts = {"train": self.train_pairs, "valid": self.heldout_pairs}
        counts["test"] = self.heldout_pairs
        if split not in counts:
            raise ConfigError(f"split: the grammar makes no {split!r}; use {', '.join(counts)}")
        return grammar.sample_pairs(split, counts[split], seed=self.seed)


def data_of(config: Mapping[str, Any]) -> Data:
    """The data of a config.

    Raises:
      ConfigError: a key of ``data`` cannot be used with the others.
    """
    made: Data = settings(Data, config["data"] | {"seed": config["seed"]})
    languages, init_from = (made.source_lang, made.target_lang), config["train"]["init_from"]
    forbid(
        (
            made.kind == "text" and not made.dir,
            "data.dir: not set; use --config.data.dir=DIR with files train.LANG, valid.LANG and "
            "test.LANG (plain or .gz)",
        ),
        (
            languages[0] == languages[1],
            f"data.target_lang: {languages[1]!r} is also data.source_lang; translation needs two "
            "languages",
        ),
        (
            made.vocabulary and init_from,
            f"data.vocabulary: {made.vocabulary!r} has no use, since train.init_from, {init_from}, "
            "has a vocabulary; leave one of them out",
        ),
        (
            made.kind == "grammar" and made.dir,
            f"data.dir: {made.dir!r} is not read, since data.kind is grammar; use "
            "--config.data.kind=text, or start from experiments/text.py",
        ),
        (
            made.kind == "grammar" and languages != ("en", "zh"),
            f"data.target_lang: the grammar has no {languages[0]!r} with {languages[1]!r}; use en "
            "and zh, or start from experiments/text.py for text of your own",
        ),
    )
    return made

"""One corpus of true pairs and of back-translated ones, whose sources bear a tag.

Sennrich et al. 2016, "Improving Neural Machine Translation Models with Monolingual Data"; the tag,
Caswell et al. 2019, "Tagged Back-Translation".
"""

import sys
from pathlib import Path

from attention.errors import ConfigError
from attention.lab.commands.arguments import Call
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.sources.text import new_directory, read_lines, read_parallel, write_parallel


def run(call: Call) -> None:
    """Does what the command line says."""
    mix(**call.given)


def mix(
    data_dir: str | Path,
    target_dir: str | Path,
    *,
    source_lang: str,
    target_lang: str,
    synthetic: str | Path,
    monolingual: str | Path,
    tag: str = "<BT>",
) -> Path:
    """Writes DIR/{train,valid,test}.LANG: training text with the tagged pairs after the true ones.

    Args:
      data_dir: the true corpus, see ``attention.lab.data.sources.text.read_parallel``.
      target_dir: a directory that is new or empty.
      source_lang, target_lang: endings of its files.
      synthetic: translations of the monolingual text into the source language, a line each.
      monolingual: text in the target language.
      tag: the first word of each synthetic source; none if blank.

    Returns:
      The directory.

    Raises:
      ValueError: the two texts differ in length, or one cannot be used; or there is one language.
      OSError: files are missing, the directory has files, or cannot be written.
    """
    if source_lang == target_lang:
        raise ConfigError(f"source_lang and target_lang are both {source_lang!r}; a pair has two")
    sources, targets = read_lines(synthetic), read_lines(monolingual)
    if len(sources) != len(targets):
        raise ConfigError(
            f"synthetic: {synthetic} has {len(sources):,} lines and {monolingual} has "
            f"{len(targets):,}; translate each line of the one to a line of the other"
        )
    splits = {
        split: read_parallel(data_dir, split, source_lang, target_lang)
        for split in ("train", "valid", "test")
    }
    true = splits["train"]
    # A translation may be blank, and then says nothing.
    kept = [pair for pair in zip(sources, targets, strict=True) if pair[0].strip()]
    tagged = tuple(f"{tag} {source}".strip() for source, _ in kept)
    splits["train"] = Pairs(true.source + tagged, true.target + tuple(t for _, t in kept))
    folder = new_directory(target_dir)
    for split, pairs in splits.items():
        write_parallel(folder, split, source_lang, target_lang, pairs)
    print(f"{len(true):,} true pairs and {len(kept):,} back-translated ones in {folder}",
          file=sys.stderr)  # fmt: skip
    return folder

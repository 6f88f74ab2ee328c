"""Distillation (Kim & Rush 2016): a corpus whose targets are a trained run's translations."""

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from attention.lab.build.tasks import check_beam
from attention.lab.commands.arguments import Call
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.sources.text import new_directory, write_parallel
from attention.lab.runs import load

_SOME = 2_048  # sentences translated together


def run(call: Call) -> None:
    """Does what the command line says."""
    distil(**call.given)


def distil(
    workdir: str | Path,
    target_dir: str | Path,
    *,
    checkpoint: str = "best",
    beam: int | None = None,
    allow_import: Sequence[str] = (),
) -> Path:
    """Writes DIR/train.LANG with the run's translations of its training text, and what goes along.

    Validation and test text are written as they are, and the run's vocabulary as
    DIR/tokenizer.model, so that a student may have the same (``config.data.vocabulary``).

    Args:
      workdir: the run.
      target_dir: a directory that is new or empty.
      checkpoint: see ``attention.lab.runs.load.load``.
      beam: beams; by default the config's.
      allow_import: see ``attention.lab.runs.load.load``.

    Returns:
      The directory.

    Raises:
      RunError: there is no run, or no such checkpoint.
      ValueError: ``beam`` is out of range.
      OSError: the directory has files, or cannot be written.
    """
    run = load.load(workdir, checkpoint, allow_import=allow_import)
    data, search = run.experiment.data, run.experiment.search
    search = search if beam is None else replace(search, beams=beam)
    check_beam("beam", search.beams, run.task.tokenizer.vocab_size)
    folder, languages = new_directory(target_dir), (data.source_lang, data.target_lang)
    for split in ("valid", "test"):
        write_parallel(folder, split, *languages, data.pairs(split))
    shutil.copyfile(Path(workdir) / "tokenizer.model", folder / "tokenizer.model")
    pairs = data.pairs("train")
    sources = run.evaluator.examples(pairs).source
    translations: list[str] = []
    begun = time.monotonic()
    for first in range(0, len(sources), _SOME):
        some = sources[first : first + _SOME]
        found = run.evaluator.translate(run.params, run.model_state, some, search)
        translations += [best[0][0] for best in found]
        speed = len(translations) / (time.monotonic() - begun)
        print(f"{len(translations):,} of {len(sources):,} sentences, {speed:,.0f} a second",
              file=sys.stderr)  # fmt: skip
    write_parallel(folder, "train", *languages, Pairs(pairs.source, tuple(translations)))
    return folder

"""The commands of the command line, and the flags that each takes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from absl import flags

from attention.errors import ConfigError


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
      help: what it does, in one line.
      needed: flags that must be given.
      optional: flags that may be given.
    """

    help: str
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """All flags that it takes."""
        return self.needed + self.optional


@dataclass(frozen=True)
class Call:
    """A command line that was understood.

    Attributes:
      command: the command's name.
      given: its flags by name.
      overrides: ``--config.KEY=VALUE`` each, as they were typed.
      program: what starts this command line again.
    """

    command: str
    given: dict[str, Any]
    overrides: list[str]
    program: list[str]


COMMANDS = {
    "train": Command(
        "trains a run, or goes on with it, and evaluates it",
        ("config",),
        ("workdir", "on_change", "final_split"),
    ),
    "evaluate": Command(
        "scores a trained run on a split",
        ("workdir",),
        ("split", "data_dir", "checkpoint", "compare", "teacher", "samples", "allow_import"),
    ),
    "translate": Command(
        "translates stdin, a sentence a line, to stdout",
        ("workdir",),
        ("checkpoint", "beam", "nbest", "scores", "teacher", "allow_import"),
    ),
    "inspect": Command(
        "translates a sentence and draws attention maps",
        ("workdir", "text"),
        ("checkpoint", "allow_import"),
    ),
    "sweep": Command(
        "trains what an experiment's sweep() lists",
        ("config", "workdir"),
        ("executor", "on_change"),
    ),
    "options": Command("lists the keys of a config: value, meaning, range", (), ("config",)),
    "distil": Command(
        "writes a corpus whose targets are a run's translations",
        ("workdir", "target_dir"),
        ("checkpoint", "beam", "allow_import"),
    ),
    "mix": Command(
        "writes a corpus of true and back-translated pairs",
        ("data_dir", "target_dir", "source_lang", "target_lang", "synthetic", "monolingual"),
        ("tag",),
    ),
    "expose": Command(
        "prints loss and accuracy by position, after gold and after the model's own words",
        ("workdir",),
        ("split", "data_dir", "checkpoint", "allow_import"),
    ),
}
FLAGS = {  # the kind of its value, and its help
    "config": ("string", "FILE.py or NAME of a shipped experiment, and :structure behind it"),
    "workdir": ("string", "the run's directory; of train by default runs/NAME"),
    "on_change": ("string", "of a workdir of another config: refuse (default), continue, restart"),
    "final_split": ("string", "the split evaluated at the end: test (default) or valid"),
    "split": ("string", "the split to score"),
    "data_dir": ("string", "directory of other files than the run was trained on"),
    "checkpoint": ("string", "best (default), latest, average, or a step"),
    "compare": ("string", "workdir of another run, for sacreBLEU's paired bootstrap"),
    "teacher": ("string", "workdir of a run that ranks this run's candidates"),
    "samples": ("integer", "random translations of each source, for their mean sentence BLEU"),
    "beam": ("integer", "beams; by default the config's"),
    "nbest": ("integer", "translations of each line (default 1)"),
    "scores": ("boolean", "write each translation's score before it"),
    "text": ("string", "the sentence"),
    "allow_import": ("multi_string", "packages that attentions of the run may be imported from"),
    "executor": ("string", "where trials run: local (default), ray, slurm, print"),
    "target_dir": ("string", "directory for the new corpus; it must be new or empty"),
    "source_lang": ("string", "ending of the source files"),
    "target_lang": ("string", "ending of the target files"),
    "synthetic": ("string", "file of back-translations, a line each"),
    "monolingual": ("string", "file of the text that was back-translated"),
    "tag": ("string", "first word of each synthetic source (default <BT>); may be empty"),
}
MAY_BE_EMPTY = {"tag"}


def parse(argv: Sequence[str], program: Sequence[str] = ()) -> Call:
    """The command, its flags by name, and the overrides of single keys of the config.

    Raises:
      ConfigError, absl.flags.Error: the command or a flag is unknown, or lacks its value.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    for name, (kind, about) in FLAGS.items():
        getattr(flags, f"DEFINE_{kind}")(name, None, about, flag_values=values)
    overrides = [arg for arg in argv if re.match(r"--?(no)?config\.", arg)]
    try:
        command = " ".join(values([arg for arg in argv if arg not in overrides])[1:])
    except RecursionError:  # absl's, while it looks for names that are near to a very long one
        longest = max(argv, key=len)
        raise ConfigError(f"{longest[:40]}... is no flag; see --help") from None
    if command not in COMMANDS:
        raise ConfigError(
            f"needs one of {', '.join(COMMANDS)}; got {command or 'none'}; see --help"
        )
    given = {name: values[name].value for name in values if values[name].present}
    known = COMMANDS[command].flags
    for name in [*COMMANDS[command].needed, *given, *(["config"] if overrides else [])]:
        if name not in known or (given.get(name, "") == "" and name not in MAY_BE_EMPTY):
            verb = "needs a value for" if name in known else "has no flag"
            raise ConfigError(f"{command} {verb} --{name}; its flags are --{', --'.join(known)}")
    return Call(command, given, overrides, list(program))


def help_of(argv: Sequence[str], program: str) -> str:
    """The help of the command that is named, or of all."""
    named = [arg for arg in argv[1:] if arg in COMMANDS]
    if not named:
        lines = [f"{program} COMMAND [flags]; {program} COMMAND --help says more of one", ""]
        return "\n".join([*lines, *(f"  {name:10} {c.help}" for name, c in COMMANDS.items())])
    command = COMMANDS[named[0]]
    usage = [
        *(f"--{name}=..." for name in command.needed),
        *(f"[--{name}=...]" for name in command.optional),
        *(["[--config.KEY=VALUE ...]"] if "config" in command.flags else []),
    ]
    lines = [f"{program} {named[0]} {' '.join(usage)}", "", command.help, ""]
    return "\n".join([*lines, *(f"  --{name:12} {FLAGS[name][1]}" for name in command.flags)])

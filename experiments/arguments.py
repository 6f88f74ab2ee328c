"""The commands of the command line, and the flags that each takes."""

from __future__ import annotations

import re
from typing import Any

from absl import flags

COMMANDS = {  # the flags each needs, and those it may have
    "train": (["config"], ["workdir", "on_change", "final_split"]),
    "sweep": (["config", "workdir"], ["executor", "on_change"]),
    "evaluate": (["workdir"], ["split", "data_dir", "checkpoint", "compare", "teacher", "samples"]),
    "translate": (["workdir"], ["checkpoint", "beam", "nbest", "scores", "teacher"]),
    "inspect": (["workdir", "text"], ["checkpoint"]),
    "distil": (["workdir", "target_dir"], ["checkpoint", "beam"]),
    "mix": (
        ["data_dir", "target_dir", "source_lang", "target_lang", "synthetic", "monolingual"],
        ["tag"],
    ),
    "expose": (["workdir"], ["split", "data_dir", "checkpoint"]),
    "options": ([], ["config"]),
}
KINDS = {  # the rest is text
    **dict.fromkeys(("beam", "nbest", "samples"), "integer"),
    "scores": "boolean",
}
MAY_BE_EMPTY = {"tag"}


def parse(argv: list[str]) -> tuple[str, dict[str, Any], list[str]]:
    """The command, its flags by name, and what is said of single keys of the config.

    Raises:
      ValueError, absl.flags.Error: the command or a flag is unknown, or lacks its value.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    for name in {name for both in COMMANDS.values() for names in both for name in names}:
        getattr(flags, f"DEFINE_{KINDS.get(name, 'string')}")(name, None, name, flag_values=values)
    keys = [arg for arg in argv if re.match(r"--?(no)?config\.", arg)]
    try:
        said = " ".join(values([arg for arg in argv if arg not in keys])[1:])
    except RecursionError:  # absl's, while it looks for names that are near to a very long one
        longest = max(argv, key=len)
        raise ValueError(f"{longest[:40]}... is no flag; see --help") from None
    if said not in COMMANDS:
        raise ValueError(f"needs one of {', '.join(COMMANDS)}; got {said or 'none'}; see --help")
    given = {name: values[name].value for name in values if values[name].present}
    needed, optional = COMMANDS[said]
    known = needed + optional
    for name in [*needed, *given, *(["config"] if keys else [])]:
        if name not in known or (given.get(name, "") == "" and name not in MAY_BE_EMPTY):
            verb = "needs a value for" if name in known else "has no flag"
            raise ValueError(f"{said} {verb} --{name}; its flags are --{', --'.join(known)}")
    return said, given, keys

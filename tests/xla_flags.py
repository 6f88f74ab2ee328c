"""Which of XLA's flags the installed jaxlib knows: an unknown one ends the process."""

import os
import re
import subprocess
import sys

_STARTS = "from jaxlib import xla_client; xla_client.make_cpu_client()"
_UNKNOWN = re.compile(r"Unknown flags? in XLA_FLAGS: (.*)")


def known_flags(*flags: str) -> tuple[str, ...]:
    """Return those of the flags that XLA accepts, found in a process that may end.

    Args:
      flags: as in XLA_FLAGS, each ``--name=value``.

    Raises:
      RuntimeError: if XLA does not start for another reason than an unknown flag.
    """
    while flags:
        ran = subprocess.run(
            [sys.executable, "-c", _STARTS],
            env=os.environ | {"XLA_FLAGS": " ".join(flags)},
            capture_output=True,
            text=True,
        )
        if ran.returncode == 0:
            break
        found = _UNKNOWN.search(ran.stderr)
        unknown = found[1].split() if found else []
        if not set(unknown) & set(flags):
            raise RuntimeError(f"XLA does not start with {flags}: {ran.stderr.strip()}")
        flags = tuple(flag for flag in flags if flag not in unknown)
    return flags

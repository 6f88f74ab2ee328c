"""What every attention of a config can do, as a table made from what they declare.

python -m tools.attention_table                       prints it
python -m tools.attention_table docs/attentions.md    puts it between the two marks of that file
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from attention.lab.build import attentions
from attention.modules.attention.variables import STATE
from attention.modules.layers import multi_head
from attention.protocols import Attention, Capabilities, TokenMixer

BEGIN, END = "<!-- capabilities -->", "<!-- /capabilities -->"
SIZE, HEADS = 512, 8  # of the layers whose parameters are counted
COLUMNS = (
    "name",
    "definition",
    "causal",
    "cross",
    "padding",
    "bias",
    "decoding",
    "time",
    "memory",
    "parameters",
    "paper",
    "file",
)
_PAPER = re.compile(r"[A-Z][\w-]+(?:,? (?:et al\.|&|and|[A-Z]\w+))* (?:19|20)\d\d")


def table() -> str:
    """The table in Markdown, a row an attention, and one for each of its other forms."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *_rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put_into(text: str) -> str:
    """The text with the table between its marks.

    Raises:
      ValueError: the marks are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text has no {BEGIN} with {END} after it; put both where it belongs")
    return f"{before}{begin}\n\n{table()}\n\n{end}{after}"


def _rows() -> Iterator[tuple[str, ...]]:
    for name, variant in attentions.ATTENTIONS.items():
        for form in ({}, *variant.forms):
            spec = {"name": name} | dict(form)
            told = ", ".join(f"{key}={_said(value)}" for key, value in form.items())
            attend = attentions.attention_of(attentions.usual_slot(name), spec)
            yield _row(f"`{name}`" + (f" with {told}" if told else ""), attend)


def _row(name: str, attend: Attention | TokenMixer) -> tuple[str, ...]:
    can = attend.capabilities
    path = Path(inspect.getfile(type(attend)))
    file = f"{path.parent.name}/{path.name}"
    return (
        name,
        (inspect.getdoc(type(attend)) or "").partition("\n")[0].rstrip(".").replace("|", r"\|"),
        can.causal,
        _cross(can),
        _padding(can),
        _yes(can.bias),
        can.decoding,
        can.time,
        can.memory,
        _counted(attend),
        _paper(attend),
        f"[{file}](../attention/variants/{file})",
    )


def _cross(can: Capabilities) -> str:
    if can.decoding == "stateful":
        return "alone"
    return _yes(can.cross) + (", to one length" if can.cross and can.fixed_length else "")


def _padding(can: Capabilities) -> str:
    """With which masks beside it; padding itself is ignored exactly by all."""
    if can.masks == "any":
        return "exact, with any mask"
    return "exact, alone" if can.causal == "no" else "exact, alone or with causal"


def _said(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value).lower()


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _counted(attend: Attention | TokenMixer) -> str:
    """Numbers that are trained, and numbers of state, in a layer of 512 features and 8 heads."""
    layer = multi_head(HEADS, attend)()
    x_BTM = jax.ShapeDtypeStruct((1, 16, SIZE), jnp.float32)
    inputs = (x_BTM, x_BTM) if attend.capabilities.decoding == "stateful" else (x_BTM,)
    made = dict(jax.eval_shape(layer.init, jax.random.key(0), *inputs))
    trained, kept = (
        sum(leaf.size for leaf in jax.tree.leaves(made.get(name, {}))) for name in ("params", STATE)
    )
    return f"{trained:,}" + (f" and {kept:,} of state" if kept else "")


def _paper(attend: Attention | TokenMixer) -> str:
    """The first paper that the variant's file names."""
    said = sys.modules[type(attend).__module__].__doc__ or ""
    found = _PAPER.search(said) or _PAPER.search(type(attend).__doc__ or "")
    return found.group() if found else ""


def main(arguments: list[str]) -> None:
    """Prints the table, or writes it into the files named."""
    for name in arguments:
        path = Path(name)
        path.write_text(put_into(path.read_text("utf-8")), "utf-8")
    if not arguments:
        print(table())


if __name__ == "__main__":
    main(sys.argv[1:])

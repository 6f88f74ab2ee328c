"""The modules by name as type checkers see them, made of ``attention.variants.ALL``.

python -m tools.named_attentions    writes attention/modules/attention/named.pyi
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from attention.modules.attention import named
from attention.modules.attention.multi_head import MultiHead

STUB = Path(named.__file__).with_suffix(".pyi")
HEAD = """\
# Made by: python -m tools.named_attentions
from typing import Any

from attention import masks
from attention.modules.attention.multi_head import MultiHead
from attention.modules.mixing import TokenMixing
from attention.positions import Rotary

def named(variant: Any) -> type: ...
"""


def stub() -> str:
    """The text of named.pyi."""
    return HEAD + "".join(_class(made) for made in classes().values())


def classes() -> dict[str, type]:
    """The modules by name, in the order of their names."""
    made = {name: value for name, value in vars(named).items() if inspect.isclass(value)}
    ours = {name: value for name, value in made.items() if value.__module__ == named.__name__}
    return dict(sorted(ours.items()))


def _class(made: type) -> str:
    base = "MultiHead" if issubclass(made, MultiHead) else "TokenMixing"
    heads, *others = (_argument(p) for p in inspect.signature(made).parameters.values())
    arguments = "".join(f"        {text},\n" for text in ("self", heads, "*", *others))
    return (
        f"\nclass {made.__qualname__}({base}):\n    def __init__(\n{arguments}    ) -> None: ...\n"
    )


def _argument(parameter: inspect.Parameter) -> str:
    annotation, default = inspect.formatannotation(parameter.annotation), parameter.default
    annotation = re.sub(r"attention\.(?:\w+\.)*(?=[A-Z])", "", annotation)  # HEAD imports these
    annotation = annotation.replace("Mask", "masks.Mask")
    if parameter.name == "name":  # Flax's own
        annotation = "str | None"
    if default is inspect.Parameter.empty:
        return f"{parameter.name}: {annotation}"
    plain = default is None or isinstance(default, bool | int | float | str | tuple)
    shown = repr(default).replace("'", '"') if plain else "..."
    return f"{parameter.name}: {annotation} = {shown}"


if __name__ == "__main__":
    STUB.write_text(stub(), "utf-8")

"""Each attention, and each mixer, as a module by its own name.

>>> from attention import LocalAttention
>>> LocalAttention(heads=8, left=16).attention
Local(left=16, right=64, dropout_rate=0.0, kernel='auto')

Type checkers read named.pyi, which ``python -m tools.named_attentions`` makes of the same list.
"""

import dataclasses
import inspect
from typing import Any

from attention import variants
from attention.modules.attention.multi_head import MultiHead
from attention.modules.mixing import TokenMixing
from attention.protocols import TokenMixer


def named(variant: Any) -> type:
    """A subclass of ``MultiHead``, or of ``TokenMixing``, around one kind of attention.

    Args:
      variant: a class from ``attention.variants``.

    Returns:
      A class whose arguments are the module's and, by keyword, the variant's fields.
    """
    mixes = issubclass(variant, TokenMixer)
    base, role, ending = (
        (TokenMixing, "mixer", "Mixing") if mixes else (MultiHead, "attention", "Attention")
    )
    fields = {field.name for field in dataclasses.fields(variant)}

    class Named(base):
        def __init__(self, *arguments: Any, **options: Any):
            if role not in options:  # Flax gives it where it copies a module
                own = {name: options.pop(name) for name in fields & options.keys()}
                options[role] = variant(**own)
            base.__init__(self, *arguments, **options)

    Named.__name__ = base.__name__  # by which Linen names parameters
    Named.__qualname__, Named.__module__ = f"{variant.__name__}{ending}", __name__
    Named.__doc__ = (
        f"``{base.__qualname__}(heads, {role}=attention.variants.{variant.__name__}(...))``.\n\n"
        f"{(inspect.getdoc(variant) or '').partition('>>>')[0].rstrip()}\n"
    )
    Named.__signature__ = _signature(base, role, variant)
    return Named


def _signature(base: type, role: str, variant: Any) -> inspect.Signature:
    """The module's parameters but the variant, and the variant's; all but the heads by keyword."""
    heads, *others = (
        parameter
        for name, parameter in inspect.signature(base).parameters.items()
        if name not in (role, "parent")
    )
    others += inspect.signature(variant).parameters.values()
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in others]
    return inspect.Signature([heads, *keywords])


globals().update((made.__qualname__, made) for made in map(named, variants.ALL))

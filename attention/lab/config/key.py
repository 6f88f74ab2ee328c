"""One config key: default, type, range and a line of help; and what a value of it must be."""

import math
from dataclasses import dataclass
from typing import Any

from attention.errors import ConfigError
from attention.lab.config.suggest import suggest


@dataclass(frozen=True)
class Key:
    """One config key.

    Attributes:
      default: the value if nothing else is said; None where ``kind`` allows "not set".
      help: one line.
      kind: the type of the value; taken from the default unless that is None.
      low, high: the range of a number, both ends included unless ``open_high``.
      choices: the values allowed.
      resume: whether it may change when a run goes on.
    """

    default: Any
    help: str
    kind: type | None = None
    low: float | None = None
    high: float | None = None
    open_high: bool = False
    choices: tuple[str, ...] = ()
    resume: bool = False

    @property
    def type(self) -> type:
        return self.kind or type(self.default)


def forbid(*rules: tuple[object, str]) -> None:
    """Raises ConfigError with the message, "config." before it, of the first rule that is broken.

    Args:
      *rules: whether it is broken, and a message that begins with the key.
    """
    for broken, message in rules:
        if broken:
            raise ConfigError(f"config.{message}")


def check_value(name: str, key: Key, value: Any) -> None:
    """Checks one value by its key; raises as ``check`` does."""
    if value is None and key.default is None:
        return
    also = {float: int, tuple: list}.get(key.type, key.type)
    fits = isinstance(value, key.type | also) and (key.type is bool or not isinstance(value, bool))
    more = ""
    if fits and key.choices:
        fits, more = value in key.choices, suggest(value, key.choices)
    elif fits and key.type is int and value >= 2**31:
        fits, more = False, ", below 2^31"
    elif fits and key.type in (int, float):
        low = -math.inf if key.low is None else key.low
        high = math.inf if key.high is None else key.high
        inside = low <= value < high if key.open_high else low <= value <= high
        fits = inside and math.isfinite(value)
    if not fits:
        raise ConfigError(f"config.{name}: {value!r} cannot be used; use {wanted(key)}{more}")


def wanted(key: Key) -> str:
    """What a key's value has to be, and what it means: for errors."""
    return f"{allowed(key)} ({key.help})"


def allowed(key: Key) -> str:
    """What a key's value has to be."""
    if key.choices:
        return f"one of {', '.join(key.choices)}"
    kinds = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        tuple: "values with commas between",
    }
    kind = kinds.get(key.type, "text")
    if key.high is not None:
        kind += f" in [{key.low:g}, {key.high:g}{')' if key.open_high else ']'}"
    elif key.low is not None:
        kind += f" of at least {key.low:g}"
    return kind

"""The value of a config key from the text of a flag, and the text from the value."""

import ast
from collections.abc import Callable
from typing import Any

from attention.errors import ConfigError
from attention.lab.config.key import Key, wanted

_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse(name: str, key: Key, text: str) -> Any:
    """What a text means for a key: `none`, `true`, `1e3`, `1,2` or `(1, 2)`, or the text itself.

    Ranges are not looked at: see ``attention.lab.config.key.check_value``.

    Raises:
      ConfigError: the text is no value of the key's type; one line.
    """
    if key.default is None and text.strip().lower() == "none":
        return None
    try:
        return _READERS[key.type](text)
    except (LookupError, ValueError, SyntaxError, OverflowError, MemoryError, RecursionError):
        raise ConfigError(f"--config.{name}={text}: use {wanted(key)}") from None


def written(value: Any) -> str:
    """A value as a flag takes it: what ``parse`` reads as the value again."""
    if isinstance(value, list | tuple):
        return ",".join(map(written, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _int(text: str) -> int:
    """An integer however it is written: 1000, 1_000, 1e3."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if number != int(number):
            raise
        return int(number)


def _tuple(text: str) -> tuple[Any, ...]:
    """Parts between commas, with or without brackets around them; none for ``()``."""
    inside = text.strip()
    if inside[:1] + inside[-1:] in ("()", "[]"):
        inside = inside[1:-1]
    return tuple(_literal(part.strip()) for part in inside.split(",") if part.strip())


def _literal(text: str) -> Any:
    """A number, a truth value, None, or the text itself."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, int | float | bool | None) else text


_READERS: dict[type, Callable[[str], Any]] = {
    bool: lambda text: _BOOLS[text.strip().lower()],
    int: _int,
    float: float,
    str: str,
    tuple: _tuple,
    object: _literal,
}

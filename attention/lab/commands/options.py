"""Lists every key of a config: its flag, its value, what it means and what is allowed."""

from collections.abc import Mapping
from typing import Any

from attention.lab.commands.arguments import Call
from attention.lab.commands.resolve import keys_of, resolve
from attention.lab.config import schema
from attention.lab.config.flags import written
from attention.lab.config.key import allowed


def run(call: Call) -> None:
    """Prints the table."""
    print(table(resolve(call.given.get("config", "base"), call.overrides)))


def table(config: Mapping[str, Any]) -> str:
    """A line a key: its flag with the config's value, what it means, and what is allowed."""
    values = dict(schema.flatten(config))
    rows = [
        (f"--config.{name}={written(values[name])}", f"{key.help} ({allowed(key)})")
        for name, key in keys_of(config)
        if name in values
    ]
    width = max(len(flag) for flag, _ in rows)
    return "\n".join(f"{flag:{width}}  {meaning}" for flag, meaning in rows)

"""Mistakes of the user: each is one line that says where, what is wrong, and the remedy.

Each kind is also a built-in error, so that ``except ValueError`` catches what it always did. The
command line prints a ``UserError`` and exits with 2; any other exception is a fault of ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can mend."""


class ConfigError(UserError, ValueError, TypeError):
    """A key of a config, a flag or an argument has a value that cannot be used."""


class UnsupportedError(UserError, NotImplementedError):
    """An attention, a task or a kernel cannot do what it is chosen for."""


class DataError(UserError, OSError, ValueError):
    """A text or data file is missing or cannot be used; names the file, and the line if it can."""


class RunError(UserError, OSError, ValueError):
    """A workdir holds no run, or one that is damaged, in use, or of another config."""


class StorageError(UserError, OSError):
    """A path cannot be written or read: a full disk, a permission; names the path."""


class DivergedError(FloatingPointError):
    """The loss was not finite too often: the run cannot go on as it is."""


@contextmanager
def named(where: str) -> Iterator[None]:
    """Turns errors of values that are built from a config into the user's, with the key's name.

    Args:
      where: the key, as "config.noise".

    Raises:
      ConfigError: a ValueError or TypeError was raised.
      UnsupportedError: a NotImplementedError was raised.
    """
    try:
        yield
    except NotImplementedError as error:
        raise UnsupportedError(f"{where}: {error}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error


@contextmanager
def reading(path: object) -> Iterator[None]:
    """Turns an OSError at a path that the user gave into a DataError that names the path."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from error


@contextmanager
def writing(path: object) -> Iterator[None]:
    """Turns an OSError at a path that is written into a StorageError that names the path."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}); make room or mend the disk, "
            "and start again"
        ) from error

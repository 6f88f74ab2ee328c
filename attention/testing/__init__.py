"""The laws that every attention is held to."""

from attention.testing.case import Case
from attention.testing.masks import settings_of

__all__ = ["Case", "settings_of"]

"""The laws that every attention is held to, as one call for an attention of your own."""

from attention.testing.case import Case
from attention.testing.check import check
from attention.testing.masks import settings_of

__all__ = ["Case", "check", "settings_of"]

"""Laws' cases."""

from tests.laws.case import Case

FEWER: list[Case] = []

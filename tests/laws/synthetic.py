"""Laws' cases."""

from tests.laws.case import Case

SYNTHETIC: list[Case] = []

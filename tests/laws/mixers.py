"""Laws' cases."""

from tests.laws.case import Case

MIXERS: list[Case] = []

"""Laws' cases."""

from tests.laws.case import Case

LINEAR: list[Case] = []

"""Laws' cases."""

from tests.laws.case import Case

CLUSTERED: list[Case] = []

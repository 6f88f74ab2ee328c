"""The kinds of task that a run can have: the same calls, whatever the order of the tokens."""

from __future__ import annotations

from attention.tasks.filling import Filling
from attention.tasks.rescoring import Rescored
from attention.tasks.translation import Translation

Task = Translation | Filling
Judged = Task | Rescored

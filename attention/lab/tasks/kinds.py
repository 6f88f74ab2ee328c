"""The kinds of task that a run can have: the same calls, whatever the order of the tokens."""

from __future__ import annotations

from attention.lab.tasks.mask_predict import MaskPredict
from attention.lab.tasks.rescoring import Rescored
from attention.lab.tasks.translation import Translation

Task = Translation | MaskPredict
Evaluated = Task | Rescored

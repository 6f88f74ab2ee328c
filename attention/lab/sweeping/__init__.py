"""Sweeps: what to try, where to run it, and the table of what came of it.

An experiment's file says what to try in a function ``sweep()``; ``launch.py sweep`` runs it.

    from attention.lab.sweeping import grid

    def sweep():
        return grid({"train.learning_rate": (1e-3, 2e-3), "seed": (0, 1)})
"""

from attention.lab.sweeping.spaces import (
    Choice,
    Integers,
    LogUniform,
    Sweep,
    Uniform,
    grid,
    listed,
    random_search,
    study,
)

__all__ = [
    "Choice",
    "Integers",
    "LogUniform",
    "Sweep",
    "Uniform",
    "grid",
    "listed",
    "random_search",
    "study",
]

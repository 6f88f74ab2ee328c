"""Which learning rate and which norm the built-in grammar likes, with two seeds each.

Command: python launch.py sweep --config=experiments/sweep_quickstart.py --workdir=runs/sweep
Time: eight trainings of 150 steps each, one after the other on two cores. Time and score are not
measured yet.
"""

from attention.sweeping import grid
from experiments import quickstart


def get_config(structure: str = ""):
    """The quickstart, cut short."""
    config = quickstart.get_config(structure)
    config.train.update(steps=150, warmup=50, eval_every=75, checkpoint_every=75)
    return config


def sweep():
    """What to try."""
    return grid(
        {"train.learning_rate": (1e-3, 3e-3), "model.norm": ("layer", "rms"), "seed": (0, 1)}
    )

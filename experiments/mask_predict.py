"""The quickstart, its targets filled in all at once: mask-predict with lengths that are told.

Command: python launch.py train --config=experiments/mask_predict.py
"""

from experiments import quickstart


def get_config(structure: str = ""):
    """``structure`` picks attentions by place, as in ``encoder=local``."""
    config = quickstart.get_config(structure)
    config.task.kind = "mask_predict"
    return config

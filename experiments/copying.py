"""The quickstart with a pointer-generator: each output token is generated, or copied.

Command: python launch.py train --config=experiments/copying.py
Time: about two minutes on two cores. Expected: as the quickstart, test BLEU above 90.
--config=experiments/quickstart.py:cross=location and cross=monotonic ask the source in its order.
"""

from experiments import quickstart


def get_config(structure: str = ""):
    """``structure`` picks attentions by place, as in ``cross=location``."""
    config = quickstart.get_config(structure)
    config.model.copy = True
    return config

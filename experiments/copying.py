"""The quickstart with a pointer-generator: each output token is generated, or copied.

Command: python launch.py train --config=experiments/copying.py
Time: two to three minutes on two cores. Expected: test BLEU 94.5 (docs/results.md).
--config=experiments/quickstart.py:cross=location and cross=monotonic ask the source in its order.
"""

from experiments import quickstart


def get_config(structure: str = ""):
    """``structure`` picks attentions by slot, as in ``cross=location``."""
    config = quickstart.get_config(structure)
    config.model.copy = True
    return config

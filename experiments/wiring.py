"""The quickstart, each layer of the decoder asking a learned mixture of the encoder's layers.

Command: python launch.py train --config=experiments/wiring.py
Time: about two minutes on two cores. Expected: test BLEU 97 (docs/results.md). With
--config.model.encoder_memory=same layer i asks layer i.
"""

from experiments import quickstart


def get_config(structure: str = ""):
    """``structure`` picks attentions by slot, as in ``cross=additive``."""
    config = quickstart.get_config(structure)
    config.model.encoder_memory = "mixture"
    return config

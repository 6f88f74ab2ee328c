"""The quickstart, its encoder with batch normalisation, of real tokens alone.

Ioffe and Szegedy 2015; for Transformers, Shen et al. 2020, "PowerNorm".

Command: python launch.py train --config=experiments/batch_norm.py
Time: about two minutes on two cores. Expected: test BLEU 97 (docs/results.md).
"""

from experiments import quickstart


def get_config(structure: str = ""):
    """``structure`` picks attentions by slot, as in ``encoder=local``."""
    config = quickstart.get_config(structure)
    config.model.encoder_norm = "batch"
    return config

r"""Scheduled sampling on any two text files: the decoder reads ever more of its own predictions.

Bengio et al. 2015, in two parallel passes (Mihaylova and Martins 2019). The share of predictions
grows by 1e-4 a step to a quarter.

Commands: python launch.py train --config=experiments/scheduled_sampling.py --config.data.dir=DIR \
              --config.data.target_lang=de --workdir=runs/scheduled
          python launch.py train --config=experiments/scheduled_sampling.py --config.data.dir=DIR \
              --config.data.target_lang=de --workdir=runs/gold --config.noise.kind=none
          python launch.py expose --workdir=runs/scheduled
Time: fourteen minutes on two cores, of 29,000 pairs. Expected: on Multi30k test BLEU 32.6 to
33.0, and 32.9 without sampling (docs/results.md).
"""

from experiments import text


def get_config(structure: str = ""):
    """``structure`` picks attentions by slot, as in ``decoder=local``."""
    config = text.get_config(structure)
    config.noise.update(kind="scheduled", schedule="linear", rate=0.25, c=1e-4)
    config.train.steps = 2_500
    return config

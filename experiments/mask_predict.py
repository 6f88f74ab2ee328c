"""The quickstart, its targets filled in all at once: mask-predict with lengths that are told.

Command: python launch.py train --config=experiments/mask_predict.py
Time: six minutes on two cores. Expected: test BLEU 96 with four iterations and four lengths
(docs/results.md). It takes more updates than from left to right, since each teaches half as many
tokens: after the quickstart's 400 it has 47.
"""

from attention.lab.build import attentions
from experiments import quickstart


def get_config(structure: str = ""):
    """``structure`` picks attentions by slot, as in ``encoder=local``."""
    config = quickstart.get_config(structure)
    config.task.kind = "mask_predict"
    name = config.model.decoder.name
    encoder_defaults = attentions.attention_defaults(name, "encoder")
    causal_defaults = attentions.attention_class(name, "decoder").causal_defaults
    config.model.decoder.update({field: encoder_defaults[field] for field in causal_defaults})
    config.train.update(
        steps=3_000, learning_rate=2e-3, warmup=300, eval_every=500, checkpoint_every=500
    )
    return config

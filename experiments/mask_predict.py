"""The quickstart, its targets filled in all at once: mask-predict with lengths that are told.

Command: python launch.py train --config=experiments/mask_predict.py
Time: six minutes on two cores. Expected: test BLEU 96 with four iterations and four lengths
(docs/results.md). It takes more updates than from left to right, since each teaches half as many
tokens: after the quickstart's 400 it has 47.
"""

from attention.lab.build import attentions
from experiments import quickstart


def get_config(structure: str = ""):
    """``structure`` picks attentions by place, as in ``encoder=local``."""
    config = quickstart.get_config(structure)
    config.task.kind = "mask_predict"
    decoder = attentions.attention_defaults(config.model.decoder.name, "encoder")  # sees both ways
    config.model.decoder.update(
        {name: decoder[name] for name in attentions.ATTENTIONS[decoder["name"]].causal_defaults}
    )
    config.train.update(
        steps=3_000, learning_rate=2e-3, warmup=300, eval_every=500, checkpoint_every=500
    )
    return config

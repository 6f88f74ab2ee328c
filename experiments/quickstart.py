"""A small Transformer learns the built-in English-Chinese grammar.

Command: python launch.py train --config=experiments/quickstart.py
Time: about two minutes on two cores. Expected: test BLEU above 90 on combinations of words that
training never saw.
"""

from experiments import base


def get_config(structure: str = ""):
    """``structure`` picks attentions by slot, as in ``encoder=softmax``."""
    return base.get_config(
        structure,
        data=dict(kind="grammar", source_lang="en", target_lang="zh", vocab_size=1_500, buckets=4),
        model=dict(layers=2, size=128, heads=4, ff_size=256, dropout=0.0),
        train=dict(
            steps=400,
            batch_tokens=4_096,
            learning_rate=3e-3,
            warmup=100,
            eval_every=200,
            checkpoint_every=200,
            log_every=20,
        ),
    )

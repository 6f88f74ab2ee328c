"""Any two text files: DIR/{train,valid,test}.{en,de}, plain or .gz.

Command: python launch.py train --config=experiments/text.py --config.data.dir=DIR \
             --config.data.source_lang=en --config.data.target_lang=de
The defaults suit a corpus of some 30,000 pairs on two cores. Multi30k from English to German takes
some 28 minutes there; expected: test BLEU 38 (docs/benchmarks.md).
"""

from experiments import base


def get_config(structure: str = ""):
    """``structure`` picks attentions by slot, as in ``encoder=softmax``."""
    return base.get_config(
        structure,
        data=dict(kind="text", target_lang="de", vocab_size=4_000, max_length=100, buckets=8),
        model=dict(layers=3, size=256, heads=4, ff_size=512, dropout=0.3),
        attention=dict(dropout_rate=0.1),
        train=dict(
            steps=7_000,
            batch_tokens=2_048,
            learning_rate=1.5e-3,
            warmup=500,
            eval_every=500,
            checkpoint_every=500,
        ),
        checkpoint=dict(keep=3, average=3),
    )

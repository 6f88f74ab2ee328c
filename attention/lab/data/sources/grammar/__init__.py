"""English sentences with their Chinese translations, from a synchronous grammar.

Words stand in `words`, patterns of rules in `noun_phrases`, `adverbials`, `clauses`, `partners` and
`sentences`; `english_chinese` puts them together; `synchronous` and `patterns` are the machinery,
`splits` draws.
"""

from attention.lab.data.sources.grammar.splits import SPLITS, count_pairs, sample_pairs

__all__ = ["SPLITS", "count_pairs", "sample_pairs"]

from attention.data.grammar.splits import SPLITS, count_pairs, sample_pairs

__all__ = ["SPLITS", "count_pairs", "sample_pairs"]

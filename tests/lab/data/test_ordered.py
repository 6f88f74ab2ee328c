"""Batches to evaluate and to translate: every example once, none lost for its length."""

import numpy as np
import pytest

from attention.lab.data.batching.buckets import Bucket
from attention.lab.data.batching.examples import Examples
from attention.lab.data.batching.ordered import eval_batches, source_batches

BUCKETS = (Bucket(8, 10), Bucket(16, 16))


def make_examples(lengths):
    source = [np.arange(1, s + 1, dtype=np.int32)[::-1] for s, _ in lengths]
    target = [np.arange(1, t + 1, dtype=np.int32)[::-1] for _, t in lengths]
    return Examples(source, target)


def random_lengths(count, longest):
    return np.random.default_rng(0).integers(1, longest + 1, (count, 2)).tolist()


@pytest.mark.parametrize("longest", [8, 16, 50])
@pytest.mark.parametrize("count", [1, 37, 100])
def test_every_example_once(count, longest):
    examples = make_examples(random_lengths(count, longest))
    batches = eval_batches(examples, batch_tokens=128, buckets=BUCKETS)
    seen = []
    for batch in batches:
        for row, index in enumerate(batch["index_B"]):
            for name, tokens in (("source_BS", examples.source), ("target_BT", examples.target)):
                expected = tokens[index] if index >= 0 else []
                got = batch[name][row]
                assert got.dtype == np.int32
                np.testing.assert_array_equal(got[: len(expected)], expected)
                assert not got[len(expected) :].any()
            seen += [index] if index >= 0 else []
    assert sorted(seen) == list(range(count))


def test_shapes_are_one_a_bucket_and_one_for_what_is_longer():
    examples = make_examples([*random_lengths(90, 16), (3, 41), (20, 2)])
    batches = eval_batches(examples, batch_tokens=128, buckets=BUCKETS)
    shapes = [batch["source_BS"].shape + batch["target_BT"].shape for batch in batches]
    assert len(set(shapes)) == 3
    assert shapes[-1] == (2, 24, 2, 48)
    assert shapes == sorted(shapes, key=lambda shape: shape[1])


def test_rows_are_the_same_for_splits_of_like_size():
    shapes = [
        {batch["source_BS"].shape for batch in eval_batches(e, batch_tokens=128, buckets=BUCKETS)}
        for e in (make_examples(random_lengths(n, 16)) for n in (90, 100))
    ]
    assert shapes[0] == shapes[1]


def test_one_sentence_may_exceed_the_budget():
    batches = eval_batches(make_examples([(500, 3)]), batch_tokens=128, buckets=BUCKETS)
    assert [batch["source_BS"].shape for batch in batches] == [(1, 504)]


def test_shortest_first_within_a_bucket():
    examples = make_examples([(n, n) for n in (8, 2, 5, 1, 7, 3, 6, 4)])
    (batch,) = eval_batches(examples, batch_tokens=128, buckets=BUCKETS)
    assert batch["index_B"].tolist() == [3, 1, 5, 7, 2, 6, 4, 0]


def test_sources_alone():
    tokens = make_examples(random_lengths(50, 30)).source
    batches = source_batches(tokens, batch_tokens=128, buckets=BUCKETS)
    seen = []
    for batch in batches:
        assert set(batch) == {"source_BS", "index_B"}
        assert batch["source_BS"].shape[1] in (8, 16, 32)
        for row, index in enumerate(batch["index_B"]):
            if index >= 0:
                got = batch["source_BS"][row]
                np.testing.assert_array_equal(got[: len(tokens[index])], tokens[index])
                seen.append(index)
    assert sorted(seen) == list(range(50))
    assert len({batch["source_BS"].shape for batch in batches}) == 3


def test_nothing_to_do():
    assert source_batches([], batch_tokens=128, buckets=BUCKETS) == []
    assert eval_batches(make_examples([]), batch_tokens=128, buckets=BUCKETS) == []


def test_one_sentence_makes_one_row():
    (batch,) = source_batches([np.array([5, 1], np.int32)], batch_tokens=4096, buckets=BUCKETS)
    assert batch["source_BS"].shape == (1, 8)

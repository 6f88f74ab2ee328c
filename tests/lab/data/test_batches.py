"""Training batches: whole epochs, the same when resumed, cut by process, little padding."""

import itertools
import json

import numpy as np
import pytest

from attention.lab.data.batching.batches import TrainBatches, iterator
from attention.lab.data.batching.buckets import Bucket, choose_buckets
from attention.lab.data.batching.examples import Examples, encode_pairs
from attention.lab.data.sources.text import read_parallel
from attention.lab.data.tokenizer import Tokenizer, train_tokenizer


def make_examples(count=500, seed=0, longest=40):
    """Examples whose tokens tell which one they are."""
    rng = np.random.default_rng(seed)
    sides = []
    for side in (0, 1):
        lengths = rng.integers(2, longest, count)
        sides.append([np.full(n, 4 + 2 * i + side, np.int32) for i, n in enumerate(lengths)])
        for tokens in sides[-1]:
            tokens[-1] = 1
    return Examples(*sides)


def make_batches(examples, *, batch_tokens=512, seed=7, count=4, **keywords):
    buckets = choose_buckets(examples.source_lengths, examples.target_lengths, count)
    return TrainBatches(examples, batch_tokens=batch_tokens, seed=seed, buckets=buckets, **keywords)


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype
        np.testing.assert_array_equal(left[name], right[name])


EXAMPLES = make_examples()
BATCHES = make_batches(EXAMPLES)
EPOCH = BATCHES.batches_per_epoch


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_holds_every_example_once(epoch):
    steps = range(epoch * EPOCH, (epoch + 1) * EPOCH)
    index = np.concatenate([BATCHES[step]["index_B"] for step in steps])
    np.testing.assert_array_equal(np.sort(index[index >= 0]), np.arange(len(EXAMPLES)))


def test_rows_hold_their_examples_and_fillers_hold_nothing():
    fillers = 0
    for step in range(EPOCH):
        batch = BATCHES[step]
        assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}
        for row, index in enumerate(batch["index_B"]):
            for name, tokens in (("source_BS", EXAMPLES.source), ("target_BT", EXAMPLES.target)):
                expected = tokens[index] if index >= 0 else []
                got = batch[name][row]
                np.testing.assert_array_equal(got[: len(expected)], expected)
                assert not got[len(expected) :].any()
            fillers += index < 0
        real = batch["index_B"] >= 0
        assert real.any()
        assert (real[:-1] >= real[1:]).all(), "filler rows come last"
    assert fillers, "the test needs a filler row"


def test_shapes_are_few_and_within_the_budget():
    shapes = {BATCHES[s]["source_BS"].shape + BATCHES[s]["target_BT"].shape for s in range(EPOCH)}
    assert len(shapes) <= 4
    assert {(b, s, t) for b, s, _, t in shapes} == set(BATCHES.shapes)
    for rows, source, _, target in shapes:
        assert rows * max(source, target) <= 512
        assert rows % 8 == 0


def test_padding_is_what_the_batches_hold():
    batches = [BATCHES[step] for step in range(EPOCH)]
    tokens = np.concatenate([b[n].ravel() for b in batches for n in ("source_BS", "target_BT")])
    assert BATCHES.padding == pytest.approx((tokens == 0).mean())
    assert f"{EPOCH} batches an epoch" in str(BATCHES)


def test_no_batch_is_nearly_empty():
    shares = [(BATCHES[step]["index_B"] >= 0).mean() for step in range(EPOCH)]
    assert min(shares) > 0.5


def test_order_depends_on_seed_and_epoch_only():
    again = make_batches(make_examples())
    other = make_batches(EXAMPLES, seed=8)
    first = [BATCHES[step]["index_B"] for step in range(3)]
    for step in (EPOCH + 1, 2, 0, 1):  # in any order
        assert_same(again[step], BATCHES[step])
    for different in (other, {step: BATCHES[EPOCH + step] for step in range(3)}):
        rows = [different[step]["index_B"] for step in range(3)]
        assert not all(np.array_equal(a, b) for a, b in zip(first, rows, strict=True))


def test_examples_meet_others_in_each_epoch():
    first, second = (
        {frozenset(BATCHES[start + step]["index_B"].tolist()) for step in range(EPOCH)}
        for start in (0, EPOCH)
    )
    assert len(first & second) < EPOCH // 2


def test_lengths_are_mixed_over_an_epoch():
    shapes = [BATCHES[s]["source_BS"].shape + BATCHES[s]["target_BT"].shape for s in range(EPOCH)]
    changes = sum(a != b for a, b in itertools.pairwise(shapes))
    assert changes > EPOCH // 2 > len(set(shapes))


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_out_the_rows(processes):
    parts = [
        make_batches(EXAMPLES, process_index=index, process_count=processes)
        for index in range(processes)
    ]
    for step in range(EPOCH + 2):
        shards = [part[step] for part in parts]
        assert len({shard["index_B"].shape for shard in shards}) == 1
        joined = {name: np.concatenate([s[name] for s in shards]) for name in shards[0]}
        assert_same(joined, BATCHES[step])


@pytest.mark.parametrize("prefetch", [0, 1, 2, 5])
@pytest.mark.parametrize("consumed", [0, 1, EPOCH // 2, EPOCH, EPOCH + 3])
def test_iterator_resumes_bit_for_bit(prefetch, consumed):
    one = iterator(BATCHES, prefetch)
    for step in range(consumed):
        assert_same(next(one), BATCHES[step])
    state = json.loads(json.dumps(one.get_state()))
    two = iterator(make_batches(make_examples()), 2)
    two.set_state(state)
    assert two.get_state() == state
    for step in range(consumed, consumed + 4):
        expected = next(one)
        assert_same(expected, BATCHES[step])
        assert_same(next(two), expected)
    one.set_state(state)  # back, while the thread is ahead
    assert_same(next(one), BATCHES[consumed])
    one.close()
    two.close()


def test_a_small_corpus_does_not_fill_up_with_filler():
    examples = make_examples(count=20)
    batches = make_batches(examples, batch_tokens=4096)
    assert batches.batches_per_epoch <= 4
    for rows, *_ in batches.shapes:
        assert rows <= 24


def test_one_example():
    batches = make_batches(make_examples(count=1))
    assert batches.batches_per_epoch == 1
    assert batches[0]["index_B"].tolist() == [0] + [-1] * 7
    assert_same(batches[3], batches[0])


def test_rows_multiple_of_devices():
    batches = make_batches(EXAMPLES, batch_tokens=1024, rows_multiple=24)
    assert all(rows % 24 == 0 for rows, *_ in batches.shapes)


def test_batch_tokens_below_a_sentence():
    longest = int(max(EXAMPLES.source_lengths.max(), EXAMPLES.target_lengths.max()))
    needed = rf"needs at least {8 * longest} \(8 rows of {longest} tokens\)"
    with pytest.raises(ValueError, match=rf"batch_tokens is {longest - 1}: .*{needed}"):
        make_batches(EXAMPLES, batch_tokens=longest - 1)
    with pytest.raises(ValueError, match=needed):
        make_batches(EXAMPLES, batch_tokens=8 * longest - 1)
    make_batches(EXAMPLES, batch_tokens=8 * longest)
    make_batches(EXAMPLES, batch_tokens=longest, rows_multiple=1)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"process_count": 3}, "rows_multiple is 8: .* multiple of 3"),
        ({"rows_multiple": 0}, "rows_multiple is 0"),
    ],
)
def test_numbers_out_of_range(keywords, message):
    with pytest.raises(ValueError, match=message):
        make_batches(EXAMPLES, **keywords)


def test_buckets_must_hold_every_example():
    with pytest.raises(ValueError, match=r"none holds example \d+ of \d+ source and \d+ target"):
        TrainBatches(EXAMPLES, batch_tokens=512, seed=0, buckets=[Bucket(8, 8)])


def test_a_bucket_given_twice_loses_nothing():
    batches = TrainBatches(EXAMPLES, batch_tokens=512, seed=0, buckets=[Bucket(40, 40)] * 2)
    index = [batches[step]["index_B"] for step in range(batches.batches_per_epoch)]
    assert (np.concatenate(index) >= 0).sum() == len(EXAMPLES)


def test_consecutive_epochs_share_no_state():
    steps = [EPOCH - 1, EPOCH, EPOCH - 1]
    first, _, third = (BATCHES[step] for step in steps)
    assert_same(first, third)
    first["source_BS"][:] = -5  # what a reader does with its batch stays its own
    assert_same(BATCHES[EPOCH - 1], third)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "most"), [(6, 0.20), (8, 0.17)])
def test_padding_on_multi30k(multi30k, count, most):
    pairs = read_parallel(multi30k, "train", "en", "de")
    tokenizer = Tokenizer(train_tokenizer(itertools.chain(pairs.source, pairs.target), 4000))
    examples = encode_pairs(pairs, tokenizer, 128)
    assert len(examples) == 29_000
    batches = make_batches(examples, batch_tokens=4096, count=count)
    assert len(batches.shapes) <= count
    assert batches.padding < most

"""Law 7: decoding from a cache is the full pass, at unequal lengths, after a beam reorder."""

import pytest

from attention.testing import decoding
from tests.laws.cases import CASES, declaring
from tests.laws.settings import settings_of

CACHED = declaring(CASES, decoding="cached")


def decoders(kinds):
    return [p for p in settings_of(CACHED, kinds) if p.values[0].slot == "decoder"]


@pytest.mark.parametrize("setting", decoders(("all", "lengths", "window")))
@pytest.mark.parametrize("ends", [(1, 2, 3, 4, 5, 6, 7), (3, 4, 7)], ids=["tokens", "chunks"])
def test_step_by_step_is_the_full_pass(setting, ends):
    decoding.cached_decoding_is_the_full_pass(setting, ends)


@pytest.mark.parametrize("setting", decoders(("all",)))
def test_rows_at_unequal_lengths_survive_a_beam_reorder(setting):
    decoding.a_cache_survives_a_beam_reorder(setting)


@pytest.mark.parametrize("setting", decoders(("all",)))
def test_a_cache_may_grow_on_the_way(setting):
    decoding.a_cache_may_grow(setting)


@pytest.mark.parametrize("case", CACHED, ids=str)
def test_a_cache_has_the_batch_first(case):
    decoding.a_cache_has_the_batch_first(case)

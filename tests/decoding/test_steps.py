"""Caches that grow and rows that run on alone: every search finds what it finds without them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.decoding import Sampler, beam_search, greedy, sample

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

PAD, EOS, BOS = 0, 1, 3
TOKENS = {"bos": BOS, "eos": EOS, "pad": PAD}
LENGTH, VOCABULARY, STATES = 37, 11, 97


def table(seed, eos):
    """Logits by state, in which `eos` tells how soon a row ends."""
    table_SV = np.random.default_rng(seed).normal(size=(STATES, VOCABULARY)) * 2
    table_SV[:, EOS] += eos
    table_SV[:, [PAD, BOS]] = -np.inf
    return jnp.asarray(table_SV, jnp.float32)


class Remembering:
    """Logits that depend on all tokens read, which the cache holds, and on a row's own name."""

    def __init__(self, table_SV, batch):
        self.table_SV = table_SV
        self.names_B = jnp.arange(batch)
        self.rooms = []

    def cache(self, room):
        batch = len(self.names_B)
        return {"pos_B": jnp.zeros(batch, int), "past_BT": jnp.zeros((batch, room), int)}

    def grow(self, cache, room):
        self.rooms.append(room)
        past_BT = cache["past_BT"]
        return cache | {"past_BT": jnp.pad(past_BT, ((0, 0), (0, room - past_BT.shape[1])))}

    def narrow(self, row_G):
        return functools.partial(self.step, self.names_B[row_G])

    def step(self, names_B, cache, token_R):
        pos_R, past_RT = cache["pos_B"], cache["past_BT"]
        past_RT = past_RT.at[jnp.arange(len(token_R)), pos_R].set(token_R, mode="drop")
        read_R = (past_RT * (3 + 7 * jnp.arange(past_RT.shape[1]))[None]).sum(axis=1)
        name_R = jnp.repeat(names_B, len(token_R) // len(names_B))
        logits_RV = self.table_SV[(read_R + 17 * name_R) % STATES]
        return logits_RV, {"pos_B": pos_R + 1, "past_BT": past_RT}


SEARCHES = {
    "greedy": greedy,
    "sample": functools.partial(sample, rng=jax.random.key(0), sampler=Sampler(1.5)),
    "beam 1": functools.partial(beam_search, beams=1),
    "beam 3": functools.partial(beam_search, beams=3),
    "beam 4, long is better": functools.partial(beam_search, beams=4, length_penalty=2.0),
    "beam 2, short is better": functools.partial(beam_search, beams=2, length_penalty=-0.5),
}


@functools.cache
def searched(name, batch, length, grows, narrows):
    """A search as a function of the table, so that it is compiled once; the rooms it asked for."""
    rooms = []

    @jax.jit
    def run(table_SV, limit_B):
        model = Remembering(table_SV, batch)
        more = {"grow": model.grow} if grows else {}
        more |= {"narrow": model.narrow} if narrows else {}
        sizes = {"batch": batch, "max_length": length, "limit_B": limit_B} | TOKENS
        step, cache = model.narrow(jnp.arange(batch)), model.cache(0 if grows else length)
        found = SEARCHES[name](step, cache, **sizes, **more)
        rooms.extend(model.rooms)
        return found

    return run, rooms


# Of fewer rows than 13 every search is tried, with one number of them.
FEWER = {1: ("greedy", "beam 1", "beam 4, long is better")}
FEWER[3] = tuple(name for name in SEARCHES if name not in FEWER[1])


@pytest.mark.parametrize(
    ("batch", "name"),
    [
        pytest.param(
            *(batch, name),
            marks=[] if name in FEWER.get(batch, SEARCHES) else pytest.mark.long,
        )
        for batch in (1, 3, 13)
        for name in SEARCHES
    ],
)
@pytest.mark.parametrize("eos", [-9.0, -2.0, 1.0], ids=["never ends", "ends late", "ends soon"])
def test_growing_and_narrowing_change_nothing(name, eos, batch):
    limit_B = LENGTH - np.arange(batch) * 5 % (LENGTH + 1)  # from all to none
    plain, rooms = searched(name, batch, LENGTH, grows=False, narrows=False)
    expected = plain(table(batch, eos), limit_B)
    assert not rooms
    for narrows in (False, True):
        search, rooms = searched(name, batch, LENGTH, grows=True, narrows=narrows)
        jax.tree.map(np.testing.assert_array_equal, search(table(batch, eos), limit_B), expected)
        assert set(rooms) == {16, 24, LENGTH}


@pytest.mark.parametrize("name", SEARCHES)
def test_so_short_that_a_cache_never_grows_in_between(name):
    given = table(0, -2.0), np.full(13, 5)
    plain, _ = searched(name, 13, 5, grows=False, narrows=False)
    ours, _ = searched(name, 13, 5, grows=True, narrows=True)
    jax.tree.map(np.testing.assert_array_equal, ours(*given), plain(*given))


def test_few_rows_left_run_on_alone():
    rows = []

    def step(cache, token_R):
        jax.debug.callback(lambda: rows.append(len(token_R)))
        return jnp.where(cache["logits_BV"] > 0, 0.0, -jnp.inf), cache

    ends_B = np.arange(8) < 6  # six rows end at once, two never
    logits_BV = jnp.where(ends_B[:, None], jnp.arange(5) == EOS, jnp.arange(5) == 4)
    cache = {"logits_BV": logits_BV.astype(jnp.float32)}
    found = greedy(
        step, cache, batch=8, max_length=40, grow=lambda c, _: c, narrow=lambda _: step, **TOKENS
    )
    jax.effects_barrier()
    assert found.lengths_B.tolist() == [1] * 6 + [40] * 2
    assert rows == [8] + [2] * 39


def test_few_rows_run_on_from_a_cache_without_room():
    """Where all tokens fit into the first room, nothing has grown before rows are taken."""
    given = table(0, -2.0), np.full(8, 6)
    plain, _ = searched("beam 3", 8, 6, grows=False, narrows=False)
    ours, _ = searched("beam 3", 8, 6, grows=True, narrows=True)
    for one, other in zip(ours(*given), plain(*given), strict=True):
        np.testing.assert_array_equal(one, other)

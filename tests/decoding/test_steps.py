"""Caches that grow and rows that run on alone: every search finds what it finds without them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.decoding import Sampler, beam_search, greedy, sample

PAD, EOS, BOS = 0, 1, 3
TOKENS = {"bos": BOS, "eos": EOS, "pad": PAD}
LENGTH, VOCABULARY, STATES = 37, 11, 97


class Remembering:
    """Logits that depend on all tokens read, which the cache holds, and on a row's own name."""

    def __init__(self, seed, names_B, eos):
        table_SV = np.random.default_rng(seed).normal(size=(STATES, VOCABULARY)) * 2
        table_SV[:, EOS] += eos
        table_SV[:, [PAD, BOS]] = -np.inf
        self.table_SV = jnp.asarray(table_SV, jnp.float32)
        self.names_B = jnp.asarray(names_B)
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


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("eos", [-9.0, -2.0, 1.0], ids=["never ends", "ends late", "ends soon"])
@pytest.mark.parametrize("batch", [1, 3, 13])
def test_growing_and_narrowing_change_nothing(name, eos, batch):
    model = Remembering(batch, np.arange(batch), eos)
    limit_B = LENGTH - np.arange(batch) * 5 % (LENGTH + 1)  # from all to none
    sizes = {"batch": batch, "max_length": LENGTH, "limit_B": limit_B} | TOKENS
    search, step = SEARCHES[name], model.narrow(jnp.arange(batch))
    plain = jax.jit(lambda: search(step, model.cache(LENGTH), **sizes))()
    assert not model.rooms
    for narrow in (None, model.narrow):
        more = {"grow": model.grow, "narrow": narrow}
        ours = jax.jit(functools.partial(search, step, model.cache(0), **sizes, **more))()
        jax.tree.map(np.testing.assert_array_equal, ours, plain)
    assert set(model.rooms) == {16, 24, LENGTH}


@pytest.mark.parametrize("name", SEARCHES)
def test_so_short_that_a_cache_never_grows_in_between(name):
    model = Remembering(0, np.arange(13), -2.0)
    sizes = {"batch": 13, "max_length": 5} | TOKENS
    search, step = SEARCHES[name], model.narrow(jnp.arange(13))
    plain = jax.jit(lambda: search(step, model.cache(5), **sizes))()
    more = {"grow": model.grow, "narrow": model.narrow}
    ours = jax.jit(functools.partial(search, step, model.cache(0), **sizes, **more))()
    jax.tree.map(np.testing.assert_array_equal, ours, plain)


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
    rows = Remembering(0, list(range(8)), -2.0)
    options = {"batch": 8, "beams": 3, "max_length": 6, **TOKENS}
    step = functools.partial(rows.step, rows.names_B)
    plain = beam_search(step, rows.cache(6), **options)
    ours = beam_search(step, rows.cache(0), grow=rows.grow, narrow=rows.narrow, **options)
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(one, other)

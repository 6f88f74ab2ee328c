"""All laws that one variant's capabilities declare, by one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jax

from attention.errors import UnsupportedError
from attention.protocols import Attention, Needs, TokenMixer, require
from attention.shapes import Sizes
from attention.testing import cost, decoding, dropout, laws, padding, refusals, transforms
from attention.testing.case import Case
from attention.testing.masks import Setting, settings_of

_PADDING = ("all", "lengths", "gaps")
_LEAST = 13  # positions of a fixed length: the longest keys that are drawn
_RATE = 0.3  # of dropout


def check(
    attention: Attention | TokenMixer,
    reference: Callable | None = None,
    *,
    sizes: tuple[Sizes, ...] = (Sizes(3, 4, 5, 12), Sizes(1, 2, 3, 2)),
    seed: int = 0,
    mixes_channels: bool = False,
    sums_to_one: bool = False,
    multiply_adds: float = 2.0,
) -> list[str]:
    """Holds an attention, or a token mixer, to all laws of what it declares.

    It needs neither pytest nor this project's tests: call it in a test of your own. Everything is
    tried on a few tokens in a few compiled programs, on the default device: about a minute on two
    cores. Slots (encoder, decoder, cross) and masks follow from its ``capabilities``.

    Args:
      attention: the variant's value, with fields that matter for ten tokens (a block of 3, not of
        64). A field ``dropout_rate`` is also tried at 0.3; a greatest length has to be 13 or more.
      reference: its equation in float64 NumPy, ``reference(q_BQHD, k_BKHD, v_BKHE, see=, bias=)``
        with ``see`` bool [B, H, Q, K] and ``bias`` [1, H, Q, K] or None. Where the variant has
        them, it also gets ``params=``, ``state=`` and ``x_BTM=``; that of a token mixer gets no
        queries, keys, values and bias. It returns [B, Q, H, E] ([B, T, M]), zero where nothing is
        seen. None leaves out the law that needs it.
      sizes: numbers of heads and features to try, the first in nearly all laws. By default keys and
        values differ in size; they must not where one projection makes both.
      seed: for what is drawn where outputs are compared with the reference's.
      mixes_channels: whether a feature of an output depends on other features of the values.
      sums_to_one: whether the weights of a query add up to one.
      multiply_adds: the exponent of the length with which their number may grow.

    Returns:
      A line for each law: in how many settings it holds, or why it was not tried.

    Raises:
      AssertionError: with one line: the law, the setting, and the difference.
      TypeError: it is no attention, but a class, say.
      ValueError: the declared length is too short.

        >>> from attention.variants import Additive
        >>> report = check(Additive())  # doctest: +SKIP
    """
    if not isinstance(attention, Attention | TokenMixer):
        raise TypeError(f"check: {attention!r} is no Attention or TokenMixer; give it a value")
    name, longest, can = type(attention).__name__, attention.longest, attention.capabilities
    if longest is not None and longest < _LEAST:
        raise ValueError(
            f"check: {name} is made for {longest} positions; make it for {_LEAST} or more"
        )
    # Where values take two ways, ``_gather`` is one of its own.
    linear = getattr(type(attention), "_gather", None) is Attention._gather
    if can.projections in ("one", "values"):
        sizes = tuple(replace(each, value_size=each.size) for each in sizes)
    case = Case(
        name,
        attention,
        reference,
        sizes=sizes,
        lengths=(7, 10),
        only=("encoder", "decoder", "cross") if _sees_later_tokens(attention) else ("decoder",),
        masks=(*_PADDING, "segments", "window", "any") if can.masks == "any" else _PADDING,
        linear=linear,
        mixes=mixes_channels,
        sums_to_one=sums_to_one,
        last_resort=True,
        idle=True,
        multiply_adds=multiply_adds,
    )
    held: dict[str, int] = {}
    reasons: dict[str, str] = {}
    with jax.default_matmul_precision("highest"):  # of products on a GPU or TPU
        for law, given, otherwise in _laws(case, seed):
            for arguments in given:
                law(*arguments)
            name = law.__name__.replace("_", " ")
            held[name] = held.get(name, 0) + len(given)
            reasons[name] = otherwise
    return [
        f"{name}: {count} setting{'s' * (count > 1)}" if count else f"{name}: {reasons[name]}"
        for name, count in held.items()
    ]


def _sees_later_tokens(attention: Any) -> bool:
    cross = attention.capabilities.decoding == "stateful"  # it cannot stand elsewhere
    try:
        require(attention, Needs(bidirectional=True, cross=cross))
    except UnsupportedError:
        return False
    return True


def _laws(case: Case, seed: int) -> Iterator[tuple[Callable, list[tuple], str]]:
    """Each law, what to call it with, and why that may be nothing; plain mistakes come first."""
    can, alone, one = case.attention.capabilities, case.alone, [(case,)]
    slots = [(Setting(case, slot, case.masks[-1]),) for slot in case.slots]

    def under(*kinds: str, dtypes: tuple[str, ...] = ("float32",)) -> list[tuple]:
        return [(setting, dtype) for setting in settings_of(case, kinds) for dtype in dtypes]

    yield laws.is_a_frozen_value, one, ""
    yield laws.every_parameter_names_its_axes, one, ""
    yield transforms.jit_changes_nothing, one, ""
    refused = [
        (case, request)
        for request, declared in refusals.REQUESTS.items()
        if not declared(can) and (alone or request not in (refusals.cross, refusals.bias))
    ]
    yield refusals.what_is_not_declared_is_refused, refused, "it declares everything"
    everywhere = [(setting,) for setting in settings_of(case)]
    yield from _reference(case, seed, everywhere[:1], [])
    grows = [] if case.attention.longest else everywhere[:1]
    yield cost.multiply_adds_grow_as_declared, grows, "its length is fixed"
    yield from _dropout(case)
    decoder = under("all", "window", dtypes=("float32", "bfloat16"))
    decoder = [each for each in decoder if each[0].slot == "decoder"]
    yield laws.what_comes_later_changes_nothing, decoder, "it is not declared causal"
    both = one if can.causal == "exact" and "encoder" in case.slots else []
    why = "it is causal everywhere, or nowhere exactly"
    yield laws.without_a_causal_mask_the_future_is_seen, both, why
    nothing = under("any", dtypes=("float32", "bfloat16", "float16")) if alone else []
    yield padding.a_row_that_sees_nothing_is_zero, nothing, "it does not follow every mask"
    yield padding.all_is_zero_where_nobody_sees_anything, nothing, "it does not follow every mask"
    yield laws.linear_in_the_values, slots if case.linear else [], "not all comes of values"
    yield padding.what_stands_in_padding_changes_nothing, under("lengths", "gaps"), ""
    yield padding.more_padding_changes_nothing, under("lengths", "gaps"), ""
    yield padding.a_sequence_of_no_tokens_is_zero, under("lengths"), ""
    yield from _decoding(case)
    yield laws.weights_follow_the_mask, everywhere if alone else [], "a token mixer has none"
    packed = [(case, slot) for slot in case.slots if slot != "cross" and can.segments]
    why = "it does not declare that sequences may be packed"
    yield laws.packed_sequences_get_what_each_gets_alone, packed, why
    shares = slots if can.normalised else []
    yield laws.weights_are_shares, shares, "it does not declare that weights are shares"
    yield laws.a_bias_counts, slots if can.bias else [], "it declares no bias"
    yield laws.gradients_equal_differences, slots, ""
    yield laws.gradients_of_a_zero_token_are_of_ordinary_size, one, ""
    copies = (transforms.mapped, transforms.recomputed, transforms.scanned)
    yield transforms.transforms_change_nothing, [(case, each) for each in copies], ""
    yield from _reference(case, seed, everywhere[1:], slots)


def _decoding(case: Case) -> Iterator[tuple[Callable, list[tuple], str]]:
    cached = case.attention.capabilities.decoding == "cached"
    kinds, slot = ("all", "lengths", "window"), "cross" if case.stateful else "decoder"
    settings = [(each,) for each in settings_of(case, kinds) if each.slot == slot]
    settings = settings if cached or case.stateful else []
    steps = [(*each, ends) for each in settings for ends in ((1, 2, 3, 4, 5, 6, 7), (3, 4, 7))]
    why = "it declares no cache"
    yield decoding.a_cache_has_the_batch_first, [(case,)] if settings else [], why
    yield decoding.cached_decoding_is_the_full_pass, steps, why
    one = settings[:1] if cached else []
    yield decoding.a_cache_survives_a_beam_reorder, one, why
    yield decoding.a_cache_may_grow, one, why
    state = settings[:1] if case.stateful else []
    yield decoding.a_query_depends_on_those_before, state, "it keeps no state across sequences"


def _dropout(case: Case) -> Iterator[tuple[Callable, list[tuple], str]]:
    why, can = "it has no dropout_rate", case.attention.capabilities
    drops: list[tuple] = []
    if hasattr(case.attention, "dropout_rate"):
        case = replace(case, attention=replace(case.attention, dropout_rate=_RATE))
        drops = [(Setting(case, case.slots[0], "all"),)]
    yield dropout.without_an_rng_nothing_is_dropped, drops, why
    scored = "encoder" in case.slots and can.projections in ("apart", "shared")
    scored = scored and not (case.mixes or can.needs_x or case.attention.longest)
    weights = [(case,)] if drops and scored else []
    why += ", or its weights cannot be seen"
    yield dropout.weights_are_dropped_or_scaled, weights, why
    yield dropout.dropped_weights_differ, weights, why
    yield dropout.the_gradient_drops_what_the_forward_pass_dropped, weights, why


def _reference(
    case: Case, seed: int, everywhere: list[tuple], slots: list[tuple]
) -> Iterator[tuple[Callable, list[tuple], str]]:
    """Equality under every mask; in each slot also of one token, of other sizes, and so on."""
    q_len, k_len = case.lengths
    given: list[tuple] = [(*each, seed, "float32", None, q_len, k_len) for each in everywhere]
    for (setting,) in slots:
        given += [(setting, seed, "bfloat16"), (setting, seed, "float32", None, 1, k_len)]
        given += [(setting, seed, "float32", sizes) for sizes in case.sizes[1:]]
        if case.attention.capabilities.bias:
            given += [(setting, seed, "float32", None, q_len, k_len, True)]
    why = "no reference is given"
    yield laws.equal_to_the_reference, given if case.reference else [], why

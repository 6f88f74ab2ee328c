"""The name that was meant: words for errors."""

import difflib
from collections.abc import Iterable


def suggest(name: str, names: Iterable[str]) -> str:
    """`; did you mean ...?` with the nearest of the known names, or nothing.

    Names that are one edit away come first, all of them; else the most similar, if any is.
    """
    known = list(names)
    close = [other for other in known if one_edit(name, other)]
    close = close or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def one_edit(a: str, b: str) -> bool:
    """Whether one letter left out, put in or exchanged, or two neighbours swapped, lead to b."""
    start = next((i for i, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), None)
    if start is None:
        return abs(len(a) - len(b)) == 1
    rest_a, rest_b = a[start:], b[start:]
    left_out, put_in = rest_a == rest_b[1:], rest_a[1:] == rest_b
    exchanged = rest_a[1:] == rest_b[1:]
    swapped = rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:]
    return left_out or put_in or exchanged or swapped

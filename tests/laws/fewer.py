"""The cases of attention to fewer keys than there are tokens, and of patterns that are learned."""

from attention.variants.linformer import Linformer
from tests.laws.case import Case
from tests.reference import fewer

PLAIN = ("all", "lengths", "gaps")


def linformer(sharing: str) -> Case:
    return Case(
        f"linformer-{sharing}",
        Linformer(length=16, rank=5, sharing=sharing),
        fewer.linformer,
        masks=PLAIN,
        sums_to_one=False,
        grown=lambda length: Linformer(length=length, rank=5, sharing=sharing),
        multiply_adds=1.0,
        temporary_bytes=1.0,
    )


FEWER: list[Case] = [linformer(sharing) for sharing in ("none", "heads", "keys_values")]

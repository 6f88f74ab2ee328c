"""Which kernel serves a request. All give the same result but for rounding."""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from attention.kernels import cudnn
from attention.kernels.reference import reference
from attention.kernels.request import Request
from attention.kernels.sparse import sparse
from attention.kernels.splash import splash
from attention.kernels.tiled.tiled import tiled


@dataclass(frozen=True)
class Kernel:
    """One way to compute softmax attention.

    Attributes:
      compute: the function.
      unsupported_reason: why it cannot serve a request, or None.
      grouped: whether it takes fewer heads of keys and values than of queries.
      is_profitable: whether it is worth choosing where it is not forced.
    """

    compute: Callable[..., jax.Array]
    unsupported_reason: Callable[[Request], str | None] = lambda request: None
    grouped: bool = False
    is_profitable: Callable[[Request], bool] = lambda request: True


KERNELS = {  # by preference
    "cudnn": Kernel(cudnn.cudnn, cudnn.unsupported_reason, grouped=True),
    "splash": Kernel(splash.splash, splash.unsupported_reason, grouped=True),
    "sparse": Kernel(sparse.sparse, is_profitable=sparse.is_profitable),
    "tiled": Kernel(tiled),
    "reference": Kernel(reference),
}


def choose(request: Request, forced: str = "auto") -> str:
    """The name of the kernel: the first that can serve the request, or the one that is forced.

    Raises:
      ValueError: there is no kernel of this name.
      NotImplementedError: the kernel that is forced cannot serve the request.
    """
    if forced == "auto":
        return next(
            name
            for name, kernel in KERNELS.items()
            if kernel.unsupported_reason(request) is None and kernel.is_profitable(request)
        )
    if forced not in KERNELS:
        raise ValueError(f"kernel {forced!r} is unknown; choose 'auto' or one of {list(KERNELS)}")
    reason = KERNELS[forced].unsupported_reason(request)
    if reason is not None:
        raise NotImplementedError(
            f"kernel {forced!r} cannot do this: {reason}; use kernel='auto', or 'tiled'"
        )
    return forced


def explained(request: Request, forced: str = "auto") -> str:
    """One line for each kernel: whether it was chosen, could have been, or why not."""
    chosen = choose(request, forced)
    lines = []
    for name, kernel in KERNELS.items():
        reason = kernel.unsupported_reason(request)
        if name == chosen:
            verdict = "chosen" if forced == "auto" else "chosen, being forced"
        elif reason is not None:
            verdict = f"no: {reason}"
        elif kernel.is_profitable(request):
            verdict = "possible, and less preferred"
        else:
            verdict = "possible, and not profitable"
        lines.append(f"{name}: {verdict}")
    return "\n".join(lines)

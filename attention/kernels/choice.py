"""Which kernel serves a request. All give the same result but for rounding."""

from __future__ import annotations

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
      refuses: why it cannot serve a request, or None.
      compute: the function.
      grouped: whether it takes fewer key and value heads than queries' as they are.
      pays: whether it is worth while where it is not forced.
    """

    refuses: Callable[[Request], str | None]
    compute: Callable[..., jax.Array]
    grouped: bool = False
    pays: Callable[[Request], bool] = lambda request: True


KERNELS = {  # by preference
    "cudnn": Kernel(cudnn.refuses, cudnn.cudnn, grouped=True),
    "splash": Kernel(splash.refuses, splash.splash, grouped=True),
    "sparse": Kernel(lambda request: None, sparse.sparse, pays=sparse.pays),
    "tiled": Kernel(lambda request: None, tiled),
    "reference": Kernel(lambda request: None, reference),
}


def choose(request: Request, forced: str = "auto") -> str:
    """The name of the kernel: the first that does not refuse, or the one that is forced.

    Raises:
      ValueError: there is no kernel of this name.
      NotImplementedError: the kernel that is forced cannot serve the request.
    """
    if forced == "auto":
        able = (name for name, kernel in KERNELS.items() if kernel.refuses(request) is None)
        return next(name for name in able if KERNELS[name].pays(request))
    if forced not in KERNELS:
        raise ValueError(f"kernel {forced!r} is unknown; choose 'auto' or one of {list(KERNELS)}")
    reason = KERNELS[forced].refuses(request)
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
        reason = kernel.refuses(request)
        if name == chosen:
            said = "chosen" if forced == "auto" else "chosen, being forced"
        else:
            paying = reason is None and kernel.pays(request)
            less = "possible, and less preferred" if paying else "possible, and does not pay"
            said = f"no: {reason}" if reason else less
        lines.append(f"{name}: {said}")
    return "\n".join(lines)

"""Positions in float64 NumPy, one number at a time."""

import cmath
import math

import numpy as np


def sinusoid(p, feature, size):
    """Vaswani et al. 2017, section 3.5: PE(p, 2i) = sin(p / 10000^(2i/d)), PE(p, 2i+1) = cos."""
    angle = p / math.pow(10_000, 2 * (feature // 2) / size)
    return math.cos(angle) if feature % 2 else math.sin(angle)


def sinusoids(length, size):
    """[length, size]."""
    return np.array([[sinusoid(p, f, size) for f in range(size)] for p in range(length)])


def rotate(x_TD, positions=None, base=10_000):
    """Su et al. 2021: pairs of features are complex numbers, times e^(i p θ) (equation 16)."""
    turned_TD = np.array(x_TD, np.float64)
    size = turned_TD.shape[1]
    for row, p in enumerate(range(len(turned_TD)) if positions is None else positions):
        for i in range(size // 2):
            z = complex(turned_TD[row, 2 * i], turned_TD[row, 2 * i + 1])
            z *= cmath.exp(1j * p * math.pow(base, -2 * i / size))
            turned_TD[row, 2 * i : 2 * i + 2] = z.real, z.imag
    return turned_TD

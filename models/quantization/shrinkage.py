"""Correlations from fewer samples than there are variables: what of them is to be believed.

A few directions stand out of what chance gives to any sample (the edge of Marchenko and Pastur, 1967): they are kept,
as in Fan, Liao and Mincheva's POET (2013). The rest is shrunk towards no correlation, by the oracle approximating
shrinkage of Chen, Wiesel, Eldar and Hero (2010).
"""

from __future__ import annotations

import torch
from torch import Tensor

_DIRECTIONS = 64
_ITERATIONS = 4


def shrink(correlation: Tensor, samples: int) -> None:
    """Shrink a matrix of correlations in place.

    Args:
        correlation: float32, (n, n), ones on the diagonal.
        samples: that it was computed from.
    """
    values, vectors = _outstanding(correlation, samples)
    common = (vectors * values) @ vectors.T
    rest = correlation - common
    # What the outstanding directions explain wholly has no rest to be correlated.
    deviation = rest.diagonal().clamp(min=1e-6).sqrt()
    rest.div_(deviation.unsqueeze(1)).div_(deviation).diagonal().fill_(1.0)
    share = _shrinkage(rest, samples - len(values))
    del rest
    correlation.lerp_(common, share).diagonal().fill_(1.0)


def _outstanding(correlation: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues (k,) and eigenvectors (n, k) that chance does not give, `_DIRECTIONS` at most."""
    size = len(correlation)
    # By subspace iteration: a whole decomposition takes minutes at 8192 variables.
    start = torch.randn(size, min(size, _DIRECTIONS), generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(start.to(correlation)).Q
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(correlation @ basis).Q
    values, rotation = torch.linalg.eigh(basis.T @ correlation @ basis)
    found, left = 0, float(size)
    for value in values.flip(0).tolist():
        rest = size - found
        if samples <= found or rest < 2 or value <= left / rest * (1.0 + (rest / (samples - found)) ** 0.5) ** 2:
            break
        found, left = found + 1, left - value
    chosen = slice(len(values) - found, None)
    return values[chosen], basis @ rotation[:, chosen]


def _shrinkage(correlation: Tensor, samples: int) -> float:
    """Share of no correlation in the estimate, 0..1."""
    size = len(correlation)
    squares = float(torch.linalg.vector_norm(correlation).square())
    common = squares - size
    if samples <= 0 or common <= 0.0:
        return 1.0
    part = 1.0 - 2.0 / size
    return min(1.0, (part * squares + size**2) / ((samples + part) * common))

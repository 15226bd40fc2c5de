"""int4 weights that fit the inputs a layer has: GPTQ (Frantar et al., 2023).

Columns are rounded one after the other; what rounding does to the outputs is made up for by the columns that follow, as
far as their inputs go together. It is computed in the form of LDLQ (Chee et al., "QuIP", 2023), which gives the same
numbers, and needs a factor of the Hessian but not its inverse.

A few hundred tokens say little about how thousands of inputs go together, and errors must not be made up for by
coincidences of the calibration: correlations are shrunk as far as the number of tokens calls for. For inputs that have
nothing to do with each other that leaves nothing of them, and what remains is rounding to nearest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import PrecisionError
from .rounding import INT4_MAX, int4_grid, pack
from .shrinkage import shrink

# Of a group's range: narrower grids cut the largest weights off and are finer for all others.
_PARTS = (1.0, 0.95, 0.9, 0.85, 0.8)


def gptq(weight: Tensor, hessian: Tensor, tokens: int, group_size: int, damping: float = 0.01) -> dict[str, Tensor]:
    """Quantise a linear layer's weight to int4 with the inputs of a calibration.

    Args:
        weight: floating point, (out, in).
        hessian: X^T X of the layer's inputs X (tokens, in), float32, (in, in).
        tokens: how many inputs were summed; inputs that were always zero, all of them at 0 tokens, are rounded to the
            nearest.
        group_size: inputs that share a scale; divides in.
        damping: share by which correlations are lessened after `shrink`, 0..1; raised until the matrix
            has a Cholesky factor.

    Returns:
        The tensors of `quantise(weight, Precision.INT4)`.

    Raises:
        PrecisionError: values that are not finite, or shapes that do not fit.
    """
    inputs = weight.shape[1]
    if hessian.shape != (inputs, inputs) or inputs % group_size:
        raise PrecisionError(
            f"a weight of shape {tuple(weight.shape)} needs a Hessian of {(inputs, inputs)} and a group size that "
            f"divides {inputs}, got {tuple(hessian.shape)} and {group_size}"
        )
    # Sums of what is not finite are not finite.
    if not bool(torch.isfinite(weight.sum(dtype=torch.float64) + hessian.sum(dtype=torch.float64))):
        raise PrecisionError("a layer's weight or its calibration inputs hold values that are not finite")
    columns = weight.detach().float().T.contiguous()
    power = hessian.diagonal().float()
    feedback = _feedback(hessian, power, tokens, damping)
    errors = torch.empty_like(columns)
    levels = torch.empty_like(columns, dtype=torch.uint8)
    scales, zeros = [], []
    for start in range(0, inputs, group_size):
        group = slice(start, start + group_size)
        # The group, with what the columns before it leave to be made up for.
        target = columns[group] + feedback[:start, group].T @ errors[:start]
        scale, zero = _clipped_grid(target, power[group])
        step, offset = scale.float(), zero.float()
        for index in range(start, start + group_size):
            wanted = target[index - start] + feedback[start:index, index] @ errors[start:index]
            level = (wanted / step + offset).round_().clamp_(0, INT4_MAX)
            levels[index] = level.to(torch.uint8)
            errors[index] = columns[index] - (level - offset) * step
        scales.append(scale)
        zeros.append(zero)
    return {"weight": pack(levels.T).contiguous(), "scale": torch.stack(scales, 1), "zero": torch.stack(zeros, 1)}


def _feedback(hessian: Tensor, power: Tensor, tokens: int, damping: float) -> Tensor:
    """Share of a column's error that each later column makes up for: (in, in), of use above the diagonal."""
    root = torch.where(power > 0, power, 1.0).sqrt()
    correlation = hessian.float() / root.unsqueeze(1) / root
    # Of inputs that were always zero nothing is known: they go with no other.
    correlation.diagonal().fill_(1.0)
    shrink(correlation, tokens)
    kept = 1.0
    while True:
        correlation.mul_((1.0 - damping) / kept).diagonal().fill_(1.0)
        kept = 1.0 - damping
        # An upper factor: the Cholesky factor of the matrix read backwards, read backwards.
        factor, failed = torch.linalg.cholesky_ex(correlation.flip(0, 1))
        if not failed:
            break
        damping = min(1.0, max(1e-6, 10.0 * damping))
    del correlation
    upper: Tensor = factor.flip(0, 1).mul_(root.unsqueeze(1))
    return upper.div_(upper.diagonal().clone())


def _clipped_grid(target: Tensor, power: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and zero of a group, (out,), that give the least error of its outputs taken input by input."""
    low, high = target.amin(0), target.amax(0)
    scale, zero = int4_grid(low, high)
    least = torch.full_like(low, torch.inf)
    for part in _PARTS:
        scales, zeros = int4_grid(low * part, high * part)
        rounded = (target / scales.float()).add_(zeros.float()).round_().clamp_(0, INT4_MAX)
        error = power @ rounded.sub_(zeros.float()).mul_(scales.float()).sub_(target).square_()
        better = error < least
        scale, zero, least = (
            torch.where(better, scales, scale),
            torch.where(better, zeros, zero),
            torch.where(better, error, least),
        )
    return scale, zero

"""What a policy is trained to lower: the losses of continuous actions and of action tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

LossKind = Literal["huber", "l1", "l2"]
_CONTINUOUS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"huber": F.huber_loss, "l1": F.l1_loss, "l2": F.mse_loss}


def action_loss(
    continuous: Tensor,
    binary: Tensor,
    continuous_label: Tensor,
    binary_label: Tensor,
    mask: Tensor | None,
    kind: LossKind,
) -> tuple[Tensor, Tensor]:
    """Loss of the continuous group and binary cross-entropy of the binary logits; with Huber (delta 1) as RoboVLMs'.

    Labels at entries that do not count are never looked at: they may hold anything, NaN too.

    Args:
        continuous: float (b, l, chunk, k) in [-1, 1].
        binary: logits, float (b, l, chunk, m); m may be 0.
        continuous_label: as `continuous`.
        binary_label: in [0, 1], any dtype, shaped as `binary`.
        mask: (b, l, chunk), bool or holding only 0 and 1, the entries that count; None counts all.
        kind: of the continuous group's loss: "huber", "l1" (absolute error) or "l2" (squared error).

    Returns:
        Two scalars, means over the entries that count; the second is 0 without a binary group.

    Raises:
        ValueError: shapes differ, the kind is unknown, a mask value is neither 0 nor 1, a binary label lies outside
            [0, 1], or no entry counts (the mean would be NaN).
    """
    _require_shape("continuous label", continuous_label, continuous.shape)
    _require_shape("binary label", binary_label, binary.shape)
    if binary.shape[:-1] != continuous.shape[:-1]:
        expected = ", ".join(map(str, continuous.shape[:-1]))
        raise ValueError(f"binary logits have shape {tuple(binary.shape)}, expected ({expected}, m)")
    if kind not in _CONTINUOUS:
        raise ValueError(f"action loss: kind {kind!r}, expected one of {', '.join(map(repr, _CONTINUOUS))}")
    if mask is not None:
        _require_shape("mask", mask, continuous.shape[:-1])
        counts = _as_bool(mask)
        # Selected before the loss: a NaN label that is masked out must not reach the gradient as 0 * NaN.
        continuous, continuous_label = continuous[counts], continuous_label[counts]
        binary, binary_label = binary[counts], binary_label[counts]
    if continuous.numel() == 0:
        raise ValueError(f"action loss: no entry counts, continuous group left after masking {tuple(continuous.shape)}")
    continuous_loss = _CONTINUOUS[kind](continuous, continuous_label)
    if binary.shape[-1] == 0:
        return continuous_loss, binary.new_zeros(())
    inside = (binary_label >= 0) & (binary_label <= 1)
    if not bool(inside.all()):
        raise ValueError(f"action loss: binary label {binary_label[~inside][0].item()}, expected one in [0, 1]")
    return continuous_loss, F.binary_cross_entropy_with_logits(binary, binary_label.to(binary.dtype))


def token_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """Mean cross-entropy of the tokens that count, as OpenVLA trains its action tokens (Kim et al., 2024).

    Args:
        logits: float (n, v), row i those from which token i is predicted.
        ids: int64 (n,) in [0, v); what does not count has been left out already, there is no "ignore" id.

    Returns:
        A scalar.

    Raises:
        ValueError: shapes do not fit, an id is outside the vocabulary, or there is no token (the mean would be NaN).
    """
    if logits.dim() != 2:
        raise ValueError(f"token logits have shape {tuple(logits.shape)}, expected (n, v)")
    _require_shape("token ids", ids, logits.shape[:1])
    if len(ids) == 0:
        raise ValueError(f"token loss: no token to predict, logits have shape {tuple(logits.shape)}")
    outside = (ids < 0) | (ids >= logits.shape[1])
    if bool(outside.any()):
        raise ValueError(f"token loss: id {ids[outside][0].item()}, expected one in [0, {logits.shape[1]})")
    return F.cross_entropy(logits, ids)


def _require_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}")


def _as_bool(mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return mask
    odd = (mask != 0) & (mask != 1)
    if bool(odd.any()):
        raise ValueError(f"action loss: mask value {mask[odd][0].item()}, expected 0 or 1")
    return mask.bool()

"""The precisions that a policy can be stored and run in, and which device can run them."""

from __future__ import annotations

from enum import Enum

import torch

from ..errors import PrecisionError
from .cpu import has_bfloat16, has_float16, has_int8

_QUANTISED_DEVICES = ("cpu", "cuda")
_AMPERE = (8, 0)


class Precision(str, Enum):
    """How weights are stored and products computed.

    fp32, fp16, bf16: every tensor is of that type. int8, w8a8, int4: linear layers are quantised, all else is bf16.
    int8 and int4 are rounded weights with activations as they are; w8a8 rounds the activations to int8 too, each token
    with its own scale.

    `Precision("int8")` reads a name; an unknown one raises PrecisionError with the names there are.
    """

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    W8A8 = "w8a8"
    INT4 = "int4"

    @classmethod
    def _missing_(cls, value: object) -> Precision:
        raise PrecisionError(f"precision {value!r} is unknown, expected one of {', '.join(item.value for item in cls)}")

    @property
    def quantised(self) -> bool:
        """Whether linear layers hold integers."""
        return self in (Precision.INT8, Precision.W8A8, Precision.INT4)

    @property
    def dtype(self) -> torch.dtype:
        """Of every tensor that is not quantised."""
        if self is Precision.FP32:
            return torch.float32
        return torch.float16 if self is Precision.FP16 else torch.bfloat16

    @property
    def bits(self) -> float:
        """Bits per weight of a linear layer with 2048 inputs, scales included."""
        if self is Precision.INT4:
            return 4 + (16 + 8) / 128
        if self.quantised:
            return 8 + 32 / 2048
        return 8.0 * self.dtype.itemsize


def check_device(precision: Precision, device: torch.device) -> None:
    """Say before any work whether a device can run a precision.

    Raises:
        PrecisionError: it cannot; the message says why and what it can run.
    """
    if device.type == "cuda":
        _check_cuda(precision, device)
    elif precision.quantised and device.type not in _QUANTISED_DEVICES:
        raise PrecisionError(
            f"precision {precision.value} runs on {' and '.join(_QUANTISED_DEVICES)}, not on {device}; fp16 does"
        )
    if precision is Precision.W8A8 and device.type == "cuda" and not hasattr(torch, "_int_mm"):
        raise PrecisionError(
            f"precision w8a8 needs torch's int8 matrix product (torch._int_mm), which torch {torch.__version__} lacks; "
            "int8 does without"
        )


def slow_on(precision: Precision, device: torch.device) -> str | None:
    """A sentence of warning where a device runs a precision, but slowly; None where it is at home."""
    if device.type != "cpu":
        return None
    if precision is Precision.FP16 and not has_float16():
        return "This processor emulates float16 and is several times slower than with float32."
    if precision is Precision.W8A8 and not has_int8():
        return "This processor has no int8 matrix product: w8a8 is computed in float32 and saves memory, not time."
    if precision.dtype is torch.bfloat16 and not has_bfloat16():
        return "This processor emulates bfloat16 and is slower than with float32."
    return None


def _check_cuda(precision: Precision, device: torch.device) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        raise PrecisionError(f"device {device} does not exist: torch {torch.__version__} sees {count} CUDA devices")
    if precision.dtype is not torch.bfloat16 or torch.version.cuda is None:
        return
    capability = torch.cuda.get_device_capability(device)
    if capability < _AMPERE:
        raise PrecisionError(
            f"precision {precision.value} computes in bfloat16, which needs compute capability "
            f"{_AMPERE[0]}.{_AMPERE[1]}; {torch.cuda.get_device_name(device)} has {capability[0]}.{capability[1]}: "
            "take fp16"
        )

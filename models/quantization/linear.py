"""Linear layers that hold integers: thin modules over torch's own operators, their buffers plain tensors.

Not torchao: its int4 (0.18) does not run on a CPU without a further package (mslk), its eager W8A8 took three times as
long as bfloat16 on a CPU, and its tensor subclasses cannot be loaded from a plain safetensors file, without a copy, by
the versions of torch that JetPack has. These layers need nothing but torch and a file of integers and scales.

They are for inference: the integers have no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import PrecisionError
from .cpu import has_bfloat16
from .integer import int8_matmul
from .precision import Precision
from .rounding import SCALE_DTYPE, from_int4, from_int8, group_size, symmetric_scale

# Weights that are in floating point at a time: 4 MiB in float32, less than twice that with int4's way there.
_SLICE = 1 << 20
_GRID = ("scale", "zero")


class QuantisedLinear(nn.Module):
    """What the layers have in common: sizes, a bias, and scales that keep their type.

    Args:
        in_features: width of the inputs.
        out_features: width of the outputs.
        bias: whether there is one.
        device: of the buffers, whose values are not set.
        dtype: of the bias.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("bias", torch.empty(out_features, dtype=dtype, device=device) if bias else None)

    def extra_repr(self) -> str:
        """Sizes, as of nn.Linear."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        exact = {name: buffer for name in _GRID if (buffer := self._buffers.get(name)) is not None}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in exact.items():
            applied = self.get_buffer(name)
            # model.half() is meant for what is computed: in float16 small scales would be lost.
            if applied.dtype != buffer.dtype:
                setattr(self, name, buffer.to(applied.device))
        return self


class WeightOnlyLinear(QuantisedLinear):
    """Computes in the type of its inputs, with a slice of the weight in floating point at a time."""

    def rows(self, start: int, stop: int, out: Tensor) -> Tensor:
        """Rows of the weight in floating point, (rows, in), written into `out`, of this shape and any such type."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (..., in) of float32, bfloat16 or float16 to outputs (..., out) of the same type."""
        dtype = _computed_in(x)
        inputs, bias = x.to(dtype), None if self.bias is None else self.bias.to(dtype)
        step = min(max(1, _SLICE // self.in_features), self.out_features)
        buffer = self._buffer(step, inputs)
        outputs = []
        for start in range(0, self.out_features, step):
            stop = min(start + step, self.out_features)
            # One buffer for all slices, but for those that gradients are computed from later.
            kept = torch.is_grad_enabled() and inputs.requires_grad
            rows = self.rows(start, stop, (self._buffer(step, inputs) if kept else buffer)[: stop - start])
            outputs.append(F.linear(inputs, rows, None if bias is None else bias[start:stop]))
        return torch.cat(outputs, -1).to(x.dtype)

    def _buffer(self, rows: int, like: Tensor) -> Tensor:
        return torch.empty(rows, self.in_features, dtype=like.dtype, device=like.device)


class Int8Linear(WeightOnlyLinear):
    """`weight` int8 (out, in), `scale` float32 (out,)."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        _register_int8(self, device)

    def rows(self, start: int, stop: int, out: Tensor) -> Tensor:
        """See `WeightOnlyLinear.rows`."""
        return from_int8(self.weight[start:stop], self.scale[start:stop], out)


class Int8DynamicLinear(QuantisedLinear):
    """`weight` int8 (out, in), `scale` float32 (out,); activations are rounded to int8, each token on its own scale."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        _register_int8(self, device)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (..., in) of float32, bfloat16 or float16 to outputs (..., out) of the same type.

        A token that is not finite gives outputs that are not finite.
        """
        tokens = x.reshape(-1, self.in_features)
        step = symmetric_scale(tokens)
        product = int8_matmul((tokens / step).round_().to(torch.int8), self.weight)
        outputs = product.float().mul_(step).mul_(self.scale)
        if self.bias is not None:
            outputs += self.bias
        return outputs.to(x.dtype).reshape(*x.shape[:-1], self.out_features)


class Int4Linear(WeightOnlyLinear):
    """`weight` uint8 (out, in/2), `scale` bfloat16 and `zero` uint8 (out, in/group): (level - zero) * scale."""

    zero: Tensor

    def __init__(
        self, in_features: int, out_features: int, bias: bool, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        grid = (out_features, in_features // group_size(in_features))
        self.register_buffer("weight", torch.empty(out_features, in_features // 2, dtype=torch.uint8, device=device))
        self.register_buffer("scale", torch.empty(grid, dtype=SCALE_DTYPE, device=device))
        self.register_buffer("zero", torch.empty(grid, dtype=torch.uint8, device=device))

    def rows(self, start: int, stop: int, out: Tensor) -> Tensor:
        """See `WeightOnlyLinear.rows`."""
        rows = slice(start, stop)
        return from_int4(self.weight[rows], self.scale[rows], self.zero[rows], out)


_LAYERS: dict[Precision, type[QuantisedLinear]] = {
    Precision.INT8: Int8Linear,
    Precision.W8A8: Int8DynamicLinear,
    Precision.INT4: Int4Linear,
}


def empty(precision: Precision, linear: nn.Linear) -> nn.Module:
    """A quantised layer of the sizes and on the device of `linear`, its buffers not yet set.

    Raises:
        PrecisionError: the precision has no quantised layers, or int4 none of this width.
    """
    if precision not in _LAYERS:
        raise PrecisionError(f"precision {precision.value} has no quantised layers")
    layer = _LAYERS[precision](
        linear.in_features, linear.out_features, linear.bias is not None, linear.weight.device, precision.dtype
    )
    return layer.train(linear.training)


def _register_int8(layer: QuantisedLinear, device: torch.device) -> None:
    shape = (layer.out_features, layer.in_features)
    layer.register_buffer("weight", torch.empty(shape, dtype=torch.int8, device=device))
    layer.register_buffer("scale", torch.empty(layer.out_features, dtype=torch.float32, device=device))


def _computed_in(x: Tensor) -> torch.dtype:
    # What a processor only emulates is faster, and more exact, in float32.
    native = x.dtype is torch.bfloat16 and has_bfloat16()
    return torch.float32 if x.device.type == "cpu" and not native else x.dtype

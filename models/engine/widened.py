"""What a processor only emulates, computed in float32: weights stay as they are stored, a slice is widened at a time.

Without instructions for bfloat16 or float16 (AVX2, most desktop processors) torch multiplies their matrices several
times slower than float32's.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy, deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..quantization.cpu import has_bfloat16, has_float16
from ..quantization.linear import QuantisedLinear, WeightOnlyLinear

Module = TypeVar("Module", bound=nn.Module)


def is_emulated(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether matrices of this type are multiplied without instructions for it."""
    if device.type != "cpu":
        return False
    return (dtype is torch.bfloat16 and not has_bfloat16()) or (dtype is torch.float16 and not has_float16())


class Widening:
    """Gives modules in float32 in the place of others."""

    def __init__(self) -> None:
        self._copies: list[tuple[Tensor, Tensor]] = []

    def widened(self, module: Module) -> Module:
        """The same in float32: it shares the matrices of linear layers and the tables, and copies what is small."""
        if isinstance(module, nn.Linear):
            return _SharedLinear(module, self._copied)  # type: ignore[return-value]
        if isinstance(module, QuantisedLinear | nn.Embedding):
            # They compute in the type of their inputs, or are added to what is float32.
            return module
        made = copy(module)
        if isinstance(module, nn.RNNBase):
            # It keeps its weights in a list besides.
            made = deepcopy(module).float()
            self._copies += zip(made.parameters(), module.parameters(), strict=True)
            return made
        made._modules = {
            name: None if child is None else self.widened(child) for name, child in module._modules.items()
        }
        made._parameters = {
            name: each if each is None else nn.Parameter(self._copied(each), requires_grad=False)
            for name, each in module._parameters.items()
        }
        made._buffers = {name: each if each is None else self._copied(each) for name, each in module._buffers.items()}
        return made

    @torch.no_grad()
    def refresh(self) -> None:
        """Take changes of what was copied over."""
        for made, source in self._copies:
            made.copy_(source)

    def _copied(self, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        made = tensor.detach().to(torch.float32, copy=True)
        self._copies.append((made, tensor))
        return made


class _SharedLinear(WeightOnlyLinear):
    """A linear layer's own weight (out, in), and its bias in float32."""

    def __init__(self, linear: nn.Linear, copied: Callable[[Tensor], Tensor]) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("weight", linear.weight.detach())
        self.register_buffer("bias", None if linear.bias is None else copied(linear.bias))

    def rows(self, start: int, stop: int, out: Tensor) -> Tensor:
        """See `WeightOnlyLinear.rows`."""
        return out.copy_(self.weight[start:stop])

"""Calibration of a chain of blocks: each is quantised for the inputs that the quantised ones before it give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import PrecisionError
from .gptq import gptq
from .replace import linear_layers
from .rounding import dequantise, group_size

# Caches of keys and values: a block that is run again would find itself in them.
_CACHES = {"past_key_values": None, "past_key_value": None, "layer_past": None, "use_cache": False}


@dataclass
class _Calls:
    """What a block was called with, apart from its hidden states."""

    args: list[tuple[Any, ...]] = field(default_factory=list)
    kwargs: list[dict[str, Any]] = field(default_factory=list)


@torch.no_grad()
def quantise_blocks(
    blocks: nn.ModuleList,
    run: Callable[[], None],
    on_layer: Callable[[str, dict[str, Tensor]], None],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Quantise every nn.Linear of a chain of blocks to int4, with GPTQ.

    A block takes hidden states (..., width) as its first argument, or as `hidden_states`, and returns them, or a tuple
    that begins with them; it is called once for each call of the first one. In memory are the calls' hidden states, and
    the Hessians and dequantised weights of one block. The blocks themselves are left as they are.

    Args:
        blocks: in evaluation mode; their weights may be read-only.
        run: runs the whole model over the calibration inputs.
        on_layer: takes a layer's name in `blocks` ("0.fc1") and the tensors of `quantise(..., Precision.INT4)`.
        progress: takes the number of blocks done, and of all.

    Raises:
        PrecisionError: a layer that int4 cannot have, named; values that are not finite; blocks that `run` does not
            reach or that do not follow each other.
    """
    layers = linear_layers(blocks)
    sizes: dict[str, int] = {}
    for name, linear in layers.items():
        try:
            sizes[name] = group_size(linear.in_features)
        except PrecisionError as error:
            raise PrecisionError(f"layer {name}: {error}") from error
    if any(block.training for block in blocks):
        raise PrecisionError("blocks are calibrated in evaluation mode: call eval() first")
    states, calls = _capture(blocks, run)
    for index, block in enumerate(blocks):
        linears = {name: linear for name, linear in layers.items() if name.split(".")[0] == str(index)}
        with _weights_restored(linears):
            hessians = _Hessians(linears)
            with hessians.watching():
                for number, state in enumerate(states):
                    _forward(block, state, calls[index], number)
            for name, linear in linears.items():
                tensors = hessians.quantise(name, sizes[name])
                on_layer(name, tensors)
                weight = dequantise(tensors, linear.weight.dtype)
                linear.weight = nn.Parameter(weight, requires_grad=False)
            for number, state in enumerate(states):
                states[number] = _forward(block, state, calls[index], number)
        if progress is not None:
            progress(index + 1, len(blocks))


class _Hessians:
    """X^T X of the inputs X of linear layers."""

    def __init__(self, linears: dict[str, nn.Linear]) -> None:
        self._linears = linears
        self._sums: dict[str, Tensor] = {}
        self._tokens = dict.fromkeys(linears, 0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Add up the inputs of what is run meanwhile."""

        def add(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
                inputs = args[0].reshape(-1, args[0].shape[-1]).float()
                self._sum(name).addmm_(inputs.T, inputs)
                self._tokens[name] += inputs.shape[0]

            return hook

        with ExitStack() as stack:
            for name, linear in self._linears.items():
                stack.callback(linear.register_forward_pre_hook(add(name)).remove)
            yield

    def quantise(self, name: str, size: int) -> dict[str, Tensor]:
        """int4 of a layer in groups of `size` inputs; its Hessian is dropped."""
        try:
            return gptq(self._linears[name].weight, self._sum(name), self._tokens[name], size)
        except PrecisionError as error:
            raise PrecisionError(f"layer {name}: {error}") from error
        finally:
            del self._sums[name]

    def _sum(self, name: str) -> Tensor:
        linear = self._linears[name]
        if name not in self._sums:
            size = linear.in_features
            self._sums[name] = torch.zeros(size, size, dtype=torch.float32, device=linear.weight.device)
        return self._sums[name]


def _capture(blocks: nn.ModuleList, run: Callable[[], None]) -> tuple[list[Tensor], list[_Calls]]:
    """The first block's hidden states, and what else each block was given, call by call."""
    states: list[Tensor] = []
    calls = [_Calls() for _ in blocks]

    def capture(index: int) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            state = args[0] if args else kwargs["hidden_states"]
            if index == 0:
                # A tensor of inference mode could not be computed with outside of it.
                with torch.inference_mode(mode=False):
                    states.append(state.detach().clone())
            calls[index].args.append(args[1:])
            others = {name: value for name, value in kwargs.items() if name != "hidden_states"}
            calls[index].kwargs.append({name: _CACHES.get(name, value) for name, value in others.items()})

        return hook

    with ExitStack() as stack:
        for index, block in enumerate(blocks):
            stack.callback(block.register_forward_pre_hook(capture(index), with_kwargs=True).remove)
        run()
    counts = [len(call.args) for call in calls]
    if not states or len(set(counts)) != 1:
        raise PrecisionError(f"calibration wants every block to be called alike and at least once, got calls {counts}")
    return states, calls


def _forward(block: nn.Module, state: Tensor, calls: _Calls, number: int) -> Tensor:
    result = block(state.clone(), *calls.args[number], **calls.kwargs[number])
    first = result[0] if isinstance(result, tuple) else result
    if not isinstance(first, Tensor) or first.shape != state.shape:
        found = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
        raise PrecisionError(
            f"a block of type {type(block).__name__} returned {found}, expected hidden states of {tuple(state.shape)}"
        )
    return first


@contextmanager
def _weights_restored(linears: dict[str, nn.Linear]) -> Iterator[None]:
    originals = {name: linear.weight for name, linear in linears.items()}
    try:
        yield
    finally:
        for name, weight in originals.items():
            linears[name].weight = weight

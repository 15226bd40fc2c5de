"""What a step takes whatever runs it: operations of its matrix products, and bytes of the weights that it reads."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count, shape_wrapper

from ...convert.stored import precision_of
from ...engine.history import LeanHistory
from ...engine.onnx_manifest import TOWERS, Dtype
from ...engine.parts import Prepared, prepare, why_not_lean
from ...engine.stages import CLIP, CONNECTOR, HEAD, HISTORY, MODEL, TEXT, VISION
from ...engine.torch_parts import TorchParts
from ...history import begin_history
from ...modeling import VLAModel, plain_dtype
from ...policy import VLAPolicy
from ...quantization.linear import QuantisedLinear
from ...quantization.precision import Precision
from .pictures import INSTRUCTION, decode, jpegs, state_of, to_pictures

_BY_DTYPE = {torch.float32: Precision.FP32, torch.bfloat16: Precision.BF16, torch.float16: Precision.FP16}


@dataclass(frozen=True)
class PartCost:
    """What a part of a step takes.

    Attributes:
        name: of the stage.
        precision: of its weights.
        operations: multiplications and additions of its matrix products, convolutions, attention and LSTM.
        weights: bytes of the weights that it reads, as they are stored; each once.
    """

    name: str
    precision: Precision
    operations: int
    weights: int


def step_cost(policy: VLAPolicy) -> list[PartCost]:
    """Count one real step, with the window full; attention that is causal counts in full, as the kernels compute it.

    Counted in the policy's own modules, whatever its engine makes of them. A policy whose step is not lean counts as
    one part, with the window as it is after one frame.
    """
    model, config = policy.model, policy.config
    pictures = to_pictures(decode(jpegs(1)[0]), config, model.device)
    with torch.inference_mode():
        instruction = policy.encoder(model, [INSTRUCTION])
        if why_not_lean(config) is not None:
            counter = _Counter(model)
            with counter.part(MODEL, model.backbone.text_tower):
                begin_history(model, instruction).step(pictures, state_of(config, model.device))
            return counter.costs
        # Not widened: what is read is counted as it is stored.
        parts = TorchParts(model, widen=False)
        counter = _Counter(model, parts.connector)
        counted = _CountedParts(parts, counter, model, config.window)
        LeanHistory(config, counted, prepare(model, instruction)).step(pictures, None)
    return counter.costs


def exported(costs: Sequence[PartCost], dtype: Dtype) -> list[PartCost]:
    """The same step in an ONNX export: its towers in `dtype`, fusion and head in float32."""
    made = []
    for cost in costs:
        precision = Precision.FP32 if cost.name in (HISTORY, HEAD) else TOWERS[dtype]
        weights = round(cost.weights * _bytes(precision) / _bytes(cost.precision))
        made.append(replace(cost, precision=precision, weights=weights))
    return made


def _bytes(precision: Precision) -> float:
    """Of a weight; scales are not counted."""
    return 1.0 if precision is Precision.W8A8 else precision.bits / 8


def stored_precision(*modules: nn.Module | None) -> Precision:
    """Of the weights of modules: that of their quantised layers, if they have any."""
    there = [module for module in modules if module is not None]
    for module in there:
        for layer in module.modules():
            if isinstance(layer, QuantisedLinear):
                return precision_of(layer)
    return _BY_DTYPE[plain_dtype(nn.ModuleList(there))]


def part_precisions(model: VLAModel) -> dict[str, Precision]:
    """Of each part that a policy has: vision, text, clip, head."""
    vision = model.backbone.vision_modules or (model.backbone.vision_tower,)
    found = {"vision": stored_precision(*vision), "text": stored_precision(model.backbone.text_tower)}
    if model.clip is not None:
        found["clip"] = stored_precision(model.clip)
    if model.head is not None:
        found["head"] = stored_precision(model.fusion, model.head)
    return found


class _Counter:
    """Counts what runs between the ends of a part."""

    def __init__(self, *modules: nn.Module) -> None:
        self.costs: list[PartCost] = []
        self._index = _WeightIndex(*modules)

    @contextmanager
    def part(self, name: str, *modules: nn.Module | None) -> Iterator[None]:
        """Count a part; `modules` are of its precision."""
        with _Watched(self._index) as watched:
            yield
        self.costs.append(PartCost(name, stored_precision(*modules), watched.operations, watched.bytes))


class _CountedParts:
    """Parts that are counted; the head over a full window."""

    def __init__(self, parts: TorchParts, counter: _Counter, model: VLAModel, window: int) -> None:
        self._parts, self._counter, self._model, self._window = parts, counter, model, window

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.see`."""
        parts = self._parts
        with self._counter.part(VISION, parts.vision):
            states = parts.vision(pixels.to(plain_dtype(parts.vision)))
        with self._counter.part(CONNECTOR, parts.connector):
            latents = parts.connector(states)
        return latents, states[:, 0]

    def read(self, latents: Tensor, prepared: Prepared) -> Tensor:
        """See `Parts.read`."""
        with self._counter.part(TEXT, self._parts.text):
            return self._parts.read(latents, prepared)

    def clip(self, pixels: Tensor, prepared: Prepared) -> tuple[Tensor, ...]:
        """See `Parts.clip`."""
        with self._counter.part(CLIP, self._model.clip):
            return self._parts.clip(pixels, prepared)

    def fuse(self, features: Tensor) -> Tensor:
        """See `Parts.fuse`."""
        if self._model.fusion is None:
            return self._parts.fuse(features)
        with self._counter.part(HISTORY, self._model.fusion):
            return self._parts.fuse(features)

    def act(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.act`."""
        with self._counter.part(HEAD, self._model.head):
            return self._parts.act(window[:, -1:].repeat(1, self._window, 1))


class _WeightIndex:
    """Where in memory the weights of modules lie."""

    def __init__(self, *modules: nn.Module) -> None:
        places: dict[int, int] = {}
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                places[tensor.data_ptr()] = max(places.get(tensor.data_ptr(), 0), tensor.nbytes)
        self._starts = sorted(places)
        self._sizes: Mapping[int, int] = places

    def bytes_of(self, tensor: Tensor) -> int:
        """Of the piece of a weight that a tensor is; 0 if it is none."""
        address = tensor.data_ptr()
        number = bisect_right(self._starts, address) - 1
        if number < 0:
            return 0
        end = self._starts[number] + self._sizes[self._starts[number]]
        # One that repeats itself is longer than what it repeats.
        return max(0, min(tensor.nbytes, end - address))


def _attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _lstm(inputs: Tensor, states: Any, weights: Any, *_: Any, out_val: Any = None, **__: Any) -> int:
    """A multiplication and an addition for every number of the gates' matrices and every frame."""
    frames = inputs.shape[0] * inputs.shape[1]
    return 2 * frames * sum(int(weight.numel()) for weight in weights if weight.ndim == 2)


_FORMULAS: dict[Any, Any] = {
    **flop_registry,
    torch.ops.aten.lstm: _lstm,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: shape_wrapper(_attention),
    torch.ops.aten._int_mm: flop_registry[torch.ops.aten.mm],
}


class _Watched(TorchDispatchMode):
    """What operators compute, and which weights they read.

    As torch's FlopCounterMode, without its module tracker, which cannot be had in inference mode.
    """

    def __init__(self, index: _WeightIndex) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self._index = index
        self._found: dict[int, int] = {}

    @property
    def bytes(self) -> int:
        """Of all weights read, each once."""
        return sum(self._found.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        formula = _FORMULAS.get(func._overloadpacket)
        if formula is None:
            # Operators that consist of others are counted in them.
            with self:
                made = func.decompose(*args, **named)
            if made is not NotImplemented:
                return made
        # A view reads nothing, and of a table of words a few rows are read.
        if not func.is_view and func is not torch.ops.aten.embedding.default:
            for leaf in tree_leaves((args, named)):
                if isinstance(leaf, Tensor):
                    address, size = leaf.data_ptr(), self._index.bytes_of(leaf)
                    self._found[address] = max(self._found.get(address, 0), size)
        out = func(*args, **named)
        if formula is not None:
            self.operations += int(formula(*args, **named, out_val=out))
        return out

"""The limits of this machine, measured here and now, and the least time that a step can take within them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from ...modeling import VLAModel
from ...quantization.precision import Precision
from .cost import PartCost

# (rows, inner, columns) of a product: (rows, inner) x (columns, inner)^T.
Shape = tuple[int, int, int]
# Prepares the product of a shape on a device; None where it has no such product.
Product = Callable[[Shape, torch.device], Callable[[], object] | None]

_SQUARE = {"cpu": 1024, "cuda": 8192}
# Rows of a usual prompt, and so many that CUDA's int8 product takes them.
_ROWS = 96
# Bytes of a buffer that fits in no cache: at least, at most, and in between so many times the greatest cache.
_LEAST, _MOST, _CACHES = 1 << 28, 1 << 30, 8
# Seconds: what takes longer (an emulated precision) is measured once, what is shorter often enough to be seen.
_LONG, _SHORT = 1.0, 0.01
# In which precisions a machine may multiply the numbers of another without losing anything.
_WAYS = {
    Precision.FP32: ("fp32",),
    Precision.BF16: ("bf16", "fp32"),
    Precision.FP16: ("fp16", "fp32"),
    Precision.INT8: ("bf16", "fp16", "fp32"),
    Precision.INT4: ("bf16", "fp16", "fp32"),
    Precision.W8A8: ("int8", "bf16", "fp16", "fp32"),
}


@dataclass(frozen=True)
class Roofline:
    """What the machine reached.

    Attributes:
        rates: operations per second of matrix products by the precision of their numbers: fp32, bf16, fp16, int8.
        read, copied: bytes per second, of a buffer that fits in no cache; copied ones count twice, read and written.
    """

    rates: Mapping[str, float]
    read: float
    copied: float

    @property
    def bandwidth(self) -> float:
        """Bytes per second, the better of both."""
        return max(self.read, self.copied)

    def rate(self, precision: Precision) -> float:
        """Operations per second for weights of a precision, in the fastest numbers that hold them."""
        return max(self.rates[way] for way in _WAYS[precision] if way in self.rates)


@dataclass(frozen=True)
class PartFloor:
    """The least seconds that a part can take.

    Attributes:
        cost: of the part.
        compute: seconds for its operations.
        memory: seconds to read its weights.
    """

    cost: PartCost
    compute: float
    memory: float

    @property
    def seconds(self) -> float:
        """The longer of both."""
        return max(self.compute, self.memory)


def step_floor(costs: Sequence[PartCost], roofline: Roofline) -> list[PartFloor]:
    """The least time of each part, on the machine that the roofline was measured on."""
    return [
        PartFloor(cost, cost.operations / roofline.rate(cost.precision), cost.weights / roofline.bandwidth)
        for cost in costs
    ]


def torch_product(dtype: torch.dtype) -> Product:
    """The product that torch computes of two matrices of a type; int8 ones give int32."""

    def prepare(shape: Shape, device: torch.device) -> Callable[[], object] | None:
        rows, inner, columns = shape
        if dtype is torch.int8:
            if not hasattr(torch, "_int_mm"):
                return None
            left = torch.randint(-127, 128, (rows, inner), dtype=dtype, device=device)
            right = torch.randint(-127, 128, (columns, inner), dtype=dtype, device=device)
            return lambda: torch._int_mm(left, right.T)
        first = torch.randn(rows, inner, device=device).to(dtype)
        second = torch.randn(columns, inner, device=device).to(dtype)
        return lambda: torch.nn.functional.linear(first, second)

    return prepare


PRODUCTS: dict[str, tuple[Product, ...]] = {
    "fp32": (torch_product(torch.float32),),
    "bf16": (torch_product(torch.bfloat16),),
    "fp16": (torch_product(torch.float16),),
    "int8": (torch_product(torch.int8),),
}


def model_shapes(model: VLAModel) -> list[Shape]:
    """The shapes to try: the greatest product of a policy's decoder, and a square."""
    width, side = model.backbone.hidden_size, _SQUARE[model.device.type]
    return [(_ROWS, width, 4 * width), (side, side, side)]


@torch.inference_mode()
def measure_roofline(
    device: torch.device,
    shapes: Sequence[Shape],
    repeats: int = 5,
    products: Mapping[str, Sequence[Product]] = PRODUCTS,
) -> Roofline:
    """Measure with as many threads as torch has; all in turn, so that what else the machine does falls on all alike.

    Args:
        device: cpu or cuda.
        shapes: of the products; the best rate counts.
        repeats: of each; medians.
        products: ways to multiply by the precision of their numbers; the best rate counts.
    """
    buffer = torch.ones(_buffer_bytes(device) // 4, device=device)
    target = torch.empty_like(buffer)
    works: list[tuple[str, Callable[[], object], float]] = [
        ("read", buffer.sum, buffer.nbytes),
        ("copied", lambda: target.copy_(buffer), 2 * buffer.nbytes),
    ]
    for precision, ways in products.items():
        for way in ways:
            for shape in shapes:
                work = way(shape, device)
                if work is not None:
                    works.append((precision, work, 2.0 * shape[0] * shape[1] * shape[2]))
    firsts = [_seconds(work, 1, device) for _, work, _ in works]  # warm up
    times: list[list[float]] = [[first] if first > _LONG else [] for first in firsts]
    calls = [max(1, round(_SHORT / first)) if first < _SHORT else 1 for first in firsts]
    for _ in range(repeats):
        for (_, work, _), first, count, measured in zip(works, firsts, calls, times, strict=True):
            if first <= _LONG:
                # What was measured before has its numbers in the caches, and its threads awake.
                _seconds(work, 1, device)
                measured.append(_seconds(work, count, device))
    best: dict[str, float] = {}
    for (name, _, amount), measured in zip(works, times, strict=True):
        best[name] = max(best.get(name, 0.0), amount / median(measured))
    return Roofline({name: best[name] for name in products if name in best}, best["read"], best["copied"])


def _seconds(work: Callable[[], object], count: int, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = perf_counter()
    for _ in range(count):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (perf_counter() - begin) / count


def _buffer_bytes(device: torch.device, caches: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    if device.type != "cpu":
        return _MOST
    texts = [file.read_text(encoding="ascii").strip() for file in caches.glob("index*/size")]
    sizes = [int(text[:-1]) << {"K": 10, "M": 20}[text[-1]] for text in texts if text[-1:] in ("K", "M")]
    return min(max([_LEAST, *(_CACHES * size for size in sizes)]), _MOST)

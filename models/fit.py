"""Whether a policy fits the memory that is free, and where its weights go, asked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from .configuration import PolicyConfig
from .errors import PrecisionError
from .memory.available import available_memory
from .memory.preflight import RESERVE, Need, preflight
from .modeling import VLAModel
from .precision import uniform
from .receipt import Receipt
from .weights import empty_model, instruction_modules, replaced_modules, stored_tensors

AUTO, MEMORY, MAPPED = WEIGHTS = ("auto", "memory", "mapped")

# From the largest on; fp16 takes what bf16 does.
_LADDER = ("bf16", "int8", "int4")
# Of a policy that was never measured: activations of one frame are far below a tenth of the weights that make them,
# and even the smallest needs buffers.
_SHARE, _LEAST = 0.1, 64 * 2**20


def check_fits(
    config: PolicyConfig,
    model: VLAModel,
    device: torch.device,
    receipt: Receipt | None,
    weights: str = AUTO,
    exported: int | None = None,
) -> bool:
    """Refuse a policy that the device has no memory for, and decide whether its weights are read into memory.

    In memory every weight counts, used or not. Mapped, those do not that only a new instruction uses: the kernel takes
    their pages back.

    Args:
        config: of the policy.
        model: empty, of the precision that it is to be loaded in.
        device: where it is to run.
        receipt: of the policy, with its measured workspace; None: it is estimated.
        weights: "memory", "mapped", or "auto": in memory where they fit, else mapped.
        exported: Bytes of the ONNX export that stands for the model's towers; None: the model itself computes.

    Returns:
        Whether weights on the CPU are read into memory; else they stay in the mapped file.

    Raises:
        MemoryShortageError: gives what is needed and what is free, and the precision that would fit.
    """
    size = weight_bytes(model)
    if exported is not None:
        size += exported - _bytes_of(replaced_modules(model), model)
    workspace = receipt.workspace if receipt is not None else max(_LEAST, int(_SHARE * size))
    may_map = weights != MEMORY and device.type == "cpu"
    mapped = size - _bytes_of(instruction_modules(model), model) if may_map else size
    available = available_memory(device)
    if mapped + workspace + RESERVE > available.bytes:
        smaller = {name: other + workspace for name, other in _sizes(config).items() if other < size}
        preflight(Need(mapped if weights == MAPPED else size, workspace), device, smaller, available)
    return weights != MAPPED and size + workspace + RESERVE <= available.bytes


def weight_bytes(model: VLAModel) -> int:
    """Bytes of a model's weights in memory."""
    return sum(tensor.nbytes for tensor in stored_tensors(model).values())


def _bytes_of(modules: Iterable[nn.Module], model: VLAModel) -> int:
    """Bytes of some modules' weights; buffers that no file holds do not count, as in `weight_bytes`."""
    theirs = {id(tensor) for module in modules for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.nbytes for tensor in stored_tensors(model).values() if id(tensor) in theirs)


def _sizes(config: PolicyConfig) -> dict[str, int]:
    sizes = {}
    for name in _LADDER:
        try:
            model = empty_model(config.model_copy(update={"precision": uniform(name)}))
        except PrecisionError:
            continue  # a layer's width does not suit it
        sizes[name] = weight_bytes(model)
    return sizes

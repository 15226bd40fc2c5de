"""Whether a policy fits the memory that is free, asked before anything is loaded."""

from __future__ import annotations

import torch

from .configuration import PolicyConfig
from .errors import PrecisionError
from .memory.available import available_memory
from .memory.preflight import RESERVE, Need, preflight
from .modeling import VLAModel
from .precision import uniform
from .receipt import Receipt
from .weights import empty_model, stored_tensors

# From the largest on; fp16 takes what bf16 does.
_LADDER = ("bf16", "int8", "int4")
# Of a policy that was never measured: activations of one frame are far below a tenth of the weights that make them,
# and even the smallest needs buffers.
_SHARE, _LEAST = 0.1, 64 * 2**20


def check_fits(config: PolicyConfig, model: VLAModel, device: torch.device, receipt: Receipt | None) -> None:
    """Refuse a policy that the device has no memory for.

    Args:
        config: of the policy.
        model: empty, of the precision that it is to be loaded in.
        device: where it is to run.
        receipt: of the policy, with its measured workspace; None: it is estimated.

    Raises:
        MemoryShortageError: gives what is needed and what is free, and the precision that would fit.
    """
    weights = weight_bytes(model)
    workspace = receipt.workspace if receipt is not None else max(_LEAST, int(_SHARE * weights))
    need, available = Need(weights, workspace), available_memory(device)
    smaller: dict[str, int] = {}
    if need.total + RESERVE > available.bytes:
        smaller = {name: size + workspace for name, size in _sizes(config).items() if size < weights}
    preflight(need, device, smaller, available)


def weight_bytes(model: VLAModel) -> int:
    """Bytes of a model's weights in memory."""
    return sum(tensor.nbytes for tensor in stored_tensors(model).values())


def _sizes(config: PolicyConfig) -> dict[str, int]:
    sizes = {}
    for name in _LADDER:
        try:
            model = empty_model(config.model_copy(update={"precision": uniform(name)}))
        except PrecisionError:
            continue  # a layer's width does not suit it
        sizes[name] = weight_bytes(model)
    return sizes

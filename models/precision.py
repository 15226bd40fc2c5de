"""The precision of a model's parts: which modules a part is, and how it is made what a configuration says."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .configuration import PrecisionConfig
from .errors import PrecisionError
from .modeling import VLAModel
from .quantization.linear import QuantisedLinear
from .quantization.precision import Precision
from .quantization.replace import quantise_layers

PARTS = tuple(PrecisionConfig.model_fields)


def uniform(precision: str) -> PrecisionConfig:
    """One precision for all parts; beside integers the head is float32, else most of the error would be its own."""
    head = precision if precision in ("fp32", "fp16", "bf16") else "fp32"
    return PrecisionConfig.model_validate(dict.fromkeys(PARTS, precision) | {"head": head})


def part_finder(model: VLAModel) -> Callable[[str], str]:
    """Says of the name of a module, parameter or buffer which part it belongs to."""
    names = {id(module): name for name, module in model.named_modules()}
    parts: dict[str, tuple[nn.Module | None, ...]] = {
        "vision": model.backbone.vision_modules,
        "clip": (model.clip,),
        "head": (model.fusion, model.head),
    }
    prefixes = {
        part: tuple(f"{names[id(module)]}." for module in modules if module is not None)
        for part, modules in parts.items()
    }

    def find(name: str) -> str:
        return next((part for part, found in prefixes.items() if f"{name}.".startswith(found)), "text")

    return find


def set_precision(model: VLAModel, config: PrecisionConfig) -> None:
    """Give a model its parts' precision; quantised layers come without content, whatever was there is lost.

    Meant for a model on the meta device, whose weights are loaded afterwards.

    Raises:
        PrecisionError: a part cannot have it.
    """
    if config.vision != config.text and not model.backbone.vision_modules:
        raise PrecisionError(
            f"precision.vision is {config.vision.value}, text {config.text.value}: "
            f"{type(model.backbone).__name__} names no vision_modules, so they must be the same"
        )
    wanted = config.parts
    find = part_finder(model)
    cast(model, lambda name: wanted[find(name)].dtype)
    stacks: dict[str, list[nn.Module]] = {
        "vision": [model.backbone.vision_tower, *model.backbone.vision_modules],
        "text": [model.backbone.text_tower],
        "clip": [model.clip] if model.clip is not None else [],
    }
    for part, modules in stacks.items():
        for module in modules:
            quantise_layers(module, wanted[part], skip=_outside_blocks if wanted[part] is Precision.INT4 else _none)


def _outside_blocks(name: str) -> bool:
    # int4 is calibrated block by block, each on what those before it give: there has to be such a chain.
    return not any(part.isdecimal() for part in name.split("."))


def _none(name: str) -> bool:
    return False


def cast(model: VLAModel, dtype_of: Callable[[str], torch.dtype] | None, device: torch.device | None = None) -> None:
    """Give parameters and buffers a dtype by their names (None: their own), tied ones one for all; and a device.

    Exact numbers stay what they are: positions and physical units (float32, as transformers has it) and what belongs to
    quantised matrices.
    """
    done: dict[int, Tensor] = {}
    for path, module in list(model.named_modules()):
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for key, tensor in own:
            name = f"{path}.{key}"
            exact = (
                dtype_of is None
                or not tensor.is_floating_point()
                or key.endswith("inv_freq")
                or (name.startswith("state_encoder.") and not isinstance(tensor, nn.Parameter))
                or (isinstance(module, QuantisedLinear) and key != "bias")
            )
            dtype = tensor.dtype if exact or dtype_of is None else dtype_of(name)
            moved = tensor.detach().to(device=device, dtype=dtype)
            if isinstance(tensor, nn.Parameter):
                moved = nn.Parameter(moved, tensor.requires_grad)
            # Not by nn.Module.to: it writes into tensors, which may be tied or lie in a file.
            setattr(module, key, done.setdefault(id(tensor), moved))

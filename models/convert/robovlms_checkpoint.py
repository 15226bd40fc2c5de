"""Reading what RoboVLMs saves: the containers around a state dict, and adapters inside it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..documents import first_of
from ..errors import ConversionError
from .robovlms_config import LoraSettings

_CONVERTER = "RoboVLMs' tools/convert_deepspeed_to_fp32.py (DeepSpeed's zero_to_fp32.py)"
# PEFT's wrapper registers the backbone a second time.
_SECOND_COPY = "model.base_model.model."
_ADAPTER = re.compile(r"(?P<module>.+)\.(?:base_layer|lora_[A-Za-z_]+)\.")
SHOWN = 8


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint; its tensors stay in the file until they are used.

    What is known: a plain state dict; Lightning's (`state_dict`, names with `model.`), also as DeepSpeed's converter
    writes it; `model_state_dict`; and names with `module.` or `_forward_module.` before them.

    Returns:
        Tensors by their names in RoboVLMs' model: `backbone.*`, `act_head.*`, ...

    Raises:
        ConversionError: not a file of these forms, a DeepSpeed directory, or a file that would run code when read.
    """
    if path.is_dir():
        raise ConversionError(
            f"{path} is a directory, as DeepSpeed ZeRO writes a checkpoint in shards: make one file of it with "
            f"{_CONVERTER}, and convert that"
        )
    document = _load(path)
    if not isinstance(document, Mapping):
        raise ConversionError(f"{path} holds a {type(document).__name__}, expected a state dict")
    if "ds_version" in document and "state_dict" not in document:
        raise ConversionError(
            f"{path} is a part of a DeepSpeed ZeRO checkpoint: make one file of the directory with {_CONVERTER}"
        )
    for name in ("state_dict", "model_state_dict"):
        if name in document:
            document = document[name]
            break
    tensors = {str(key): value for key, value in document.items()}
    odd = [f"{key} ({type(value).__name__})" for key, value in tensors.items() if not isinstance(value, Tensor)]
    if odd or not tensors:
        raise ConversionError(f"{path} holds no state dict: {first_of(odd, SHOWN) or 'it is empty'}")
    return _without_wrappers(tensors)


def merge_adapters(
    tensors: Mapping[str, Tensor], lora: LoraSettings | None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Fold LoRA adapters into the weights: W + alpha / rank * B A.

    Args:
        tensors: of `read_state_dict`.
        lora: of the configuration; None for a model without adapters.

    Returns:
        Tensors under the names that they have without adapters, and what was dropped with the reason why.

    Raises:
        ConversionError: adapters without settings or the other way round, of another rank, incomplete, of a kind that
            is no LoRA of a linear layer; or a second copy of a tensor that differs from the first.
    """
    own = (key for key in tensors if not key.startswith(_SECOND_COPY))
    adapted = sorted({match["module"] for key in own if (match := _ADAPTER.match(key))})
    if adapted and lora is None:
        raise ConversionError(
            f"the checkpoint holds LoRA adapters ({len(adapted)} layers, such as {adapted[0]}), but the configuration "
            "says train_setup.lora_enable false: their scale is not known"
        )
    if lora is not None and not adapted:
        raise ConversionError(
            "train_setup.lora_enable is true, but the checkpoint holds no adapter (*.lora_A.default.weight); if they "
            "are merged already, write false"
        )
    kept, dropped = _drop_second_copy(tensors)
    if lora is None:
        return kept, dropped
    merged: dict[str, Tensor] = {}
    for key, tensor in kept.items():
        match = _ADAPTER.match(key)
        if match is None:
            merged[key] = tensor
        elif key == f"{match['module']}.base_layer.weight":
            merged[f"{match['module']}.weight"] = _merge(kept, match["module"], tensor, lora)
        elif key == f"{match['module']}.base_layer.bias":
            merged[f"{match['module']}.bias"] = tensor
        elif key.removeprefix(match["module"]) in (".lora_A.default.weight", ".lora_B.default.weight"):
            if f"{match['module']}.base_layer.weight" not in kept:
                raise ConversionError(f"{key} is an adapter of {match['module']}.base_layer.weight, which is missing")
        else:
            raise ConversionError(
                f"{key} is no part of a linear layer's LoRA adapter, supported: the adapter 'default'"
            )
    return merged, dropped


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ConversionError(f"checkpoint {path} does not exist")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error: ")[-1].splitlines()[0]
        raise ConversionError(
            f"{path} holds more than tensors and would run code when read ({reason}). If you trust it, save its "
            "tensors anew where it was made: torch.save({'state_dict': torch.load(path, weights_only=False)"
            "['state_dict']}, new_path)"
        ) from error
    except (RuntimeError, OSError, EOFError) as error:
        raise ConversionError(f"{path}: not a checkpoint of torch.save in its present format ({error})") from error


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for wrapper in ("_forward_module.", "module."):
        if all(key.startswith(wrapper) for key in tensors):
            tensors = {key.removeprefix(wrapper): value for key, value in tensors.items()}
    # A second copy of an adapted backbone begins with "model." too: that all names do is no proof of Lightning.
    if all(key.startswith("model.") for key in tensors) and any(key.startswith("model.backbone.") for key in tensors):
        tensors = {key.removeprefix("model."): value for key, value in tensors.items()}
    return tensors


def _drop_second_copy(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith(_SECOND_COPY)}
    dropped: dict[str, str] = {}
    differing = []
    for key in tensors.keys() - kept.keys():
        first = "backbone." + key.removeprefix(_SECOND_COPY)
        if first not in kept or not _same(kept[first], tensors[key]):
            differing.append(f"{key} differs from {first}" if first in kept else f"{key} has no counterpart {first}")
        dropped[key] = "a second copy of the adapted backbone, equal to the first"
    if differing:
        raise ConversionError(f"copies of one tensor differ: {first_of(sorted(differing), SHOWN)}")
    return kept, dropped


def _merge(tensors: Mapping[str, Tensor], module: str, weight: Tensor, lora: LoraSettings) -> Tensor:
    down_name, up_name = f"{module}.lora_A.default.weight", f"{module}.lora_B.default.weight"
    for name in (down_name, up_name):
        if name not in tensors:
            raise ConversionError(f"{module} has an adapter without {name}")
    down, up = tensors[down_name].float(), tensors[up_name].float()
    found = (tuple(up.shape), tuple(down.shape))
    expected = ((weight.shape[0], lora.rank), (lora.rank, weight.shape[1])) if weight.dim() == 2 else None
    if found != expected:
        raise ConversionError(
            f"{module} of shape {tuple(weight.shape)} has adapters B {found[0]} and A {found[1]}, expected {expected} "
            f"with train_setup.lora_r {lora.rank}"
        )
    return weight.float() + lora.alpha / lora.rank * (up @ down)


def _same(first: Tensor, second: Tensor) -> bool:
    """Bit for bit."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return torch.equal(first.flatten().view(torch.uint8), second.flatten().view(torch.uint8))

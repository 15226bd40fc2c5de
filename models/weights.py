"""Weights into a model: each at its final precision on its device, with no second copy on the way."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from accelerate import init_empty_weights
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from transformers.initialization import no_init_weights

from .checkpoint.content import mapped, read
from .checkpoint.entry import TensorEntry
from .checkpoint.reader import read_checkpoint, state_dict
from .checkpoint.safetensors_writer import ALIGNMENT
from .configuration import PolicyConfig
from .documents import first_of
from .errors import CheckpointError, PolicyDirectoryError
from .memory.pages import drop_pages
from .modeling import VLAModel
from .precision import cast, set_precision

# Bytes; files below it are read before anybody could look at a bar.
_SHOWN = 2**28
# Bytes; less is not worth asking the kernel to take it back, nor leaving in the file where it lies badly.
_WORTHWHILE = 2**20


def empty_model(config: PolicyConfig) -> VLAModel:
    """A model on the meta device, of the precision that its configuration says; weights take no memory yet.

    Buffers that no file holds (positions and the like) are there.

    Raises:
        BackboneError, PrecisionError: no model can be built of the configuration.
    """
    # Drawing numbers for tensors without memory takes most of the time otherwise.
    with no_init_weights(), init_empty_weights(include_buffers=False):
        model = VLAModel(config)
    # The context makes a parameter of its own of each name.
    model.backbone.model.tie_weights()
    set_precision(model, config.precision)
    return model


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that a file of weights holds: a model's state, tied weights once, under their first name."""
    names: dict[int, str] = {}
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if names.setdefault(id(tensor), name) == name:
            tensors[name] = tensor
    return tensors


def load_weights(model: VLAModel, path: Path, device: torch.device | None = None, *, in_memory: bool = False) -> None:
    """Load exactly the model's tensors from a safetensors file.

    Args:
        model: its tensors are replaced; they may be on the meta device.
        path: of the file.
        device: of the loaded weights; None: the CPU.
        in_memory: Read weights on the CPU into memory. Otherwise they stay in the mapped file until they are used:
            nothing is resident that no step touches, and nobody may write to the file meanwhile.

    Raises:
        PolicyDirectoryError: unreadable file; tensors missing or unknown, of another shape or dtype, not finite.
    """
    try:
        entries, _ = state_dict(read_checkpoint(path))
    except CheckpointError as error:
        raise PolicyDirectoryError(str(error)) from error
    expected = stored_tensors(model)
    differences = [f"missing {name} {tuple(expected[name].shape)}" for name in sorted(expected.keys() - entries.keys())]
    differences += [f"unknown {name} {entries[name].shape}" for name in sorted(entries.keys() - expected.keys())]
    for name in sorted(expected.keys() & entries.keys()):
        wanted, found = expected[name], entries[name]
        if found.shape != tuple(wanted.shape):
            differences.append(f"{name} has shape {found.shape}, expected {tuple(wanted.shape)}")
        elif found.dtype != wanted.dtype:
            differences.append(f"{name} is {found.dtype}, expected {wanted.dtype}")
    if differences:
        raise PolicyDirectoryError(f"{path} does not fit config.json: {first_of(differences, 8)}")
    try:
        fill(model, entries, device, in_memory=in_memory)
    except CheckpointError as error:  # the file has become shorter since
        raise PolicyDirectoryError(str(error)) from error


def fill(
    model: VLAModel,
    entries: Mapping[str, TensorEntry],
    device: torch.device | None = None,
    *,
    in_memory: bool = False,
) -> None:
    """Put tensors of files in the place of a model's own; shapes must be right, other dtypes are copied into memory.

    Args:
        model: its tensors are replaced; they may be on the meta device.
        entries: by the names of `stored_tensors`.
        device: of the weights; None: the CPU.
        in_memory: See `load_weights`.

    Raises:
        CheckpointError: A file ends inside a tensor.
        PolicyDirectoryError: a tensor holds a number that is not finite.
    """
    target = device if device is not None else torch.device("cpu")
    places: dict[int, list[tuple[nn.Module, str]]] = {}
    for module in model.modules():
        for key, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                places.setdefault(id(tensor), []).append((module, key))
    take = read if in_memory and target.type == "cpu" else mapped
    total = sum(entry.nbytes for entry in entries.values())
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, disable=total < _SHOWN) as progress:
        task = progress.add_task("loading weights", total=total)
        for name, tensor in stored_tensors(model).items():
            weight = _aligned(take(entries[name]).to(tensor.dtype))
            if not is_finite(weight):
                raise PolicyDirectoryError(f"{entries[name].file}: {name} is not finite")
            _give_back(weight)
            if target.type != "cpu":
                on_file, weight = weight, weight.to(target)
                _give_back(on_file, from_cache=True)
            if isinstance(tensor, nn.Parameter):
                weight = nn.Parameter(weight, tensor.requires_grad)
            for module, key in places[id(tensor)]:
                # By attribute: recurrent layers keep a list of their weights beside the parameters.
                setattr(module, key, weight)
            progress.advance(task, entries[name].nbytes)
    if target.type != "cpu":
        cast(model, None, target)


def instruction_modules(model: VLAModel) -> list[nn.Module]:
    """Modules that only a new instruction uses, and no step: word embeddings and CLIP's text tower.

    A language head that speaks actions shares the word embeddings: it uses them at each step.
    """
    modules: list[nn.Module] = [model.backbone.word_embedding] if model.bins is None else []
    if model.clip is not None and model.clip.reads:
        modules.append(model.clip.clip.text_model)
    return modules


def keep_for_instructions(model: VLAModel) -> None:
    """Read into memory what an instruction needs, and drop the towers that an engine of other weights computes.

    Args:
        model: Its weights are mapped; those of its vision towers and its decoder's blocks are on the meta device
            afterwards.
    """
    towers = replaced_modules(model)
    dropped = {id(tensor) for tower in towers for tensor in (*tower.parameters(), *tower.buffers())}
    made: dict[int, Tensor] = {}
    for module in model.modules():
        for key, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is None:
                continue
            if id(tensor) not in made:
                copy = tensor.detach().to("meta") if id(tensor) in dropped else tensor.detach().clone()
                is_parameter = isinstance(tensor, nn.Parameter)
                made[id(tensor)] = nn.Parameter(copy, tensor.requires_grad) if is_parameter else copy
            setattr(module, key, made[id(tensor)])


def replaced_modules(model: VLAModel) -> list[nn.Module]:
    """Modules whose weights an ONNX export has, and the model itself then does not need."""
    towers: list[nn.Module] = [model.backbone.vision_tower, model.backbone.text_tower.get_submodule("layers")]
    if model.clip is not None and model.clip.sees:
        towers.append(model.clip.clip.vision_model)
    return towers


def change_dtype(model: VLAModel, dtype: torch.dtype) -> None:
    """Compute in another plain precision than the stored one; integers of quantised layers stay what they are."""
    cast(model, lambda name: dtype)


def give_back(module: nn.Module) -> None:
    """Drop what is in memory of a module's weights where they lie in a file; the next use reads them again."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.device.type == "cpu":
            _give_back(tensor)


def _give_back(tensor: Tensor, *, from_cache: bool = False) -> None:
    if tensor.nbytes < _WORTHWHILE:
        return
    # What is no clean mapping of a file, or no Linux, keeps its memory: nothing else is at stake.
    with suppress(ValueError, OSError):
        drop_pages(tensor, from_cache=from_cache)


def _aligned(tensor: Tensor) -> Tensor:
    """Small tensors at odd addresses are copied: from there, some libraries' sums differ in the last bit."""
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT and tensor.nbytes < _WORTHWHILE else tensor


def is_finite(tensor: Tensor) -> bool:
    """Whether every number is; takes no memory, however large the tensor."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    # A NaN is the least and the greatest of all. torch.isfinite makes tensors as large as its argument, of whose memory
    # glibc then keeps up to a gigabyte.
    return all(bool(torch.isfinite(end)) for end in torch.aminmax(tensor))

"""Checkpoints of random weights in the form of a Simple-CLIP-LSTM's, at full size or small, to try the converter on."""

from __future__ import annotations

import hashlib
import io
import mmap
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from rich.progress import Progress, TaskID
from torch import Tensor, nn

from ..errors import ConversionError
from .hybrid_layout import LANGUAGE_HEAD, WORDS, HybridLayout, HybridModule

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# What surrounds the tensors in the file: names, shapes, and up to 64 bytes before each.
_OVERHEAD = 4 << 20
_NOISE = 0.02
# Numbers drawn at a time: 64 MiB of memory.
_CHUNK = 1 << 24

Fill = Callable[[Tensor, torch.Generator], Tensor]


def write_random_hybrid(path: Path, layout: HybridLayout, seed: int, progress: Progress) -> None:
    """Write a random checkpoint with torch.save: {epoch, model_state_dict, optimizer_state_dict, val_mae, args}.

    Every tensor is float32 and drawn on its own, by a generator seeded with `seed` and the tensor's name: none repeats
    another, and the same seed gives the same file (with one version of torch). Weights have the scale of an
    initialisation, so that activations stay finite and outputs depend on inputs; biases and layer norms are a little
    off 0 and 1, so that one that is lost shows.

    Tensors lie in a nameless temporary file beside `path` that is mapped into memory. The system can write its pages
    out at any time: the largest checkpoint needs little memory of its own, but twice its size on the disk meanwhile.

    Args:
        path: of the file; one that is there is replaced when the new one is complete.
        layout: what is in it.
        seed: of the values.
        progress: shows bytes drawn and bytes written.

    Raises:
        ConversionError: the folder of `path` is not there, too full or not writable.
    """
    module = layout.module()
    trained = [*module.feature_fusion.parameters(), *module.rnn.parameters(), *module.actions.parameters()]
    numbers = _count(module, trained, layout)
    _check_room(path, 8 * numbers + _OVERHEAD)
    drawing = progress.add_task(f"random numbers for {path.name}", total=4 * numbers)
    writing = progress.add_task(f"writing {path.name}", total=4 * numbers)
    try:
        with tempfile.TemporaryFile(dir=path.parent) as values:
            tensors = _RandomTensors(values, numbers, seed, progress, drawing)
            document = {
                "epoch": 0,
                "model_state_dict": _weights(module, layout, tensors),
                "optimizer_state_dict": _moments(trained, layout, tensors),
                "val_mae": 1.0,
                "args": Namespace(weights="random, not trained", seed=seed),
            }
            _save(document, path, progress, writing)
    except OSError as error:
        raise ConversionError(f"{path}: not written ({error})") from error


class _RandomTensors:
    """float32 tensors, one after the other in a file that is mapped into memory, each with its own random numbers."""

    def __init__(self, file: IO[bytes], numbers: int, seed: int, progress: Progress, task: TaskID) -> None:
        self._file = file
        file.truncate(4 * numbers)
        self._memory = mmap.mmap(file.fileno(), 4 * numbers)
        # Written to the file, not to its mapping: that is faster, and a full disk raises instead of killing (SIGBUS).
        self._chunk = torch.empty(min(numbers, _CHUNK))
        self._used = 0
        self._seed = seed
        self._progress, self._task = progress, task

    def draw(self, name: str, shape: torch.Size, fill: Fill) -> Tensor:
        """The next tensor, the same for the same name."""
        digest = hashlib.sha256(f"{self._seed} {name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
        for start in range(0, shape.numel(), _CHUNK):
            numbers = self._chunk[: shape.numel() - start]
            fill(numbers, generator)
            self._progress.update(self._task, advance=self._file.write(numbers.numpy().data))
        self._file.flush()
        tensor = torch.frombuffer(self._memory, dtype=torch.float32, count=shape.numel(), offset=4 * self._used)
        self._used += shape.numel()
        return tensor.view(shape)


class _CountedFile(io.BufferedWriter):
    """A new file whose bytes are shown as they are written."""

    def __init__(self, path: Path, progress: Progress, task: TaskID) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self._progress, self._task = progress, task

    def write(self, data: ReadableBuffer) -> int:
        """As a file's own."""
        written: int = super().write(data)
        self._progress.update(self._task, advance=written)
        return written


def _count(module: HybridModule, trained: list[nn.Parameter], layout: HybridLayout) -> int:
    """Numbers in the file, shared ones once."""
    weights: int = sum(
        tensor.numel()
        for name, tensor in module.state_dict().items()
        if name != LANGUAGE_HEAD or layout.language_head == "copied"
    )
    return weights + (2 * sum(parameter.numel() for parameter in trained) if layout.optimizer else 0)


def _check_room(path: Path, needed: int) -> None:
    if not path.parent.is_dir():
        raise ConversionError(f"{path.parent}, where {path.name} is to be written, is no directory")
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise ConversionError(f"{path}: writing it takes {needed:,} bytes in {path.parent}, of which {free:,} are free")


def _weights(module: HybridModule, layout: HybridLayout, tensors: _RandomTensors) -> dict[str, Tensor]:
    # torch's own dictionary is kept: it carries the versions of the modules, as a saved one does.
    state: dict[str, Tensor] = module.state_dict(prefix=layout.prefix)
    for key, empty in state.items():
        name = key.removeprefix(layout.prefix)
        if name != LANGUAGE_HEAD:
            state[key] = tensors.draw(name, empty.shape, _distribution(module, name))
        elif layout.language_head == "tied":
            state[key] = state[layout.prefix + WORDS].detach()
        else:
            state[key] = tensors.draw(WORDS, empty.shape, _distribution(module, WORDS))
    return state


def _distribution(module: HybridModule, name: str) -> Fill:
    owner_name, _, kind = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    weight: Tensor = getattr(owner, kind)
    if kind == "logit_scale":
        return lambda numbers, _: numbers.fill_(2.6592)  # CLIP's initial ln(1 / 0.07)
    if isinstance(owner, nn.LSTM):
        # Four times the bound of an initialisation: with that, four layers leave next to nothing of what comes in.
        bound = 4.0 * owner.hidden_size**-0.5
        return lambda numbers, generator: numbers.uniform_(-bound, bound, generator=generator)
    mean = 0.0
    if isinstance(owner, nn.LayerNorm):
        mean, std = float(kind == "weight"), _NOISE
    elif kind == "bias":
        std = _NOISE
    elif kind == "latent_query" or owner_name.endswith("image_to_text_projection.dense"):
        # Its inputs are of unit length, not of unit variance; and the latents should not outweigh what it makes.
        std = 1.0
    elif isinstance(owner, nn.Linear | nn.Conv2d):
        std = weight[0].numel() ** -0.5
    else:  # embeddings of words, positions and class
        std = weight.shape[-1] ** -0.5
    return lambda numbers, generator: numbers.normal_(mean, std, generator=generator)


def _moments(trained: list[nn.Parameter], layout: HybridLayout, tensors: _RandomTensors) -> dict[str, Any]:
    """Adam's state, as after 1000 steps or, without moments, before the first."""
    document: dict[str, Any] = torch.optim.Adam(trained).state_dict()
    if layout.optimizer:
        for index, parameter in enumerate(trained):
            document["state"][index] = {
                "step": torch.tensor(1000.0),
                "exp_avg": tensors.draw(f"exp_avg {index}", parameter.shape, _gradients),
                "exp_avg_sq": tensors.draw(f"exp_avg_sq {index}", parameter.shape, _squares),
            }
    return document


def _gradients(numbers: Tensor, generator: torch.Generator) -> Tensor:
    return numbers.normal_(0.0, 1e-3, generator=generator)


def _squares(numbers: Tensor, generator: torch.Generator) -> Tensor:
    return _gradients(numbers, generator).square_()


def _save(document: dict[str, Any], path: Path, progress: Progress, task: TaskID) -> None:
    """torch.save under a temporary name, then rename."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with _CountedFile(temporary, progress, task) as file:
            torch.save(document, file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

"""The state dict in a checkpoint, under the names that the model's own modules have."""

from __future__ import annotations

from typing import Any

from ..documents import first_of
from ..errors import CheckpointError
from .container import Checkpoint
from .entry import TensorEntry
from .foreign import kind, printable

KEYS = ("state_dict", "model_state_dict", "model")
WRAPPERS = ("module.", "model.", "_orig_mod.", "_forward_module.")
"""What DistributedDataParallel, Lightning, torch.compile and DeepSpeed put before every name."""
_LONG = 128  # bits of a number that is written out
_COMPILED = "_orig_mod"
_SHOWN = 8


def state_dict(checkpoint: Checkpoint) -> tuple[dict[str, TensorEntry], str | None]:
    """The tensors of the model.

    Wrappers' prefixes are removed where all names carry them, and torch.compile's also inside of names.

    Returns:
        Tensors by name, in the file's order, and the top-level key that they lay under; None if they are the top level.

    Raises:
        CheckpointError: there is no state dict, it is empty, holds something else than tensors (named), or gives two
            tensors one name.
    """
    document, key = _find(checkpoint)
    where = f"{checkpoint.path}" if key is None else f"{checkpoint.path}: {key}"
    if not document:
        raise CheckpointError(f"{where} holds no tensors: it is empty")
    odd = [
        f"{_name(name)} ({kind(value)})"
        for name, value in document.items()
        if not isinstance(name, str) or not isinstance(value, TensorEntry)
    ]
    if odd:
        raise CheckpointError(f"{where} holds more than tensors by name: {first_of(odd, _SHOWN)}")
    return _without_wrappers(document, where), key


def other_entries(checkpoint: Checkpoint) -> dict[str, Any]:
    """The top-level entries beside the state dict: epoch, optimizer_state_dict, args and the like.

    Raises:
        CheckpointError: there is no state dict.
    """
    _, key = _find(checkpoint)
    if key is None:
        return {}
    return {_name(name): value for name, value in checkpoint.document.items() if name != key}


def _find(checkpoint: Checkpoint) -> tuple[dict[Any, Any], str | None]:
    path, document = checkpoint.path, checkpoint.document
    if not isinstance(document, dict):
        raise CheckpointError(f"{path} holds a {kind(document)}, expected a state dict or a dict with one")
    for key in KEYS:
        if isinstance(document.get(key), dict):
            return document[key], key
    if "ds_version" in document:
        raise CheckpointError(
            f"{path} is a part of a DeepSpeed ZeRO checkpoint: make one file of the directory with DeepSpeed's "
            "zero_to_fp32.py, and give that"
        )
    if document and not any(isinstance(value, TensorEntry) for value in document.values()):
        entries = first_of([f"{_name(name)} ({kind(value)})" for name, value in document.items()], _SHOWN)
        raise CheckpointError(f"{path} holds no state dict under {', '.join(KEYS)}; it holds {entries}")
    return document, None


def _without_wrappers(tensors: dict[str, TensorEntry], where: str) -> dict[str, TensorEntry]:
    names = {name: name for name in tensors}
    while wrapper := next((w for w in WRAPPERS if all(name.startswith(w) for name in names.values())), None):
        names = {original: name.removeprefix(wrapper) for original, name in names.items()}
    found: dict[str, TensorEntry] = {}
    for original, name in names.items():
        inner = ".".join(part for part in name.split(".") if part != _COMPILED)
        # One module reached by two ways, compiled and not, stands there twice.
        if found.setdefault(inner, tensors[original]) != tensors[original]:
            raise CheckpointError(f"{where} holds two tensors {printable(inner)}, one as {printable(original)}")
    return found


def _name(name: object) -> str:
    if isinstance(name, str):
        return printable(name)
    if isinstance(name, int) and name.bit_length() > _LONG:
        return f"{kind(name)} of {name.bit_length()} bits"  # Python refuses to write one of thousands of digits
    return f"{kind(name)} {name!r}"[:60]

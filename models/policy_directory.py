"""The policy directory on disk: strict to read, whole or absent after a write.

```
config.json            PolicyConfig
model.safetensors      every weight, none more
tokenizer/             files of the backbone's tokenizer
tokenizer_clip/        files of CLIP's tokenizer, if the policy has CLIP
golden.safetensors     a short run with expected outputs
training.json          how it was made: data, seeds, metrics
receipt.json           of a conversion: bytes, and error against the original; else absent
README.md              model card
```
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from .checkpoint.safetensors_writer import SafetensorsWriter
from .configuration import PolicyConfig
from .documents import findings
from .errors import PolicyDirectoryError
from .fit import AUTO, check_fits
from .golden import GoldenVectors
from .instruction import InstructionEncoder
from .modeling import VLAModel
from .policy_entries import (
    CARD,
    CLIP_TOKENIZER,
    CONFIG,
    GOLDEN,
    TOKENIZER,
    TRAINING,
    WEIGHTS,
    check_entries,
    missing_entries,
)
from .receipt import Receipt
from .text import read_tokenizer
from .weights import empty_model, load_weights, stored_tensors


@dataclass(frozen=True)
class PolicyParts:
    """What a policy is made of."""

    config: PolicyConfig
    model: VLAModel
    encoder: InstructionEncoder


@dataclass(frozen=True)
class LoadedPolicy:
    """What a policy directory holds.

    Attributes:
        parts: What the policy is made of.
        golden: Golden vectors to check it with.
        in_memory: Whether weights are to be in memory; else they stay in the mapped file until they are used.
    """

    parts: PolicyParts
    golden: GoldenVectors
    in_memory: bool


def load_policy(
    path: str | PathLike[str],
    device: torch.device | None = None,
    weights: str = AUTO,
    export: Path | None = None,
) -> LoadedPolicy:
    """Read a policy directory; weights as stored.

    Args:
        path: of the directory.
        device: of the weights; None: the CPU.
        weights: Where weights on the CPU go, see `check_fits`.
        export: Folder of the ONNX export that computes the steps; None: the model does.

    Raises:
        MemoryShortageError: the device has not enough free memory.
        PolicyDirectoryError: names the missing file, the unknown key, the tensor with both shapes.
    """
    root = Path(path)
    check_entries(root)
    config = read_config(root / CONFIG)
    tokenizer = read_tokenizer(root / TOKENIZER, PolicyDirectoryError, hub=False)
    clip_tokenizer = (
        read_tokenizer(root / CLIP_TOKENIZER, PolicyDirectoryError, hub=False) if config.clip_reads else None
    )
    try:
        model = empty_model(config)
        encoder = InstructionEncoder(config, tokenizer, clip_tokenizer)
    except (ValueError, KeyError) as error:
        raise PolicyDirectoryError(f"{root / CONFIG}: no model can be built of it ({error})") from error
    receipt = Receipt.load(root if export is None else export)
    target = device if device is not None else torch.device("cpu")
    in_memory = check_fits(config, model, target, receipt, weights, None if export is None else _size(export))
    # Of a model whose export computes, most is dropped again.
    load_weights(model, root / WEIGHTS, device, in_memory=in_memory and export is None)
    return LoadedPolicy(PolicyParts(config, model, encoder), GoldenVectors.load(root / GOLDEN), in_memory)


def _size(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) if folder.is_dir() else 0


def read_training(directory: Path) -> dict[str, Any]:
    """How a policy was made.

    Raises:
        PolicyDirectoryError: training.json is missing, or no JSON object.
    """
    path = directory / TRAINING
    try:
        training = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PolicyDirectoryError(f"{path}: not a readable JSON file ({error})") from error
    if not isinstance(training, dict):
        raise PolicyDirectoryError(f"{path} holds {type(training).__name__}, expected an object")
    return training


def trained_on(directory: Path) -> frozenset[str] | None:
    """Marks of the episodes that a policy was trained on (see `data.mark`); None: its training does not say.

    Raises:
        PolicyDirectoryError: training.json cannot be read, or they are no list of strings.
    """
    data = read_training(directory).get("data")
    marks = data.get("trained_on") if isinstance(data, dict) else None
    if marks is None:
        return None
    if not (isinstance(marks, list) and all(isinstance(mark, str) for mark in marks)):
        raise PolicyDirectoryError(f"{directory / TRAINING}: data.trained_on must be a list of strings")
    return frozenset(marks)


def read_config(path: Path) -> PolicyConfig:
    """Read config.json.

    Raises:
        PolicyDirectoryError: not JSON, an unknown or missing key, a value out of range; every finding is named.
    """
    try:
        return PolicyConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise PolicyDirectoryError(f"{path}: {findings(error)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyDirectoryError(f"{path}: not readable ({error})") from error


@contextmanager
def staged_directory(path: str | PathLike[str]) -> Iterator[Path]:
    """A directory under a temporary name beside `path`, renamed to it at the end; on an error it is removed.

    Raises:
        PolicyDirectoryError: `path` exists and is not a policy directory.
    """
    target = Path(path)
    if target.exists() and missing_entries(target):
        raise PolicyDirectoryError(f"{target} exists and is not a policy directory; it is left as it is")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        staging.chmod(0o755)
        yield staging
        if target.exists():
            # Moved away and not removed first: at no time there is less than one whole policy.
            old = staging.with_name(f"{staging.name}.old")
            target.rename(old)
            staging.rename(target)
            shutil.rmtree(old)
        else:
            staging.rename(target)
    finally:
        if staging.exists():
            shutil.rmtree(staging)


def save_policy(
    parts: PolicyParts, golden: GoldenVectors, path: str | PathLike[str], training: dict[str, object], model_card: str
) -> None:
    """Write a policy directory under a temporary name beside `path`, then rename it into place.

    Raises:
        PolicyDirectoryError: `path` exists and is not a policy directory, or the model has LoRA adapters.
    """
    target = Path(path)
    adapters = [name for name in stored_tensors(parts.model) if ".lora_" in name]
    if adapters:
        raise PolicyDirectoryError(f"{target}: {adapters[0]} is a LoRA adapter; fold adapters in with merge_lora first")
    with staged_directory(target) as staging:
        tensors = stored_tensors(parts.model)
        sizes = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
        with SafetensorsWriter(staging / WEIGHTS, sizes, {"format": "pt"}) as writer:
            for name, tensor in tensors.items():
                writer.write(name, tensor)
        write_beside(staging, parts.config, parts.encoder, golden, training, model_card)


def write_beside(
    directory: Path,
    config: PolicyConfig,
    encoder: InstructionEncoder,
    golden: GoldenVectors,
    training: dict[str, object],
    model_card: str,
) -> None:
    """Write what a policy directory holds beside the weights."""
    (directory / CONFIG).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    encoder.tokenizer.save_pretrained(directory / TOKENIZER)
    if encoder.clip_tokenizer is not None:
        encoder.clip_tokenizer.save_pretrained(directory / CLIP_TOKENIZER)
    golden.save(directory / GOLDEN)
    (directory / TRAINING).write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
    (directory / CARD).write_text(model_card, encoding="utf-8")

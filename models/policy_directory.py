"""The policy directory on disk: strict to read, whole or absent after a write.

```
config.json            PolicyConfig
model.safetensors      every weight, none more
tokenizer/             files of the backbone's tokenizer
tokenizer_clip/        files of CLIP's tokenizer, if the policy has CLIP
golden.safetensors     a short run with expected outputs
training.json          how it was made: data, seeds, metrics
README.md              model card
```
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .configuration import PolicyConfig
from .documents import findings, first_of
from .errors import PolicyDirectoryError
from .golden import GoldenVectors
from .instruction import InstructionEncoder
from .modeling import VLAModel
from .text import read_tokenizer

CONFIG, WEIGHTS, GOLDEN, TRAINING, CARD = (
    "config.json",
    "model.safetensors",
    "golden.safetensors",
    "training.json",
    "README.md",
)
TOKENIZER, CLIP_TOKENIZER = "tokenizer", "tokenizer_clip"
ENTRIES = (CONFIG, WEIGHTS, GOLDEN, TRAINING, CARD, TOKENIZER)


@dataclass(frozen=True)
class PolicyParts:
    """What a policy is made of."""

    config: PolicyConfig
    model: VLAModel
    encoder: InstructionEncoder


def load_policy(path: str | PathLike[str]) -> tuple[PolicyParts, GoldenVectors]:
    """Read a policy directory; weights float32 on the CPU.

    Raises:
        PolicyDirectoryError: names the missing file, the unknown key, the tensor with both shapes.
    """
    root = Path(path)
    if not root.is_dir():
        raise PolicyDirectoryError(f"policy directory {root} does not exist")
    missing = _missing_entries(root)
    if missing:
        raise PolicyDirectoryError(f"policy directory {root} lacks {', '.join(missing)}")
    config = read_config(root / CONFIG)
    tokenizer = read_tokenizer(root / TOKENIZER, PolicyDirectoryError, hub=False)
    clip_tokenizer = (
        read_tokenizer(root / CLIP_TOKENIZER, PolicyDirectoryError, hub=False) if config.clip is not None else None
    )
    try:
        model = VLAModel(config)
        encoder = InstructionEncoder(config, tokenizer, clip_tokenizer)
    except (ValueError, KeyError) as error:
        raise PolicyDirectoryError(f"{root / CONFIG}: no model can be built of it ({error})") from error
    load_weights(model, root / WEIGHTS)
    return PolicyParts(config, model, encoder), GoldenVectors.load(root / GOLDEN)


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


def load_weights(model: VLAModel, path: Path) -> None:
    """Load exactly the model's tensors from a safetensors file.

    Raises:
        PolicyDirectoryError: unreadable file, tensors missing or unknown, or of another shape (both are named).
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise PolicyDirectoryError(f"{path}: not a readable safetensors file ({error})") from error
    expected = stored_tensors(model)
    differences = [f"missing {name} {tuple(expected[name].shape)}" for name in sorted(expected.keys() - tensors.keys())]
    differences += [f"unknown {name} {tuple(tensors[name].shape)}" for name in sorted(tensors.keys() - expected.keys())]
    differences += [
        f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & tensors.keys())
        if tensors[name].shape != expected[name].shape
    ]
    differences += [
        f"{name} is not finite" for name in sorted(tensors) if not bool(torch.isfinite(tensors[name]).all())
    ]
    if differences:
        raise PolicyDirectoryError(f"{path} does not fit {CONFIG}: {first_of(differences, 8)}")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(tensors[name])


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that a file of weights holds: a model's state, tied weights once, under their first name."""
    names: dict[int, str] = {}
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if names.setdefault(id(tensor), name) == name:
            tensors[name] = tensor
    return tensors


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
    if target.exists() and _missing_entries(target):
        raise PolicyDirectoryError(f"{target} exists and is not a policy directory; it is left as it is")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        staging.chmod(0o755)
        (staging / CONFIG).write_text(parts.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        tensors = stored_tensors(parts.model)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(weights, staging / WEIGHTS, metadata={"format": "pt"})
        parts.encoder.tokenizer.save_pretrained(staging / TOKENIZER)
        if parts.encoder.clip_tokenizer is not None:
            parts.encoder.clip_tokenizer.save_pretrained(staging / CLIP_TOKENIZER)
        golden.save(staging / GOLDEN)
        (staging / TRAINING).write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
        (staging / CARD).write_text(model_card, encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
    finally:
        if staging.exists():
            shutil.rmtree(staging)


def _missing_entries(root: Path) -> list[str]:
    return [name for name in ENTRIES if not (root / name).exists()]

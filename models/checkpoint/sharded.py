"""A directory of shards: an index says which file holds which tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..documents import first_of
from ..errors import CheckpointError
from .container import Checkpoint
from .entry import TensorEntry
from .foreign import kind, printable
from .single import read_file

SUFFIX = ".index.json"
_PREFERRED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_MOST_INDEX = 100_000_000
_SHOWN = 8
_DEEPSPEED = ("zero_to_fp32.py", "zero_pp_rank_*", "mp_rank_*_model_states.pt", "*_optim_states.pt")
_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")


def read_sharded(path: Path) -> Checkpoint:
    """Read a directory of shards, or one by its index.

    Raises:
        CheckpointError: no index, a shard that is missing or does not hold exactly what the index says, or a directory
            of another kind.
    """
    index = _find_index(path) if path.is_dir() else path
    tensors_of = _read_index(index)
    missing = [name for name in tensors_of if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(f"{index}: missing shards: {first_of(missing, _SHOWN)}")
    document: dict[str, TensorEntry] = {}
    calls: dict[str, None] = {}
    metadata: dict[str, str] = {}
    shards = []
    for name, expected in tensors_of.items():
        shard = read_file(index.parent / name)
        document |= _tensors(shard, expected, index)
        calls |= dict.fromkeys(shard.calls)
        metadata |= shard.metadata
        shards.append(shard)
    formats = {shard.format == "safetensors" for shard in shards}
    if len(formats) != 1:
        raise CheckpointError(f"{index} names shards of safetensors and of torch, expected one format")
    return Checkpoint(
        path,
        "sharded safetensors" if formats == {True} else "sharded torch",
        tuple(shard.path for shard in shards),
        sum(shard.bytes for shard in shards),
        document,
        tuple(calls),
        metadata,
    )


def _find_index(directory: Path) -> Path:
    for name in _PREFERRED:
        if (directory / name).is_file():
            return directory / name
    found = sorted(path for path in directory.glob(f"*{SUFFIX}") if path.is_file())
    if len(found) == 1:
        return found[0]
    if found:
        names = first_of([path.name for path in found], _SHOWN)
        raise CheckpointError(f"{directory} holds more than one index ({names}): name the one that is meant")
    folders = [directory, *(path for path in directory.iterdir() if path.is_dir())]
    if any(any(folder.glob(pattern)) for folder in folders for pattern in _DEEPSPEED):
        raise CheckpointError(
            f"{directory} is a checkpoint of DeepSpeed ZeRO, in parts that are no tensors of the model: make one file "
            "of it with DeepSpeed's zero_to_fp32.py, which lies in the directory, and give that"
        )
    if (directory / ".metadata").is_file() and any(directory.glob("*.distcp")):
        raise CheckpointError(
            f"{directory} is a distributed checkpoint of torch: make one file of it with `python -m "
            "torch.distributed.checkpoint.format_utils dcp_to_torch`, and give that"
        )
    weights = sorted(path.name for path in directory.iterdir() if path.suffix in _WEIGHTS)
    hint = f"; it holds {first_of(weights, _SHOWN)}: name the file that is meant" if weights else ""
    raise CheckpointError(f"{directory} is a directory without an index of shards (*{SUFFIX}){hint}")


def _read_index(index: Path) -> dict[str, set[str]]:
    """Names of tensors by the file that holds them."""
    try:
        if index.stat().st_size > _MOST_INDEX:
            raise CheckpointError(f"{index} has {index.stat().st_size} bytes, at most {_MOST_INDEX}")
        document = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, RecursionError) as error:
        raise CheckpointError(f"{index}: not readable ({error})") from error
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{index}: not JSON ({error})") from error
    weight_map = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map that says which file holds which tensor")
    tensors_of: dict[str, set[str]] = {}
    for tensor, name in weight_map.items():
        if not _is_file_name(name):
            shown = printable(name) if isinstance(name, str) else type(name).__name__
            raise CheckpointError(
                f"{index}: {printable(tensor)} lies in {shown!r}, expected the name of a file beside it"
            )
        tensors_of.setdefault(name, set()).add(tensor)
    return dict(sorted(tensors_of.items()))


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _tensors(shard: Checkpoint, expected: set[str], index: Path) -> dict[str, TensorEntry]:
    document = shard.document
    if not isinstance(document, dict):
        raise CheckpointError(f"{shard.path} holds a {kind(document)}, expected tensors by name")
    odd = [
        f"{printable(str(name))} ({kind(value)})"
        for name, value in document.items()
        if not isinstance(name, str) or not isinstance(value, TensorEntry)
    ]
    if odd:
        raise CheckpointError(f"{shard.path} holds more than tensors by name: {first_of(odd, _SHOWN)}")
    differences = [f"missing {printable(name)}" for name in sorted(expected - document.keys())]
    differences += [f"unknown {printable(name)}" for name in sorted(document.keys() - expected)]
    if differences:
        raise CheckpointError(f"{shard.path} is not what {index.name} says: {first_of(differences, _SHOWN)}")
    return document

"""What a file, or a directory of files, of weights holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Format = Literal["torch zip", "torch legacy", "safetensors", "sharded safetensors", "sharded torch"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, without the elements of its tensors.

    Attributes:
        path: as it was asked for: a file, a directory or an index of shards.
        format: of the file, or of every shard.
        files: that hold the tensors.
        bytes: of all files, on disk.
        document: dicts, lists, tuples, sets, numbers, strings, bytes and dtypes, with a TensorEntry for each tensor and
            a Foreign record for whatever else was pickled. Of safetensors and of shards: tensors by name.
        calls: dotted names of what Python would call when it loads the file, beyond what is known to be harmless. A
            file that calls "posix.system" is an attack; one that calls a class of its own may be none.
        metadata: texts that a safetensors file carries beside its tensors.
    """

    path: Path
    format: Format
    files: tuple[Path, ...]
    bytes: int
    document: Any
    calls: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)

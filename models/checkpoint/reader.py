"""Opening a checkpoint of any known format."""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError
from .container import Checkpoint
from .sharded import SUFFIX, read_sharded
from .single import read_file
from .state import other_entries, state_dict

__all__ = ["Checkpoint", "other_entries", "read_checkpoint", "state_dict"]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what a checkpoint holds: everything but the elements of its tensors.

    Memory and time depend on the number of tensors, not on their size; no code of the file is run.

    Args:
        path: a file of torch.save (either format) or safetensors, a directory of shards, or the index of one.

    Raises:
        CheckpointError: missing, damaged, or of another format; says what it is where that is known.
    """
    try:
        return read_sharded(path) if path.is_dir() or path.name.endswith(SUFFIX) else read_file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: not readable ({error})") from error

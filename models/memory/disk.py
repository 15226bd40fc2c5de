"""Whether a file that is about to be written finds room."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import ConversionError
from .units import size_text


def free_disk(path: Path) -> int:
    """Bytes that this user can still write where `path` is or, if it is not there yet, will be."""
    return shutil.disk_usage(_existing(path)).free


def check_disk(path: Path, needed: int) -> None:
    """See to it that `needed` bytes find room at `path`.

    Raises:
        ConversionError: they do not; gives both numbers.
    """
    usage = shutil.disk_usage(_existing(path))
    if needed > usage.free:
        raise ConversionError(
            f"{path} needs {size_text(needed)} of disk, {size_text(usage.free)} are free of "
            f"{size_text(usage.total)} at {_existing(path)}"
        )


def _existing(path: Path) -> Path:
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())

"""Grounding views: pictures in which every pixel is labelled with what it shows, and sentences that name it.

A folder of safetensors shards, each with `rgb` uint8 (n, h, w, 3) and `classes` uint8 (n, h, w) (0: nothing named,
1..: one more than the index into the names, 254: floor, 255: wall), and one `views.json`:
`{"classes": ["red box", ...], "phrases": {"red box": ["go to the red box", ...], ..., "": ["turn left", ...]}}`;
the sentences under "" refer to nothing that can be seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from rich.progress import track
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ..configuration import ImagePreprocessing
from ..errors import DataError
from ..preprocessing import resize
from ..sentence import normalize_instruction

FLOOR, WALL = 254, 255


class ViewsIndex(BaseModel):
    """Content of views.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: tuple[str, ...] = Field(min_length=1, max_length=250)
    phrases: dict[str, tuple[str, ...]]

    @field_validator("phrases")
    @classmethod
    def _normalised(cls, phrases: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {name: tuple(map(normalize_instruction, sentences)) for name, sentences in phrases.items()}

    @model_validator(mode="after")
    def _phrases_for_all(self) -> ViewsIndex:
        expected = {*self.classes, ""}
        if set(self.phrases) != expected:
            raise ValueError(f"phrases must be given for each class and '', differing: {expected ^ set(self.phrases)}")
        empty = [name for name, sentences in self.phrases.items() if not sentences]
        if empty:
            raise ValueError(f"no sentence for {empty}")
        return self

    @property
    def sentences(self) -> list[str]:
        """Every sentence, sorted."""
        return sorted({sentence for group in self.phrases.values() for sentence in group})


@dataclass(frozen=True)
class GroundingViews:
    """All views in memory, resized for the policy.

    Attributes:
        index: names and sentences.
        rgb: uint8 (n, size, size, 3).
        classes: uint8 (n, size, size).
    """

    index: ViewsIndex
    rgb: NDArray[np.uint8]
    classes: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.rgb)


def read_index(folder: Path) -> ViewsIndex:
    """Read views.json.

    Raises:
        DataError: missing or malformed.
    """
    path = folder / "views.json"
    try:
        return ViewsIndex.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"{path}: not readable ({error}); render views first: mobile-vla render-views") from error
    except (json.JSONDecodeError, ValidationError) as error:
        raise DataError(f"{path}: {error}") from error


def read_views(folder: Path, image: ImagePreprocessing) -> GroundingViews:
    """Read every shard of a folder, resized as `image` says.

    Raises:
        DataError: no shard, or one that is unreadable or of the wrong form (it is named).
    """
    index = read_index(folder)
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        raise DataError(f"{folder} holds no *.safetensors shard")
    size = image.size
    rgb: list[NDArray[np.uint8]] = []
    classes: list[NDArray[np.uint8]] = []
    for path in track(shards, description="reading views"):
        pictures, labels = _read_shard(path, len(index.classes))
        rgb += [resize(picture, image) for picture in pictures]
        classes += [
            np.asarray(cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST), np.uint8) for label in labels
        ]
    return GroundingViews(index, np.stack(rgb), np.stack(classes))


def _read_shard(path: Path, class_count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a readable safetensors file ({error})") from error
    if set(arrays) != {"rgb", "classes"}:
        raise DataError(f"{path}: expected rgb and classes, found {sorted(arrays)}")
    rgb, classes = arrays["rgb"], arrays["classes"]
    if rgb.dtype != np.uint8 or classes.dtype != np.uint8 or rgb.shape != (*classes.shape, 3):
        raise DataError(
            f"{path}: expected uint8 rgb (n, h, w, 3) and classes (n, h, w), got {rgb.dtype} {rgb.shape} "
            f"and {classes.dtype} {classes.shape}"
        )
    unknown = set(np.unique(classes).tolist()) - {*range(class_count + 1), FLOOR, WALL}
    if unknown:
        raise DataError(f"{path}: labels {sorted(unknown)} are not among the {class_count} classes of views.json")
    return rgb, classes


def patch_coverage(classes: NDArray[np.uint8], grid: int) -> NDArray[np.float32]:
    """Share of each patch that each label covers.

    Args:
        classes: uint8 (b, s, s), with s a multiple of `grid`.
        grid: patches along a side.

    Returns:
        float32 (b, 256, grid * grid), indexed by label value; patches row by row from the upper left.
    """
    batch, side, _ = classes.shape
    if side % grid:
        raise ValueError(f"a picture of {side} pixels cannot be cut into {grid} patches a side")
    patch = side // grid
    cells = classes.reshape(batch, grid, patch, grid, patch).transpose(0, 1, 3, 2, 4).reshape(batch, grid * grid, -1)
    cell = np.arange(batch * grid * grid, dtype=np.int64).reshape(batch, grid * grid, 1)
    counts = np.bincount((cell * 256 + cells).ravel(), minlength=batch * grid * grid * 256)
    shares = counts.reshape(batch, grid * grid, 256).astype(np.float32) / (patch * patch)
    return np.ascontiguousarray(shares.transpose(0, 2, 1))

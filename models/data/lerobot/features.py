"""What meta/info.json says of each column and video."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..configuration import LeRobotTarget

_PICTURE = ["height", "width", "channels"]


def of_column(values: NDArray[np.generic], names: tuple[str, ...] | None) -> dict[str, Any]:
    """Of numbers (n,) or (n, k)."""
    shape = [values.shape[1] if values.ndim == 2 else 1]
    return {"dtype": str(values.dtype), "shape": shape, "names": None if names is None else list(names)}


def of_camera(size: tuple[int, int], target: LeRobotTarget) -> dict[str, Any]:
    """Of pictures of a height and width."""
    shape = [*size, 3]
    if target.pictures == "png":
        return {"dtype": "image", "shape": shape, "names": _PICTURE}
    lossless = target.pictures == "lossless"
    video = {
        "video.height": size[0],
        "video.width": size[1],
        "video.codec": "h264" if lossless else "av1",
        "video.pix_fmt": "gbrp" if lossless else "yuv420p",
        "video.is_depth_map": False,
        "video.fps": target.fps,
        "video.channels": 3,
        "has_audio": False,
    }
    return {"dtype": "video", "shape": shape, "names": _PICTURE, "info": video}

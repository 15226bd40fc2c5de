"""From a camera picture to the tensor that both vision towers take."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .configuration import ImagePreprocessing

# What the pictures of OpenAI's CLIP, and of models around its vision tower, were normalised with.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def check_rgb(rgb: NDArray[np.uint8]) -> None:
    """Raise ValueError unless `rgb` is a non-empty uint8 array of shape (height, width, 3)."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8:
        kind = rgb.dtype if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ValueError(f"image must be a uint8 array of shape (height, width, 3), got {kind}")
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"image must have shape (height, width, 3) and not be empty, got {rgb.shape}")


def resize(rgb: NDArray[np.uint8], config: ImagePreprocessing) -> NDArray[np.uint8]:
    """Squash a picture (h, w, 3) to (size, size, 3).

    Raises:
        ValueError: not a non-empty uint8 RGB picture.
    """
    check_rgb(rgb)
    size = config.size
    if rgb.shape[:2] == (size, size):
        return rgb
    if config.interpolation != "area":
        method = Image.Resampling[config.interpolation.upper()]
        return np.asarray(Image.fromarray(rgb).resize((size, size), method), dtype=np.uint8)
    # Averaging makes no sense where there is less than one pixel to average.
    shrinks = rgb.shape[0] >= size and rgb.shape[1] >= size
    resized = cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def normalise(pictures: Tensor, config: ImagePreprocessing) -> Tensor:
    """uint8 (b, size, size, 3) -> float32 (b, 3, size, size), normalised per channel.

    Raises:
        ValueError: wrong dtype or shape.
    """
    expected = (config.size, config.size, 3)
    if pictures.dtype != torch.uint8 or pictures.shape[1:] != expected:
        raise ValueError(
            f"pictures must be uint8 (b, {config.size}, {config.size}, 3), got {pictures.dtype} {tuple(pictures.shape)}"
        )
    mean = torch.tensor(config.mean, device=pictures.device)
    std = torch.tensor(config.std, device=pictures.device)
    return ((pictures.float() / 255.0 - mean) / std).permute(0, 3, 1, 2).contiguous()

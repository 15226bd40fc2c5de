"""What the camera of a benchmark sends."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...action import ActionChunk
from ...configuration import PolicyConfig
from ...policy import VLAPolicy
from ...preprocessing import resize

WIDTH, HEIGHT = 640, 480
INSTRUCTION = "go to the red box"
_QUALITY = 90
_COUNT = 8


def jpegs(count: int = _COUNT) -> list[bytes]:
    """Random pictures of 640 x 480 with large and small structure, as a camera sends them: JPEG, quality 90."""
    rng = np.random.default_rng(0)
    sent = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        picture += rng.integers(-12, 13, picture.shape, dtype=np.int16)
        done, encoded = cv2.imencode(
            ".jpg", picture.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        )
        if not done:
            raise RuntimeError("OpenCV was built without JPEG")
        sent.append(encoded.tobytes())
    return sent


def decode(jpeg: bytes) -> NDArray[np.uint8]:
    """JPEG -> RGB uint8 (480, 640, 3)."""
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"{len(jpeg)} bytes are no JPEG")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def to_pictures(rgb: NDArray[np.uint8], config: PolicyConfig, device: torch.device) -> Tensor:
    """RGB -> uint8 (c, s, s, 3), the same picture for all cameras."""
    resized = [resize(rgb, config.image) for _ in config.cameras]
    return torch.from_numpy(np.stack(resized)).to(device)


def state_of(config: PolicyConfig, device: torch.device) -> Tensor | None:
    """The mean state, (S,); None if the policy takes none."""
    if not config.state:
        return None
    return torch.tensor([dimension.mean for dimension in config.state], device=device)


def stepper(policy: VLAPolicy) -> Callable[[], ActionChunk]:
    """The policy's own step, to be called again and again: a run that begins now, one picture after the other."""
    config = policy.config
    frames = cycle([decode(jpeg) for jpeg in jpegs()])
    state = None if not config.state else np.array([dimension.mean for dimension in config.state], np.float32)

    def step() -> ActionChunk:
        rgb = next(frames)
        return policy.step(rgb, INSTRUCTION, state, dict.fromkeys(config.cameras[1:], rgb))

    policy.reset()
    return step

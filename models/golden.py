"""Golden vectors: a short run with its expected outputs, kept in the policy directory and replayed at every load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from .action import ActionChunk
from .configuration import PolicyConfig
from .errors import PolicyDirectoryError

INSTRUCTION = "go to the red box"
FRAMES = 3
ARRAYS = ("frames", "state", "continuous", "binary")


class Stepper(Protocol):
    """What golden vectors are recorded from and checked on; `VLAPolicy` is one."""

    @property
    def config(self) -> PolicyConfig:
        """Names the cameras and the state."""

    def reset(self) -> None:
        """Forget the history."""

    def step(
        self,
        rgb: NDArray[np.uint8],
        instruction: str,
        state: NDArray[np.float32] | None = None,
        extra_cameras: Mapping[str, NDArray[np.uint8]] | None = None,
    ) -> ActionChunk:
        """Take one frame, uint8 (h, w, 3)."""


@dataclass(frozen=True)
class GoldenDifference:
    """How far a replay lies from what was recorded, at most: a share of each dimension's range, of a group's all.

    Attributes:
        continuous, binary: of the groups; 0 for one without dimensions.
    """

    continuous: float
    binary: float

    @property
    def worst(self) -> float:
        """Of both groups."""
        return max(self.continuous, self.binary)

    def __str__(self) -> str:
        """In a line, for whoever starts the policy."""
        return f"golden vectors reproduced within {self.worst:.1e} of each range"


@dataclass(frozen=True)
class GoldenVectors:
    """A run of t frames.

    Attributes:
        frames: uint8 (t, cameras, h, w, 3).
        state: float32 (t, S), S may be 0.
        continuous, binary: the chunks, float32 (t, n, k) in SI units and (t, n, m) probabilities.
    """

    frames: NDArray[np.uint8]
    state: NDArray[np.float32]
    continuous: NDArray[np.float32]
    binary: NDArray[np.float32]

    @classmethod
    def record(cls, policy: Stepper, config: PolicyConfig) -> GoldenVectors:
        """Run `policy` over seeded pictures in patches of colour, and seeded states about their mean."""
        rng = np.random.default_rng(0)
        size, cameras = config.image.size, len(config.cameras)
        coarse = rng.integers(0, 256, (FRAMES, cameras, 4, 4, 3), dtype=np.uint8)
        frames = coarse.repeat(-(-size // 4), axis=2).repeat(-(-size // 4), axis=3)[:, :, :size, :size]
        mean = np.array([dimension.mean for dimension in config.state])
        std = np.array([dimension.std for dimension in config.state])
        state = (mean + std * rng.standard_normal((FRAMES, len(config.state)))).astype(np.float32)
        continuous, binary = _run(policy, frames, state)
        return cls(np.ascontiguousarray(frames), state, continuous, binary)

    def check(self, policy: Stepper, tolerance: float) -> GoldenDifference:
        """Replay.

        Args:
            policy: that is checked; its history is lost.
            tolerance: most that an output may differ, as a share of its dimension's range.

        Raises:
            PolicyDirectoryError: an output differs by more, is not finite, or is of another shape.
        """
        found = _run(policy, self.frames, self.state)
        scale = policy.config.action.maximum - policy.config.action.minimum
        difference = GoldenDifference(
            continuous=_difference("continuous", found[0], self.continuous, scale),
            binary=_difference("binary", found[1], self.binary, 1.0),
        )
        for name, share in vars(difference).items():
            if not share <= tolerance:
                raise PolicyDirectoryError(
                    f"golden.safetensors: {name} differs by {share:.2e} of its range from what this policy gave when "
                    f"it was saved (at most {tolerance:.0e} allowed): the weights or the libraries do not compute the "
                    "same policy"
                )
        return difference

    def save(self, path: Path) -> None:
        """Write to `path` (safetensors)."""
        # safetensors writes memory as it lies, whatever the strides say; with save_file, for its owner's eyes only.
        path.write_bytes(save({name: np.ascontiguousarray(getattr(self, name)) for name in ARRAYS}))

    @classmethod
    def load(cls, path: Path) -> GoldenVectors:
        """Read from `path`.

        Raises:
            PolicyDirectoryError: unreadable, or not these arrays.
        """
        try:
            arrays = load_file(path)
        except (SafetensorError, OSError) as error:
            raise PolicyDirectoryError(f"{path}: not a readable safetensors file ({error})") from error
        if set(arrays) != set(ARRAYS):
            raise PolicyDirectoryError(f"{path}: expected {', '.join(ARRAYS)}, found {sorted(arrays)}")
        return cls(**arrays)


def _run(
    policy: Stepper, frames: NDArray[np.uint8], state: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    cameras = policy.config.cameras
    policy.reset()
    chunks = []
    for pictures, values in zip(frames, state, strict=True):
        extra = dict(zip(cameras[1:], pictures[1:], strict=True))
        chunks.append(policy.step(pictures[0], INSTRUCTION, values if len(values) else None, extra))
    policy.reset()
    return np.stack([chunk.continuous for chunk in chunks]), np.stack([chunk.binary for chunk in chunks])


def _difference(
    name: str, found: NDArray[np.float32], expected: NDArray[np.float32], scale: NDArray[np.float32] | float
) -> float:
    """The greatest, as a share of `scale`; NaN if anything is not finite."""
    if found.shape != expected.shape:
        raise PolicyDirectoryError(
            f"golden.safetensors: {name} has shape {expected.shape}, the policy gives {found.shape}"
        )
    return float((np.abs(found - expected) / scale).max(initial=0.0))

"""Golden vectors: a short run with its expected outputs, kept in the policy directory and replayed at every load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from .action import ActionChunk
from .errors import PolicyDirectoryError

INSTRUCTION = "go to the red box"
FRAMES = 3


class Stepper(Protocol):
    """What golden vectors are recorded from and checked on; `VLAPolicy` is one."""

    def reset(self) -> None:
        """Forget the history."""

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> ActionChunk:
        """Take one frame, uint8 (h, w, 3)."""


@dataclass(frozen=True)
class GoldenVectors:
    """Frames uint8 (t, h, w, 3), and for each the chunk: velocity float32 (t, n, 2), stop float32 (t, n)."""

    frames: NDArray[np.uint8]
    velocity: NDArray[np.float32]
    stop: NDArray[np.float32]

    @classmethod
    def record(cls, policy: Stepper, size: int) -> GoldenVectors:
        """Run `policy` over seeded pictures of `size` pixels a side, in patches of colour."""
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, (FRAMES, 4, 4, 3), dtype=np.uint8)
        frames = coarse.repeat(-(-size // 4), axis=1).repeat(-(-size // 4), axis=2)[:, :size, :size]
        frames = np.ascontiguousarray(frames)
        velocity, stop = _run(policy, frames)
        return cls(frames, velocity, stop)

    def check(self, policy: Stepper, tolerance: float) -> None:
        """Replay; raise PolicyDirectoryError where an output differs by more than `tolerance` (or is not finite)."""
        velocity, stop = _run(policy, self.frames)
        for name, found, expected in (("velocity", velocity, self.velocity), ("stop", stop, self.stop)):
            if found.shape != expected.shape:
                raise PolicyDirectoryError(
                    f"golden.safetensors: {name} has shape {expected.shape}, the policy gives {found.shape}"
                )
            error = float(np.abs(found - expected).max())
            if not error <= tolerance:
                raise PolicyDirectoryError(
                    f"golden.safetensors: {name} differs by {error:.2e} from what this policy gave when it was saved "
                    f"(at most {tolerance:.0e} allowed): the weights or the libraries do not compute the same policy"
                )

    def save(self, path: Path) -> None:
        """Write to `path` (safetensors)."""
        arrays = {"frames": self.frames, "velocity": self.velocity, "stop": self.stop}
        # safetensors writes memory as it lies, whatever the strides say.
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)

    @classmethod
    def load(cls, path: Path) -> GoldenVectors:
        """Read from `path`.

        Raises:
            PolicyDirectoryError: unreadable, or not the three arrays.
        """
        try:
            arrays = load_file(path)
        except (SafetensorError, OSError) as error:
            raise PolicyDirectoryError(f"{path}: not a readable safetensors file ({error})") from error
        if set(arrays) != {"frames", "velocity", "stop"}:
            raise PolicyDirectoryError(f"{path}: expected frames, velocity and stop, found {sorted(arrays)}")
        return cls(arrays["frames"], arrays["velocity"], arrays["stop"])


def _run(policy: Stepper, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    policy.reset()
    chunks = [policy.step(frame, INSTRUCTION) for frame in frames]
    policy.reset()
    return np.stack([chunk.velocity for chunk in chunks]), np.stack([chunk.stop for chunk in chunks])

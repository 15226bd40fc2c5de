"""The receipt of a conversion or an export: what it measured, kept with what was made."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from .configuration import PrecisionConfig, Strict
from .documents import findings
from .errors import PolicyDirectoryError

FILE = "receipt.json"
# Greatest error of an action that is accepted unless another is named, as a share of its range.
BOUND = 0.05


class ActionError(Strict):
    """How far an action lies from the original's, over frames and chunk.

    `share` is the greatest error as a share of the action's range.
    """

    name: str
    unit: str
    mean: float
    maximum: float
    share: float


class Receipt(Strict):
    """What was measured when a policy was converted or exported, on the machine that did it.

    Attributes:
        source: what was converted.
        sha256: of the source's weights.
        precision: of what was made.
        parameters: of the source, that it has.
        disk: bytes of model.safetensors, or of the export's graphs.
        weights: Bytes of the weights. In memory they are the process's own, used or not; mapped they are pages of the
            file, which the kernel can take back. An engine may keep rearranged copies beside them.
        workspace: bytes that a step took beside the weights, at its peak, on the CPU.
        frames, runs: of the recording that the errors were measured on.
        features: relative L2 error of what the head sees, over all frames.
        actions: errors of the continuous group.
        binary: greatest error of a probability of the binary group.
        not_finite: share of numbers in features and actions that are not finite.
        bound: greatest `share` that was allowed.
        forced: whether the bound was missed, and overruled.
    """

    source: str
    sha256: str
    precision: PrecisionConfig
    parameters: int
    disk: int
    weights: int
    workspace: int
    frames: int
    runs: int
    features: float | None
    actions: tuple[ActionError, ...]
    binary: float
    not_finite: float
    bound: float
    forced: bool = Field(description="accepted although beyond the bound")

    @property
    def worst(self) -> float:
        """Greatest error of an action as a share of its range; infinite if something was not finite."""
        return float("inf") if self.not_finite > 0 else max(action.share for action in self.actions)

    def save(self, directory: Path) -> None:
        """Write it into a directory that is being made."""
        (directory / FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Receipt | None:
        """The receipt in a policy directory, or an export's; None if there is none.

        Raises:
            PolicyDirectoryError: not readable.
        """
        path = directory / FILE
        if not path.exists():
            return None
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise PolicyDirectoryError(f"{path}: {findings(error)}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyDirectoryError(f"{path}: not readable ({error})") from error

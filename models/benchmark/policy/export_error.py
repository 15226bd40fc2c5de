"""How far the answers of an export in fewer bits lie from those of its policy, where a benchmark has both at hand."""

from __future__ import annotations

from dataclasses import dataclass

from ...engine.engine import ONNX
from ...policy import VLAPolicy
from ...receipt import BOUND
from .compare import Comparison


@dataclass(frozen=True)
class ExportError:
    """Greatest errors of an export's answers, each as a share of its range.

    Attributes:
        dtype: of the export.
        here: over the pictures of the benchmark, against transformers' forward on the policy's weights.
        receipt: over the frames of the export's receipt; None: it has none.
        bound: that its receipt was held to; without one, that an export is held to unless another bound is named.
    """

    dtype: str
    here: float
    receipt: float | None
    bound: float

    @property
    def within(self) -> bool:
        """Whether the error here is one that a receipt accepts."""
        return self.here <= self.bound

    def __str__(self) -> str:
        """In a line."""
        written = "it has no receipt" if self.receipt is None else f"its receipt says {self.receipt:.2%}"
        return (
            f"the {self.dtype} export's answers lie up to {self.here:.2%} of their range from the policy's own "
            f"({written}): {'within' if self.within else 'beyond'} the {self.bound:.1%} that a receipt accepts"
        )


def export_error(policy: VLAPolicy, comparison: Comparison) -> ExportError | None:
    """That of the export that the policy's engine runs; None where it runs none, or one that loses nothing."""
    if policy.engine.name != ONNX:
        return None
    from ...engine.onnx_engine import OnnxEngine

    assert isinstance(policy.engine, OnnxEngine)
    if policy.engine.dtype == "fp32":
        return None
    receipt = policy.engine.receipt
    return ExportError(
        dtype=policy.engine.dtype,
        here=comparison.stored.difference,
        receipt=None if receipt is None else receipt.worst,
        bound=BOUND if receipt is None else receipt.bound,
    )

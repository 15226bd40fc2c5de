"""The policy of mobile_vla_ros: any vision-language model as its backbone, its training and data. No ROS here."""

from typing import TYPE_CHECKING, Any

from .action import ActionChunk
from .errors import (
    BackboneError,
    CheckpointError,
    ConversionError,
    DataError,
    MemoryShortageError,
    MobileVLAError,
    PolicyConfigError,
    PolicyDirectoryError,
    PrecisionError,
    TrainingConfigError,
)

if TYPE_CHECKING:
    from .policy import VLAPolicy

__all__ = [
    "ActionChunk",
    "BackboneError",
    "CheckpointError",
    "ConversionError",
    "DataError",
    "MemoryShortageError",
    "MobileVLAError",
    "PolicyConfigError",
    "PolicyDirectoryError",
    "PrecisionError",
    "TrainingConfigError",
    "VLAPolicy",
]


def __getattr__(name: str) -> Any:
    # torch and transformers take seconds to import; a node that only needs an error class does not wait for them.
    if name == "VLAPolicy":
        from .policy import VLAPolicy

        return VLAPolicy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

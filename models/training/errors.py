"""Why a training ends before its last step."""

from ..errors import MobileVLAError


class NotFiniteError(MobileVLAError):
    """A loss or gradient is not finite; the message names the stage, the step and the batch. Nothing was saved."""


class InterruptedTrainingError(MobileVLAError):
    """A signal ended the training after a step; the message says where the same command goes on."""

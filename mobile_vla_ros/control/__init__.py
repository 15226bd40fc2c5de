"""The control core: from timed plans to velocity commands. Pure Python; time is always passed in."""

from .controller import Command, ControllerConfig, DriveController, DriveState
from .limits import Limits
from .plan import ActionPlan
from .stepper import PolicyStepper

__all__ = [
    "ActionPlan",
    "Command",
    "ControllerConfig",
    "DriveController",
    "DriveState",
    "Limits",
    "PolicyStepper",
]

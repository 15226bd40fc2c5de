"""The control core: from timed plans to velocity commands. Pure Python; time is always passed in."""

from .arming import Arming
from .configuration import ControllerConfig
from .controller import Command, DriveController, DriveState
from .limits import BaseLimits, Braking, Limits
from .odometry import StampedPose
from .plan import ActionPlan, ActionRange
from .stepper import PolicyStepper

__all__ = [
    "ActionPlan",
    "ActionRange",
    "Arming",
    "BaseLimits",
    "Braking",
    "Command",
    "ControllerConfig",
    "DriveController",
    "DriveState",
    "Limits",
    "PolicyStepper",
    "StampedPose",
]

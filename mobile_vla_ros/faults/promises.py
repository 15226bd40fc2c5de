"""What the parameters promise: times of the node with its defaults, under the policy of the bench."""

from __future__ import annotations

from ..control import ControllerConfig
from .policy import BRAKING, DT, SPEED

CONFIG = ControllerConfig(dt=DT)  # the node's defaults are these
# s, where they are awaited, which by default they are not.
ODOMETRY_TIMEOUT = EMERGENCY_STOP_TIMEOUT = 0.3
SAME_INSTRUCTION_TIMEOUT = 1.0  # s, in the matrix; the default would make each row that needs an instruction 4 s longer
T = 1.0 / CONFIG.control_hz  # s, a control period
# s to slow down; three periods for the end, which steps never quite meet.
RAMP = SPEED / BRAKING.linear_deceleration + BRAKING.linear_deceleration / BRAKING.linear_jerk + 3.0 * T
FULL_SPEED = 0.98 * SPEED  # m/s from which on the robot drives as the policy wants

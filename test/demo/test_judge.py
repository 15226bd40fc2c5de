"""The judge of a single instruction."""

import math

import pytest

from mobile_vla_ros.demo.judge import Judge
from mobile_vla_ros.demo.recording import Motion
from mobile_vla_ros.sim.base import Pose2D, Velocity
from mobile_vla_ros.sim.scene import Scene
from mobile_vla_ros.sim.task import Outcome, Task, TaskKind

STILL = Velocity(0.0, 0.0)
TURN = Task(TaskKind.TURN_LEFT, "turn left")


def motion(stamp: float, yaw: float, velocity: Velocity = STILL) -> Motion:
    return Motion(stamp, Pose2D(0.0, 0.0, math.remainder(yaw, math.tau)), velocity)


def test_turning_is_summed_over_the_seam_of_angles(scene: Scene) -> None:
    judge = Judge(TURN, scene, motion(5.0, 3.0), 30.0)
    turning = [judge.update(motion(5.0 + 0.1 * k, 3.0 + 0.1 * k, Velocity(0.0, 1.0)), None) for k in range(16)]
    standing = [judge.update(motion(6.6 + 0.1 * k, 4.6), None) for k in range(12)]
    assert not any(turning)
    run = next(run for run in standing if run is not None)
    assert (run.outcome, run.start, run.end) == (Outcome.REACHED, 5.0, pytest.approx(7.6))
    assert run.turned == pytest.approx(1.6)
    assert run.distance == 0.0


def test_a_touch_is_a_collision_and_silence_a_time_out(scene: Scene) -> None:
    judge = Judge(TURN, scene, motion(0.0, 0.0), 30.0)
    assert judge.update(motion(0.1, 0.0), None) is None
    run = judge.update(motion(0.2, 0.0), "wall")
    assert run is not None
    assert run.outcome is Outcome.COLLISION
    run = Judge(TURN, scene, motion(0.0, 0.0), 30.0).update(motion(30.0, 0.0), None)
    assert run is not None
    assert run.outcome is Outcome.TIME_OUT

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


def test_standing_where_the_last_instruction_led_is_no_answer_yet(scene: Scene) -> None:
    first, second = scene.objects[:2]
    there = Pose2D(first.x - first.radius - 0.5, first.y, 0.0)
    judge = Judge(Task(TaskKind.GO_TO, "go", second.name), scene, Motion(0.0, there, STILL), 30.0)
    runs = [judge.update(Motion(0.1 * k, there, STILL), None) for k in range(1, 60)]
    end = next(run for run in runs if run is not None)
    assert end.outcome is Outcome.WRONG_OBJECT
    assert end.end == pytest.approx(4.0)


def test_once_set_out_standing_at_another_object_is_wrong(scene: Scene) -> None:
    first, second = scene.objects[:2]
    there = Pose2D(first.x - first.radius - 0.5, first.y, 0.0)
    judge = Judge(Task(TaskKind.GO_TO, "go", second.name), scene, Motion(0.0, there, STILL), 30.0)
    assert judge.update(Motion(0.1, there, Velocity(0.2, 0.0)), None) is None
    runs = [judge.update(Motion(0.1 + 0.1 * k, there, STILL), None) for k in range(1, 20)]
    end = next(run for run in runs if run is not None)
    assert (end.outcome, end.end) == (Outcome.WRONG_OBJECT, pytest.approx(1.2))

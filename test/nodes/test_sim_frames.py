"""Frames of the simulated robot: where camera and scanner sit, and that they are published where tf2_msgs is there."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, TransformStamped

from mobile_vla_ros import sim_robot
from mobile_vla_ros.sim.scene import CameraMount
from mobile_vla_ros.sim_robot import SimRobot, mounts


def rotated(q: Quaternion, vector: tuple[float, float, float]) -> list[float]:
    axis = np.array([q.x, q.y, q.z])
    twice = 2.0 * np.cross(axis, vector)
    return (np.array(vector) + q.w * twice + np.cross(axis, twice)).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("pitch", [0.0, 0.2, -0.3])
def test_the_cameras_optical_frame_looks_down_by_its_pitch(pitch: float) -> None:
    camera, laser = mounts(CameraMount(0.3, pitch), Time())
    assert [(one.header.frame_id, one.child_frame_id) for one in (camera, laser)] == [
        ("base_link", "camera_optical_frame"),
        ("base_link", "laser"),
    ]
    q, down = camera.transform.rotation, -math.sin(pitch)
    assert math.hypot(q.x, q.y, q.z, q.w) == pytest.approx(1.0)
    assert rotated(q, (0.0, 0.0, 1.0)) == pytest.approx([math.cos(pitch), 0.0, down], abs=1e-12)
    assert rotated(q, (1.0, 0.0, 0.0)) == pytest.approx([0.0, -1.0, 0.0], abs=1e-12)
    assert rotated(q, (0.0, 1.0, 0.0)) == pytest.approx([down, 0.0, -math.cos(pitch)], abs=1e-12)
    assert camera.transform.translation.z == 0.3
    assert rotated(laser.transform.rotation, (1.0, 0.0, 0.0)) == [1.0, 0.0, 0.0]


def test_frames_are_published_where_there_is_a_message_for_them(monkeypatch: pytest.MonkeyPatch, alone: None) -> None:
    pytest.importorskip("mujoco")

    class Message:
        """Stands in for tf2_msgs' TFMessage, of which there is no wheel."""

        def __init__(self, transforms: list[TransformStamped]) -> None:
            self.transforms = transforms

    said: list[tuple[str, TransformStamped]] = []
    create = SimRobot.create_publisher

    def create_publisher(self: SimRobot, kind: Any, topic: str, *quality: Any, **options: Any) -> Any:
        if kind is not Message:
            return create(self, kind, topic, *quality, **options)
        name = self.resolve_topic_name(topic)
        return SimpleNamespace(publish=lambda message: said.extend((name, one) for one in message.transforms))

    monkeypatch.setattr(sim_robot, "TFMessage", Message)
    monkeypatch.setattr(SimRobot, "create_publisher", create_publisher)
    rclpy.init(args=["--ros-args", "-r", "__ns:=/r1"])
    robot = SimRobot()
    try:
        assert [(topic, one.child_frame_id) for topic, one in said] == [
            ("/r1/tf_static", "camera_optical_frame"),
            ("/r1/tf_static", "laser"),
        ]
        robot._world.step(0.5)
        robot._publish_due()
        topic, place = said[-1]
        assert (topic, place.header.frame_id, place.child_frame_id) == ("/r1/tf", "odom", "base_link")
        assert place.header.stamp == Time(nanosec=500_000_000)
        pose = robot._world.pose
        assert (place.transform.translation.x, place.transform.translation.y) == (pose.x, pose.y)
        forward = [math.cos(pose.yaw), math.sin(pose.yaw), 0.0]
        assert rotated(place.transform.rotation, (1.0, 0.0, 0.0)) == pytest.approx(forward)
    finally:
        robot.close()
        robot.destroy_node()
        rclpy.shutdown()

"""Recordings: the topics of the robot, times that fit, labels that a reader can trust."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import WriterError
from rosbags.typesys import Stores, get_typestore

from mobile_vla_models import PolicyDirectoryError
from mobile_vla_ros.share import SHIPPED_POLICY, share_path
from mobile_vla_ros.sim.bag import EPOCH, EXPERT_TOPIC, TOPICS, BagWriter
from mobile_vla_ros.sim.base import ROBOT_RADIUS, Pose2D, Velocity
from mobile_vla_ros.sim.record import STAND_TIME, record, sample_start
from mobile_vla_ros.sim.scene import NAMES, is_free, sample_scene
from mobile_vla_ros.sim.task import TaskKind, bearing, edge_gap, made_up, sentences
from mobile_vla_ros.sim.world import CameraIntrinsics

CAMERA, COMMAND, ODOMETRY, INSTRUCTION = (
    "/camera/image_raw/compressed",
    "/cmd_vel",
    "/odom",
    "/instruction",
)
STOPS = (*sentences(TaskKind.STOP), *made_up(TaskKind.STOP))


@dataclass
class Message:
    time: float
    content: Any


def read(bag: Path) -> dict[str, list[Message]]:
    """Messages by topic, with the time received (s since the epoch of the bags)."""
    messages: dict[str, list[Message]] = {topic: [] for topic in (*TOPICS, EXPERT_TOPIC)}
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
        for connection, time, raw in reader.messages():
            content = reader.deserialize(raw, connection.msgtype)
            messages[connection.topic].append(Message((time - EPOCH * 10**9) * 1e-9, content))
    return messages


def speeds(messages: Sequence[Message]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([(message.content.linear.x, message.content.angular.z) for message in messages])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bags")
    summary = record(out, bags=3, seed=5, workers=1)
    assert (summary.bags, summary.present) == (3, 0)
    assert summary.tasks >= 9
    return out


@pytest.fixture(scope="module", params=range(3))
def bag(folder: Path, request: pytest.FixtureRequest) -> dict[str, list[Message]]:
    return read(folder / f"seed5_{request.param:05d}")


def test_every_bag_is_complete_and_nothing_else_is_left(folder: Path) -> None:
    assert sorted(path.parent.name for path in folder.glob("*/metadata.yaml")) == [
        f"seed5_{index:05d}" for index in range(3)
    ]
    assert list((folder / ".partial").iterdir()) == []


def test_the_bag_plays_from_humble_on(folder: Path) -> None:
    metadata = yaml.safe_load((folder / "seed5_00000" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert metadata["storage_identifier"] == "sqlite3"
    assert metadata["version"] <= 8  # later ones write quality of service in a way that Humble cannot read
    topics = {
        entry["topic_metadata"]["name"]: entry["topic_metadata"]["type"]
        for entry in metadata["topics_with_message_count"]
    }
    assert topics == TOPICS


def test_rates(bag: dict[str, list[Message]]) -> None:
    for topic, period in ((CAMERA, 0.1), ("/camera/camera_info", 0.1), (COMMAND, 0.05), (ODOMETRY, 0.05)):
        np.testing.assert_allclose(np.diff([message.time for message in bag[topic]]), period, atol=1e-6)


def test_pictures_are_stamped_and_answered_by_a_command(bag: dict[str, list[Message]]) -> None:
    commands = {round(message.time * 1e3) for message in bag[COMMAND]}
    for message, info in zip(bag[CAMERA], bag["/camera/camera_info"], strict=True):
        stamp = message.content.header.stamp
        assert stamp.sec - EPOCH + stamp.nanosec * 1e-9 == pytest.approx(message.time, abs=1e-9)
        assert round(message.time * 1e3) in commands
        assert info.content.header == message.content.header
    first = cv2.imdecode(bag[CAMERA][0].content.data, cv2.IMREAD_COLOR)
    assert bag[CAMERA][0].content.format == "jpeg"
    assert first is not None
    assert first.shape == (
        bag["/camera/camera_info"][0].content.height,
        bag["/camera/camera_info"][0].content.width,
        3,
    )


def test_chains_of_three_or_four_known_sentences(bag: dict[str, list[Message]]) -> None:
    texts = [message.content.data for message in bag[INSTRUCTION]]
    assert 3 <= len(texts) <= 4
    known = {sentence for kind in TaskKind for name in NAMES for sentence in sentences(kind, name)}
    known |= {text.format(target=name) for kind in TaskKind for name in NAMES for text in made_up(kind)}
    assert known.issuperset(texts)


def test_the_last_task_ends_in_zeros_and_the_robot_stands(bag: dict[str, list[Message]]) -> None:
    tail = [message for message in bag[COMMAND] if message.time >= bag[COMMAND][-1].time - STAND_TIME + 0.05]
    assert not speeds(tail).any()
    twist = bag[ODOMETRY][-1].content.twist.twist
    assert twist.linear.x == 0.0
    assert twist.angular.z == 0.0


def test_every_task_moves_unless_it_says_stop(bag: dict[str, list[Message]]) -> None:
    starts = [message.time for message in bag[INSTRUCTION]]
    for start, end, message in zip(starts, [*starts[1:], math.inf], bag[INSTRUCTION], strict=True):
        task = speeds([command for command in bag[COMMAND] if start <= command.time < end])
        assert task.any() == (message.content.data not in STOPS)


def test_odometry_follows_the_commands(bag: dict[str, list[Message]]) -> None:
    poses = [message.content.pose.pose for message in bag[ODOMETRY]]
    steps = np.hypot(*np.diff([(pose.position.x, pose.position.y) for pose in poses], axis=0).T)
    assert steps.max() < 0.05 * 0.7
    assert all(pose.orientation.z**2 + pose.orientation.w**2 == pytest.approx(1.0) for pose in poses)


def test_recording_again_adds_what_is_missing_and_repeats_exactly(folder: Path, tmp_path: Path) -> None:
    summary = record(folder, bags=3, seed=5)
    assert (summary.bags, summary.present) == (0, 3)
    record(tmp_path, bags=1, seed=5)
    first, again = read(folder / "seed5_00000"), read(tmp_path / "seed5_00000")
    np.testing.assert_array_equal(speeds(first[COMMAND]), speeds(again[COMMAND]))
    assert [m.content.data for m in first[INSTRUCTION]] == [m.content.data for m in again[INSTRUCTION]]


def test_a_policy_is_corrected(tmp_path: Path) -> None:
    summary = record(tmp_path, bags=1, seed=0, policy=share_path(SHIPPED_POLICY))
    assert summary.bags == 1
    messages = read(tmp_path / "seed0_00000")
    driven, corrections = speeds(messages[COMMAND]), speeds(messages[EXPERT_TOPIC])
    assert [m.time for m in messages[COMMAND]] == [m.time for m in messages[EXPERT_TOPIC]]
    # It drives as the expert would, nearly; and its tasks end with the expert's.
    apart = np.abs(driven - corrections).max(axis=1)
    assert (apart > 1e-3).mean() > 0.3
    assert np.median(apart) < 0.3
    standing = round(STAND_TIME / 0.05) - 1
    assert not driven[-standing:].any()
    assert not corrections[-standing:].any()


def test_a_policy_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(PolicyDirectoryError, match="nowhere"):
        record(tmp_path, bags=1, seed=0, policy=tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_starts_are_free_and_of_all_kinds() -> None:
    rng = np.random.default_rng(0)
    near_object = near_wall = 0
    for _ in range(300):
        scene = sample_scene(rng)
        pose = sample_start(rng, scene)
        assert is_free(pose.x, pose.y, scene.size, scene.objects)
        near_object += any(edge_gap(pose, item) <= 0.5 and abs(bearing(pose, item)) <= 0.5 for item in scene.objects)
        ahead = (pose.x + 0.8 * math.cos(pose.yaw), pose.y + 0.8 * math.sin(pose.yaw))
        near_wall += any(abs(place) > side / 2 - ROBOT_RADIUS for place, side in zip(ahead, scene.size, strict=True))
    assert 0.2 < near_object / 300 < 0.4
    assert 0.15 < near_wall / 300 < 0.5


def test_a_failed_recording_leaves_no_readable_bag(tmp_path: Path) -> None:
    def write() -> None:
        with BagWriter(tmp_path / "bag") as writer:
            writer.command(0.0, Velocity(0.1, 0.0))
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write()
    assert not (tmp_path / "bag" / "metadata.yaml").exists()


def test_a_bag_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    with pytest.raises(WriterError, match="exists already"):
        BagWriter(tmp_path / "bag")


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgb = cv2.resize(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8), (160, 120))
    with BagWriter(tmp_path / "bag") as writer:
        writer.instruction(0.0, "go to the red box")
        writer.picture(0.5, np.asarray(rgb, dtype=np.uint8), CameraIntrinsics(160, 120, 80.0, 81.0, 79.5, 59.5))
        writer.odometry(0.5, Pose2D(1.0, -2.0, 2.5), Velocity(0.3, -0.4))
        writer.command(0.5, Velocity(0.1, 0.2))
    messages = read(tmp_path / "bag")
    assert messages[INSTRUCTION][0].content.data == "go to the red box"
    assert speeds(messages[COMMAND]).tolist() == [[0.1, 0.2]]
    picture = cv2.imdecode(messages[CAMERA][0].content.data, cv2.IMREAD_COLOR)
    assert picture is not None
    assert np.abs(picture[:, :, ::-1].astype(int) - rgb).mean() < 4.0
    assert messages["/camera/camera_info"][0].content.k.tolist() == [
        80.0,
        0.0,
        79.5,
        0.0,
        81.0,
        59.5,
        0.0,
        0.0,
        1.0,
    ]
    odometry = messages[ODOMETRY][0].content
    assert (odometry.pose.pose.position.x, odometry.pose.pose.position.y) == (1.0, -2.0)
    orientation = odometry.pose.pose.orientation
    assert 2 * math.atan2(orientation.z, orientation.w) == pytest.approx(2.5)
    assert (odometry.twist.twist.linear.x, odometry.twist.twist.angular.z) == (0.3, -0.4)

"""One node of a name: certain on one machine, as far as discovery goes on others."""

import time
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.node import Node

from mobile_vla_ros.robot_node import RobotNode, StartError


class Robot(RobotNode):
    def close(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _domain(alone: None) -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


def test_a_name_is_claimed_once_on_a_machine_until_its_node_is_gone() -> None:
    first, second = Robot("robot"), Robot("robot")
    first.claim_name()
    first.claim_name()  # configured anew
    for _ in range(2):
        with pytest.raises(
            StartError, match="a node named /robot is already running: stop it; if this one is for another robot"
        ):
            second.claim_name()
    first.destroy_node()
    second.claim_name()
    second.destroy_node()


@pytest.mark.parametrize("other", [("other", ""), ("robot", "/elsewhere"), ("r" * 70, "/" + "n" * 70)])
def test_another_name_or_namespace_is_another_claim(other: tuple[str, str]) -> None:
    nodes = [Robot("robot"), Robot(other[0], namespace=other[1])]
    for node in nodes:
        node.claim_name()
    for node in nodes:
        node.destroy_node()


def test_what_discovery_finds_is_refused_too() -> None:
    robot, elsewhere = Robot("robot"), Robot("other")
    robot.refuse_second_instance(time.monotonic())
    elsewhere.refuse_second_instance(time.monotonic())
    twin = Node("other")
    with pytest.raises(StartError, match="a node named /other is already running"):
        elsewhere.refuse_second_instance(time.monotonic())
    for node in (robot, elsewhere, twin):
        node.destroy_node()

"""The choice of a ROS domain."""

import os
import socket
from pathlib import Path

import pytest

from mobile_vla_ros.bringup import domain as dds
from mobile_vla_ros.bringup.domain import DOMAINS, free_domain, use_domain

PROFILES, PROFILES_BEFORE_KILTED = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
KILTED = 9


def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of DDS is set, and what is set in a test does not outlive it."""
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", PROFILES, PROFILES_BEFORE_KILTED):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize("participant", [0, 3])
def test_a_domain_in_use_is_not_chosen(participant: int) -> None:
    first = free_domain()
    assert first in DOMAINS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 7400 + 250 * first + 10 + 2 * participant))
        assert free_domain() != first


def test_children_are_in_the_domain_on_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS"):
        monkeypatch.setenv(name, "1")
    unset(monkeypatch)
    monkeypatch.setattr(dds, "rclpy_release", lambda: KILTED)
    environment = use_domain(42)
    assert environment == dict(os.environ)
    assert environment["ROS_DOMAIN_ID"] == "42"
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert {"ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS"}.isdisjoint(environment)
    assert Path(environment[PROFILES]).is_file()
    assert PROFILES_BEFORE_KILTED not in environment


def test_so_they_are_on_jazzy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_LOCALHOST_ONLY", "1")
    unset(monkeypatch)
    monkeypatch.setattr(dds, "rclpy_release", lambda: 7)
    environment = use_domain(42)
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert Path(environment[PROFILES_BEFORE_KILTED]).is_file()
    assert {"ROS_LOCALHOST_ONLY", PROFILES}.isdisjoint(environment)


def test_so_they_are_on_humble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_LOCALHOST_ONLY", "0")
    unset(monkeypatch)
    monkeypatch.setattr(dds, "rclpy_release", lambda: 3)
    environment = use_domain(42)
    assert environment["ROS_LOCALHOST_ONLY"] == "1"
    assert {PROFILES_BEFORE_KILTED, PROFILES}.isdisjoint(environment)


def test_ones_own_profiles_of_fast_dds_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    unset(monkeypatch)
    monkeypatch.setattr(dds, "rclpy_release", lambda: KILTED)
    monkeypatch.setenv(PROFILES, "/own.xml")
    assert use_domain(42)[PROFILES] == "/own.xml"


def test_the_release_is_that_of_the_installed_rclpy() -> None:
    pytest.importorskip("rclpy")
    assert dds.rclpy_release() in (3, 7, KILTED)

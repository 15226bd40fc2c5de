"""The choice of a ROS domain."""

import os
import socket
from pathlib import Path

import pytest

from mobile_vla_ros.demo.dds import DOMAINS, free_domain, use_domain

PROFILES, PROFILES_ON_HUMBLE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"


def test_a_domain_in_use_is_not_chosen() -> None:
    first = free_domain()
    assert first in DOMAINS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 7400 + 250 * first + 10))
        assert free_domain() != first


def test_children_are_in_the_domain_on_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS"):
        monkeypatch.setenv(name, "1")
    for name in ("ROS_DISTRO", PROFILES):
        monkeypatch.setenv(name, "")  # so that what is set there does not outlive the test
        monkeypatch.delenv(name)
    environment = use_domain(42)
    assert environment == dict(os.environ)
    assert environment["ROS_DOMAIN_ID"] == "42"
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert {"ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS"}.isdisjoint(environment)
    assert Path(environment[PROFILES]).is_file()


def test_so_they_are_on_humble(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"):
        monkeypatch.setenv(name, "0")
    for name in (PROFILES, PROFILES_ON_HUMBLE):
        monkeypatch.setenv(name, "")  # so that what is set there does not outlive the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("ROS_DISTRO", "humble")
    environment = use_domain(42)
    assert environment["ROS_LOCALHOST_ONLY"] == "1"
    assert Path(environment[PROFILES_ON_HUMBLE]).is_file()
    assert PROFILES not in environment


def test_ones_own_profiles_of_fast_dds_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        monkeypatch.setenv(name, "0")
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setenv(PROFILES, "/own.xml")
    assert use_domain(42)[PROFILES] == "/own.xml"

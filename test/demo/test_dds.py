"""The choice of a ROS domain."""

import os
import socket

import pytest

from mobile_vla_ros.demo.dds import DOMAINS, free_domain, use_domain


def test_a_domain_in_use_is_not_chosen() -> None:
    first = free_domain()
    assert first in DOMAINS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 7400 + 250 * first + 10))
        assert free_domain() != first


def test_children_are_in_the_domain_on_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS"):
        monkeypatch.setenv(name, "1")
    environment = use_domain(42)
    assert environment == dict(os.environ)
    assert environment["ROS_DOMAIN_ID"] == "42"
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert {"ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS"}.isdisjoint(environment)

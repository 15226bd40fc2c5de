"""docs/interface.md names what policy_node has: topics, types and services."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

import rclpy
from still_policy import StillPolicy

from mobile_vla_ros.control import DriveState
from mobile_vla_ros.inference.loading import Loaded
from mobile_vla_ros.policy_node.node import SUCCESS, PolicyNode

PAGE = (Path(__file__).parents[2] / "docs" / "interface.md").read_text(encoding="utf-8")
OF_ANY_NODE = {"/parameter_events", "/rosout", "/policy_node/transition_event"}


def table(title: str) -> dict[str, str]:
    """The second column of the table under a title, by the full name that stands in the first."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([~/\w]+)` \| ([^|]+) \|", section, re.MULTILINE)
    assert rows
    return {re.sub("^~", "/policy_node", name) if name[0] in "~/" else f"/{name}": kind.strip() for name, kind in rows}


@pytest.fixture(params=["raw", "compressed"])
def node(request: pytest.FixtureRequest, alone: None) -> Iterator[PolicyNode]:
    given = ["autostart:=false", f"image_transport:={request.param}", "odometry_timeout:=0.5"]
    rclpy.init(args=["--ros-args", *(word for value in given for word in ("-p", value))])
    node = PolicyNode(lambda: Loaded(StillPolicy()))
    assert node.trigger_configure() is SUCCESS
    yield node
    assert node.close()
    node.destroy_node()
    rclpy.shutdown()


def kinds(found: list[tuple[str, list[str]]]) -> dict[str, str]:
    return {name: " ".join(kinds).replace("/msg", "").replace("/srv", "") for name, kinds in found}


def test_topics(node: PolicyNode) -> None:
    own = (node.get_name(), node.get_namespace())
    heard = kinds(node.get_subscriber_names_and_types_by_node(*own))
    said = kinds(node.get_publisher_names_and_types_by_node(*own))
    assert heard.items() <= table("What it hears").items()
    absent = table("What it hears").keys() - heard.keys()
    assert absent in ({"/camera/image_raw"}, {"/camera/image_raw/compressed"})
    told = table("What it says")
    assert said.keys() - OF_ANY_NODE == told.keys()
    assert all(told[name].startswith(kind) for name, kind in said.items() if name in told)


def test_services(node: PolicyNode) -> None:
    offered = kinds(node.get_service_names_and_types_by_node(node.get_name(), node.get_namespace()))
    triggers = {name: kind for name, kind in offered.items() if kind == "std_srvs/Trigger"}
    assert triggers == table("Services")


def test_states() -> None:
    section = PAGE.partition("## States\n")[2].partition("\n## ")[0]
    states = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE))))
    assert {state.value for state in DriveState} == states - {"unconfigured", "configuring", "inactive", "finalized"}

"""Checks of the ROS installation and of the environment that DDS reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .finding import Finding, error, ok, warning

DISTRIBUTIONS = ("humble", "jazzy", "kilted")  # that package.xml's dependencies are released for
# Above these Linux gives the ports of a domain to programs that ask for any.
SAFE_DOMAINS, DOMAINS = range(102), range(233)


@dataclass(frozen=True)
class RosFacts:
    """What is there of ROS 2.

    Attributes:
        problem: why rclpy cannot be imported; empty if it can.
        middleware: identifier of the RMW implementation in use; empty if rclpy cannot be imported.
        environment: of the process.
    """

    problem: str
    middleware: str
    environment: Mapping[str, str]


def check_ros(facts: RosFacts) -> list[Finding]:
    """Whether a node can start, and whom it will find."""
    if facts.problem:
        advice = "source /opt/ros/<distribution>/setup.bash with the Python that ROS was built for"
        return [error("ROS", f"rclpy cannot be imported ({facts.problem})", advice)]
    return [_distribution(facts.environment), ok("middleware", facts.middleware), _domain(facts.environment)]


def _distribution(environment: Mapping[str, str]) -> Finding:
    name = environment.get("ROS_DISTRO", "")
    if not name:
        return ok("ROS", "rclpy without a ROS distribution (ROS_DISTRO is not set)")
    if name not in DISTRIBUTIONS:
        return warning("ROS", name, f"not tested; {', '.join(DISTRIBUTIONS)} are supported")
    return ok("ROS", name)


def _domain(environment: Mapping[str, str]) -> Finding:
    text = environment.get("ROS_DOMAIN_ID") or "0"
    if not text.isdecimal() or int(text) not in DOMAINS:
        return error("domain", f"ROS_DOMAIN_ID is {text!r}", f"a number from 0 to {DOMAINS[-1]}")
    found, reach = f"ROS_DOMAIN_ID {text}", _reach(environment)
    if int(text) not in SAFE_DOMAINS:
        advice = f"take one up to {SAFE_DOMAINS[-1]}: the ports of later ones may be taken by other programs"
        return warning("domain", f"{found}, {reach}", advice)
    return ok("domain", f"{found}, {reach}")


def _reach(environment: Mapping[str, str]) -> str:
    if environment.get("ROS_LOCALHOST_ONLY") == "1":
        return "this machine only (ROS_LOCALHOST_ONLY)"
    if environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper() in ("LOCALHOST", "OFF"):
        return f"this machine only (ROS_AUTOMATIC_DISCOVERY_RANGE {environment['ROS_AUTOMATIC_DISCOVERY_RANGE']})"
    return "also other machines"

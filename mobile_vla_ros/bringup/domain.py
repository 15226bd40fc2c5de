"""A ROS domain of our own, on this machine only."""

from __future__ import annotations

import os
import socket
from importlib.metadata import version

from ..share import share_path
from .errors import BringUpError

JAZZY = 7  # the rclpy of Jazzy; Humble has 3, Kilted 9
PROFILES = "config/fast_dds.xml"
DOMAINS = range(1, 101)  # their ports lie below those that Linux gives to programs that ask for any
# Of DDS: the port of a domain's first participant; each further one has the next but one.
_BASE_PORT, _DOMAIN_GAIN, _UNICAST_OFFSET, _PARTICIPANT_GAIN = 7400, 250, 10, 2
_PARTICIPANTS = 5  # that are looked for: the first may have left, and others stayed


def free_domain() -> int:
    """A domain id that no participant on this machine uses; where to begin looking depends on the process id.

    Raises:
        BringUpError: all are taken.
    """
    for step in range(len(DOMAINS)):
        domain = DOMAINS[(os.getpid() + step) % len(DOMAINS)]
        first = _BASE_PORT + _DOMAIN_GAIN * domain + _UNICAST_OFFSET
        if all(_is_free(first + _PARTICIPANT_GAIN * number) for number in range(_PARTICIPANTS)):
            return domain
    raise BringUpError(f"every ROS domain from {DOMAINS[0]} to {DOMAINS[-1]} is in use on this machine")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def use_domain(domain: int) -> dict[str, str]:
    """Put this process into the domain, on this machine only; returns the environment for children.

    Unless the environment names another, all get the profile of Fast DDS in which raw pictures fit into shared memory;
    not on Humble, which would add sockets to it that other machines hear.
    """
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.pop("ROS_STATIC_PEERS", None)
    release = rclpy_release()
    if release < JAZZY:  # it does not know the range yet
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
        return dict(os.environ)
    os.environ.pop("ROS_LOCALHOST_ONLY", None)  # overrides the range, with a warning
    name = "FASTRTPS_DEFAULT_PROFILES_FILE" if release == JAZZY else "FASTDDS_DEFAULT_PROFILES_FILE"
    os.environ.setdefault(name, str(share_path(PROFILES)))
    return dict(os.environ)


def rclpy_release() -> int:
    """The major version of rclpy, which tells the distribution wherever it is installed from."""
    return int(version("rclpy").partition(".")[0])

"""policy_node with a policy that goes wrong when a line on standard input demands it."""

from __future__ import annotations

import sys

from ..inference.loading import Loaded
from ..policy_node.node import PolicyNode
from ..robot_node import run
from .demands import GOOD, obey, tell_fault
from .policy import FaultyPolicy


def main() -> int:
    """Run the node; the exit code."""
    policy = FaultyPolicy(lambda _: tell_fault())

    def demand(fault: str) -> None:
        policy.fault = "" if fault == GOOD else fault

    obey(demand)
    return run(lambda: PolicyNode(lambda: Loaded(policy, identity="faulty")))


if __name__ == "__main__":
    sys.exit(main())

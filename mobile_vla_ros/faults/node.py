"""policy_node with a policy that goes wrong, or callbacks that wait, when a line on standard input demands it."""

from __future__ import annotations

import sys
import threading
import time

from ..inference.loading import Loaded
from ..policy_node.node import STEADY, PolicyNode
from ..robot_node import run
from .demands import CALLBACK, GOOD, obey, tell_fault
from .policy import SLOW, FaultyPolicy

_LOOK = 0.01  # s


class FaultyNode(PolicyNode):
    """Has a callback more, which waits when it is told to.

    Args:
        policy: what steers.
        wanted: is set when it is to wait.
    """

    def __init__(self, policy: FaultyPolicy, wanted: threading.Event) -> None:
        super().__init__(lambda: Loaded(policy, identity="faulty"))
        self._wanted = wanted
        self.create_timer(_LOOK, self._wait, clock=STEADY)

    def _wait(self) -> None:
        if self._wanted.is_set():
            self._wanted.clear()
            tell_fault()
            time.sleep(SLOW)


def main() -> int:
    """Run the node; the exit code."""
    policy, wanted = FaultyPolicy(lambda _: tell_fault()), threading.Event()

    def demand(fault: str) -> None:
        if fault == CALLBACK:
            wanted.set()
        else:
            policy.fault = "" if fault == GOOD else fault

    obey(demand)
    return run(lambda: FaultyNode(policy, wanted))


if __name__ == "__main__":
    sys.exit(main())

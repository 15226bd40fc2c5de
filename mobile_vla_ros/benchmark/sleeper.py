"""A process that does nothing but sleep for a period of control, and prints when it woke: s, monotonic.

What it misses is what the machine takes from everybody, and no fault of the node that is measured beside it.
"""

from __future__ import annotations

import contextlib
import sys
import time


def main(period: float) -> None:
    """Sleep until the process is ended."""
    due = time.monotonic()
    while True:
        due += period
        time.sleep(max(0.0, due - time.monotonic()))
        print(f"{time.monotonic():.6f}", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(float(sys.argv[1]))

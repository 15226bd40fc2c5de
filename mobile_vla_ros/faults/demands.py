"""How a child of the bench is told what is to go wrong: lines on its standard input, which nobody else knows."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

GOOD = "good"  # nothing is to go wrong (any more)
CALLBACK = "callback"  # one of the node's is to wait


def obey(demand: Callable[[str], None]) -> None:
    """Pass each line on, in a thread; when whoever demands has ended, so does this process."""

    def read() -> None:
        for line in sys.stdin:
            demand(line.strip())
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=read, name="demands", daemon=True).start()


def tell_fault() -> None:
    """Print when the fault was, on the steady clock that all processes of a machine share."""
    print(f"fault {time.monotonic():.6f}", flush=True)

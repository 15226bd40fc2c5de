"""How the robot goes on after a fault: with exactly what is said of it, and with nothing less."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping

from .bench import ACTIVATE, INSTRUCTION, Bench
from .child import BenchError
from .fault import Fault, GoesOn

STILL = 0.6  # s for which it must stand after each step but the last: longer than a plan takes to move it
RECOVERY = 30.0  # s to drive again: no promise, only an end; DDS may take long to find a process that starts

Step = Callable[[Bench, Fault], None]


def _lift(bench: Bench, _: Fault) -> None:
    bench.restore()


def _instruct(bench: Bench, _: Fault) -> None:
    bench.instruct(INSTRUCTION)


def _arm(bench: Bench, _: Fault) -> None:
    bench.arm()


def _activate(bench: Bench, _: Fault) -> None:
    if not bench.change_state(ACTIVATE):
        raise BenchError("it cannot be activated")


def _release(bench: Bench, _: Fault) -> None:
    bench.release()


def _try_in_vain(bench: Bench, _: Fault) -> None:
    """What helps elsewhere must not help here."""
    bench.trigger("arm")
    bench.publish_instruction(INSTRUCTION)


def _end(bench: Bench, _: Fault) -> None:
    bench.node.send(signal.SIGTERM)
    code = bench.node.wait()
    if code != 0:
        raise BenchError(f"SIGTERM ended it with exit code {code}:\n{bench.node.last_lines}")


def _start(bench: Bench, fault: Fault) -> None:
    bench.start_node(fault.parameters)
    bench.restore()
    bench.bring_up()
    bench.until("it is disarmed", lambda: bench.status.startswith("disarmed"))


STEPS: Mapping[GoesOn, tuple[Step, ...]] = {
    GoesOn.UNTOUCHED: (_lift,),
    GoesOn.ITSELF: (_lift,),
    GoesOn.INSTRUCTION: (_lift, _instruct),
    GoesOn.ARM: (_lift, _arm),
    GoesOn.RESET: (_lift, _release, _arm, _instruct),
    GoesOn.ACTIVATE: (_lift, _activate, _arm, _instruct),
    GoesOn.RESTART: (_lift, _try_in_vain, _end, _start, _instruct, _arm),
    GoesOn.START: (_start, _instruct, _arm),
}


def goes_on(bench: Bench, fault: Fault) -> str:
    """Lift the fault and go on; why that is not as it must be, empty if it is."""
    steps = STEPS[fault.goes_on]
    try:
        for number, step in enumerate(steps):
            begin = time.monotonic()
            step(bench, fault)
            if number + 1 == len(steps):
                bench.until_driving(RECOVERY)
                return ""
            time.sleep(STILL)
            if any(not command.is_zero for command in bench.commands if command.received >= begin):
                done = [one.__name__.strip("_").replace("_", " ") for one in steps[: number + 1]]
                return f"it moved after {', '.join(done)}; expected: {fault.goes_on.value}"
    except BenchError as error:
        return f"to go on ({fault.goes_on.value}): {error}"
    raise AssertionError("there are steps")

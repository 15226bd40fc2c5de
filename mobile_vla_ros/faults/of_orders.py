"""What people and managers do: instructions, arming, emergency stop, transitions, parameters."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import MappingProxyType

from .bench import ACTIVATE, CLEANUP, DEACTIVATE, INSTRUCTION, SHUTDOWN, Bench
from .demands import GOOD
from .fault import Fault, GoesOn, Injected, by_policy
from .judge import Expected
from .policy import SPEED
from .promises import RAMP, T

MAX_WAIT = 20.0  # s for a second node to give up
TOO_LONG = "drive on and on " * 64
OTHER = "drive to the right"


def _say(text: str) -> Callable[[Bench], Injected]:
    return lambda bench: Injected.at(bench.publish_instruction(text))


def _trigger(name: str) -> Callable[[Bench], Injected]:
    def inject(bench: Bench) -> Injected:
        begin = time.monotonic()
        refusal = bench.trigger(name)
        return Injected.at(begin, f"~/{name} was refused: {refusal}" if refusal else "")

    return inject


def _press(bench: Bench) -> Injected:
    return Injected.at(bench.press(True))


def _refused(bench: Bench, name: str, why: str) -> Injected:
    """A Trigger service that must refuse; the commands count from the call on."""
    begin = time.monotonic()
    refusal = bench.trigger(name)
    return Injected.at(begin, "" if why in refusal else f"~/{name} answered {refusal!r}, expected {why!r}")


def _reset_while_pressed(bench: Bench) -> Injected:
    bench.press(True)
    bench.until("the emergency stop is latched", lambda: "emergency stop" in bench.status)
    return _refused(bench, "reset", "still pressed")


def _arm_while_latched(bench: Bench) -> Injected:
    bench.trigger("stop")
    return _refused(bench, "arm", "reset it first")


def _transition(number: int, made: bool = True) -> Callable[[Bench], Injected]:
    def inject(bench: Bench) -> Injected:
        begin = time.monotonic()
        answer = bench.change_state(number)
        return Injected.at(begin, "" if answer is made else f"the transition's success is {answer}")

    return inject


def _disarm_while_it_speeds_up(bench: Bench) -> Injected:
    bench.trigger("disarm")
    bench.until("it stands", lambda: bench.status.startswith("disarmed"))
    bench.arm()
    bench.until("it speeds up", lambda: bench.commands[-1].linear_x > SPEED / 2.0)
    return _trigger("disarm")(bench)


def _parameter(name: str, value: float, why: str) -> Callable[[Bench], Injected]:
    def inject(bench: Bench) -> Injected:
        begin = time.monotonic()
        refusal = bench.set_parameter(name, value)
        return Injected.at(begin, "" if why in refusal else f"{name} = {value}: {refusal!r}, expected {why!r}")

    return inject


def _standing(name: str, value: float, why: str) -> Callable[[Bench], Injected]:
    """Only a robot that is disarmed and stands takes changes; this one it must not take then either."""

    def inject(bench: Bench) -> Injected:
        bench.trigger("disarm")
        bench.until("it stands", lambda: bench.status.startswith("disarmed"))
        return _parameter(name, value, why)(bench)

    return inject


def _second_node(bench: Bench) -> Injected:
    begin = time.monotonic()
    second = bench.another_node({})
    try:
        code = second.wait(MAX_WAIT)
    finally:
        second.kill()
    refused = code == 1 and "is already running" in second.output
    return Injected.at(begin, "" if refused else f"exit code {code}, it printed:\n{second.last_lines}")


def _inactive(bench: Bench) -> Injected:
    """Frames, an instruction and ~/arm must not make a node move that is not active."""
    bench.change_state(DEACTIVATE)
    time.sleep(0.3)  # what was on its way
    bench.publish_instruction(INSTRUCTION)
    return _refused(bench, "arm", "the node is inactive, expected active")


def _not_armed(bench: Bench) -> Injected:
    bench.change_state(DEACTIVATE)
    bench.change_state(ACTIVATE)
    begin = time.monotonic()
    bench.instruct(INSTRUCTION)
    return Injected.at(begin)


def _no_instruction(bench: Bench) -> Injected:
    bench.change_state(DEACTIVATE)
    bench.change_state(ACTIVATE)
    bench.arm()
    return Injected.at(time.monotonic())


def _repeat(bench: Bench, text: str, seconds: float) -> None:
    """Give the same instruction at 10 Hz."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        bench.publish_instruction(text)
        time.sleep(0.1)


def _repeat_while_it_drives(bench: Bench) -> Injected:
    begin = time.monotonic()
    _repeat(bench, INSTRUCTION, 2.0)
    return Injected.at(begin)


def _repeat_after(fault: str) -> Callable[[Bench], Injected]:
    """The policy goes wrong, and is right again at once; the sentence must not give it another chance."""

    def inject(bench: Bench) -> Injected:
        _repeat(bench, INSTRUCTION, 0.3)
        injected = by_policy(fault)(bench)
        bench.until(f"it is {fault}", lambda: bench.status.startswith(("done", "stopped")))
        bench.node.demand(GOOD)
        _repeat(bench, INSTRUCTION, 2.0)
        return injected

    return inject


def _stop_while_repeated(bench: Bench) -> Injected:
    _repeat(bench, INSTRUCTION, 0.5)
    begin = bench.publish_instruction("stop")
    time.sleep(0.1)
    _repeat(bench, INSTRUCTION, 2.0)
    return Injected.at(begin)


STOP_SENTENCES = {
    "English": "Don't move!",
    "Korean": "멈춰 주세요",
    "Japanese": "止まって。",
    "Chinese": "停下",
    "German": "Stehen bleiben!",
    "French": "Arrête-toi !",
    "Spanish": "¡Detente, por favor!",
}
NO_INSTRUCTION = "waiting: no instruction"
STOPPED = "waiting: stopped by the instruction"
LATCHED = "stopped: emergency stop"
AT_ONCE, RAMPS, STANDS, ON = Expected.AT_ONCE, Expected.RAMP, Expected.STANDS, Expected.DRIVES_ON

ORDERS = (
    Fault("instruction empty", _say(""), AT_ONCE, 0.0, GoesOn.INSTRUCTION, NO_INSTRUCTION),
    Fault("instruction blank", _say(" \t\n"), AT_ONCE, 0.0, GoesOn.INSTRUCTION, NO_INSTRUCTION),
    Fault("instruction too long", _say(TOO_LONG), AT_ONCE, 0.0, GoesOn.INSTRUCTION, "expected at most 500"),
    Fault(
        "instruction without a letter",
        _say("..."),
        AT_ONCE,
        0.0,
        GoesOn.INSTRUCTION,
        "stopped: instruction '...' refused",
    ),
    Fault(
        "instruction with control characters",
        _say("go on \x1b[2J"),
        AT_ONCE,
        0.0,
        GoesOn.INSTRUCTION,
        "it has the control character U+001B",
    ),
    *(
        Fault(f"stop in words: {language}", _say(sentence), AT_ONCE, 0.0, GoesOn.INSTRUCTION, STOPPED)
        for language, sentence in STOP_SENTENCES.items()
    ),
    Fault(
        "stop in words, while a sentence is repeated", _stop_while_repeated, AT_ONCE, 0.0, GoesOn.INSTRUCTION, STOPPED
    ),
    Fault("the same sentence at 10 Hz", _repeat_while_it_drives, ON, None, GoesOn.UNTOUCHED),
    Fault(
        "the same sentence at 10 Hz, when the policy has failed",
        _repeat_after("raise"),
        AT_ONCE,
        0.0,
        GoesOn.INSTRUCTION,
        "out of memory",
    ),
    Fault(
        "another instruction",
        _say(OTHER),
        Expected.NEW_PLAN,
        RAMP,
        GoesOn.UNTOUCHED,
        note="the last command that turns as the old one did; it only fades from the first period on",
    ),
    Fault("disarmed", _trigger("disarm"), RAMPS, T + RAMP, GoesOn.ARM, "disarmed by request", watch=1.5),
    Fault(
        "disarmed while it speeds up",
        _disarm_while_it_speeds_up,
        RAMPS,
        T + RAMP,
        GoesOn.ARM,
        "disarmed by request",
        watch=1.5,
    ),
    Fault("stop service", _trigger("stop"), AT_ONCE, 0.0, GoesOn.RESET, LATCHED),
    Fault("emergency_stop is true", _press, AT_ONCE, 0.0, GoesOn.RESET, LATCHED),
    Fault("reset while emergency_stop is true", _reset_while_pressed, STANDS, None, GoesOn.RESET),
    Fault("arm while latched", _arm_while_latched, STANDS, None, GoesOn.RESET),
    Fault(
        "a motion parameter while armed",
        _parameter("camera_timeout", 0.2, "can change only"),
        ON,
        None,
        GoesOn.UNTOUCHED,
    ),
    Fault("a limit while armed", _parameter("limits.linear_x_max", 0.2, "can change only"), ON, None, GoesOn.UNTOUCHED),
    Fault(
        "a parameter that loosens a limit",
        _standing("limits.linear_x_max", 0.6, "loosens the policy's 0.5"),
        STANDS,
        None,
        GoesOn.ARM,
    ),
    Fault(
        "time-outs that are too wide",
        _standing("frozen_timeout", 60.0, "the robot may go 30.050 m blind"),
        STANDS,
        None,
        GoesOn.ARM,
    ),
    Fault("cleanup while active", _transition(CLEANUP, made=False), ON, None, GoesOn.UNTOUCHED),
    Fault("second node of the same name", _second_node, ON, None, GoesOn.UNTOUCHED, watch=0.5),
    Fault("deactivated", _transition(DEACTIVATE), Expected.SILENCE, 0.0, GoesOn.ACTIVATE, "inactive"),
    Fault("not active", _inactive, Expected.NOTHING, None, GoesOn.ACTIVATE, "inactive"),
    Fault("not armed", _not_armed, Expected.NO_MOTION, None, GoesOn.ARM, "disarmed"),
    Fault("no instruction", _no_instruction, Expected.NO_MOTION, None, GoesOn.INSTRUCTION, NO_INSTRUCTION),
)
# Of a robot that is to be driven gently: it brakes as ever.
GENTLE = (
    Fault(
        "disarmed at an acceleration of 0.1",
        _trigger("disarm"),
        RAMPS,
        T + RAMP,
        GoesOn.ARM,
        "disarmed by request",
        MappingProxyType({"limits.linear_acceleration": 0.1}),
        watch=1.5,
    ),
)
ENDS = (Fault("shutdown transition", _transition(SHUTDOWN), Expected.SILENCE, 0.0, GoesOn.RESTART, "finalized"),)

"""Faults of the node's process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from .base import stopping_time
from .bench import COMMAND_TOPIC, Bench
from .demands import CALLBACK
from .fault import Fault, GoesOn, Injected, by_policy
from .judge import Expected
from .policy import SLOW, SPEED
from .promises import T

STOPPED = 1.0  # s
LEAVING = 0.1  # s from a signal to the last zero
BASE = stopping_time(SPEED)
LOOK = 0.2  # s between two looks of the node at who subscribes to its commands
LEASE = 20.0  # s until Fast DDS takes a process that was killed out of the graph


def _starve(bench: Bench) -> Injected:
    """The process does not run for a while; what it does first afterwards counts, so the fault is its end."""
    bench.node.send(signal.SIGSTOP)
    time.sleep(STOPPED)
    return Injected.at(bench.node.send(signal.SIGCONT))


def _wait(bench: Bench) -> Injected:
    """One of the node's callbacks holds up all others; what comes first afterwards counts, so the fault is its end."""
    (begin,) = by_policy(CALLBACK)(bench).begins
    return Injected.at(begin + SLOW)


def _end(number: signal.Signals) -> Callable[[Bench], Injected]:
    def inject(bench: Bench) -> Injected:
        begin = bench.node.send(number)
        code = bench.node.wait()
        return Injected.at(begin, "" if code == 0 else f"exit code {code}:\n{bench.node.last_lines}")

    return inject


def _kill(bench: Bench) -> Injected:
    return Injected.at(bench.node.kill())


def _leave_listener(bench: Bench) -> Injected:
    """It destroys its node, as processes do on Ctrl-C, which others hear of at once."""
    return Injected.at(bench.listener.send(signal.SIGINT))


def _kill_listener(bench: Bench) -> Injected:
    return Injected.at(bench.listener.kill())


def _restart_listener(bench: Bench) -> Injected:
    """Killed, which nobody hears of, and started again; the fault is its new subscription."""
    bench.listener.kill()
    return Injected.at(bench.start_listener())


BEHIND = {"command_topics": f"cmd_vel {COMMAND_TOPIC}"}
LISTENERS = (
    Fault(
        "who takes the commands on ends",
        _leave_listener,
        Expected.AT_ONCE,
        LOOK + T,
        GoesOn.ARM,
        f"subscribes to /{COMMAND_TOPIC}",  # no longer, or nobody any more, where no killed one is left in the graph
        BEHIND,
    ),
    Fault(
        "who takes the commands on is killed and restarted",
        _restart_listener,
        Expected.AT_ONCE,
        LOOK + T,
        GoesOn.ARM,
        f"/mux, which subscribes to /{COMMAND_TOPIC}, was restarted",
        BEHIND,
        note="from the subscription of the new process: Fast DDS has not yet noticed that the old one has gone",
    ),
    Fault(
        "who takes the commands on is killed",
        _kill_listener,
        Expected.AT_ONCE,
        LEASE + LOOK + T,
        GoesOn.ARM,
        f"nobody subscribes to /{COMMAND_TOPIC} any more: /mux has gone",
        BEHIND,
        watch=LEASE + 1.0,
        note="Fast DDS says so 20 s after the last sign of life; until then it drives, for whoever else hears it",
    ),
)
PROCESS = (
    Fault(
        "a callback waits 2 s",
        _wait,
        Expected.FIRST_ZERO,
        T,
        GoesOn.ITSELF,
        note="as for a terminal that takes no more of the log; from its end, meanwhile the base's own timeout counts",
    ),
    Fault(
        "SIGSTOP, after 1 s SIGCONT",
        _starve,
        Expected.FIRST_ZERO,
        T,
        GoesOn.ITSELF,
        note="from waking; meanwhile the base's own timeout counts",
    ),
)
ENDS = (
    Fault("SIGINT", _end(signal.SIGINT), Expected.SILENCE, LEAVING, GoesOn.START),
    Fault("SIGTERM", _end(signal.SIGTERM), Expected.SILENCE, LEAVING, GoesOn.START),
    Fault("SIGHUP", _end(signal.SIGHUP), Expected.SILENCE, LEAVING, GoesOn.START),
    Fault(
        "SIGKILL",
        _kill,
        Expected.BASE,
        BASE,
        GoesOn.START,
        watch=2.0,
        note="the node cannot: a simulated base stands by its own timeout of 0.5 s",
    ),
)

"""Faults of the policy."""

from __future__ import annotations

from types import MappingProxyType

from .bench import Bench
from .fault import Fault, GoesOn, Injected, by_policy
from .judge import Expected
from .policy import DT, SLOW
from .promises import CONFIG, RAMP, T

SILENCE = CONFIG.policy_timeout + T


def _failure(name: str, demand: str, says: str) -> Fault:
    """It answers, and the answer is none: zero at once, not at the next tick."""
    return Fault(name, by_policy(demand), Expected.AT_ONCE, 0.0, GoesOn.INSTRUCTION, f"policy: {says}")


def _slow(name: str, demand: str) -> Fault:
    return Fault(
        name, by_policy(demand, SLOW), Expected.AT_ONCE, SILENCE, GoesOn.ITSELF, "policy: no answer for", watch=SLOW
    )


def _hold(bench: Bench) -> Injected:
    """Nothing of the process runs, so nothing can be sent; what it does first afterwards counts."""
    (begin,) = by_policy("hold")(bench).begins
    return Injected.at(begin + SLOW)


POLICY = (
    Fault(
        "task done",
        by_policy("done"),
        Expected.RAMP,
        CONFIG.stop_dwell + DT + T + RAMP,
        GoesOn.INSTRUCTION,
        "done",
        watch=2.0,
    ),
    _slow("policy sleeps 2 s", "sleep"),
    _slow("policy busy in Python for 2 s", "compute"),
    Fault(
        "policy holds the interpreter 2 s",
        _hold,
        Expected.FIRST_ZERO,
        T,
        GoesOn.ITSELF,
        note="from its end; meanwhile the base's own timeout counts",
    ),
    _failure("policy raises", "raise", "RuntimeError: out of memory"),
    _failure("policy answers NaN", "nan", "velocity is not finite"),
    _failure("policy answers inf", "infinite", "velocity is not finite"),
    _failure("policy out of its range", "far", "linear_x 0.700 is out of the policy's own range"),
    _failure("policy answers a wrong shape", "shape", "velocity has shape (8, 4): expected (n, 2)"),
    _failure("stop probability out of [0, 1]", "probability", "stop is not a probability"),
)
# A policy that may take so long that its last plan ends first.
PATIENT = (
    Fault(
        "plan used up",
        by_policy("sleep", SLOW),
        Expected.RAMP,
        CONFIG.plan_timeout + T + RAMP,
        GoesOn.ITSELF,
        "the plan is used up",
        MappingProxyType({"policy_timeout": 2.0 * SLOW}),
        watch=SLOW,
    ),
)
ENDS = (
    Fault(
        "policy hangs for ever", by_policy("hang"), Expected.AT_ONCE, SILENCE, GoesOn.RESTART, "policy: no answer for"
    ),
    Fault("worker thread dies", by_policy("die"), Expected.AT_ONCE, T, GoesOn.RESTART, "policy: its worker has died"),
)

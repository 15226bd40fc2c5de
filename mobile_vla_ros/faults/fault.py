"""What a fault is: how it is done, what must come of it, and how the robot goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from .bench import Bench
from .judge import Expected

WATCH = 1.0  # s


class GoesOn(str, Enum):
    """What it takes, once the fault has passed, for the robot to drive again; nothing less will do."""

    ITSELF = "by itself"
    UNTOUCHED = "it never stopped"
    INSTRUCTION = "an instruction"
    ARM = "~/arm"
    RESET = "~/reset, ~/arm, an instruction"
    ACTIVATE = "activate, ~/arm, an instruction"
    RESTART = "restart the node"
    START = "start it: disarmed"


@dataclass(frozen=True)
class Injected:
    """A fault that was done.

    Attributes:
        begins: s, steady clock: the fault itself, several times where it comes again and again.
        until: s, steady clock, to which the fault lasts; None: until it is lifted.
        objections: what was not as it must be, beside the commands, in words.
    """

    begins: tuple[float, ...]
    until: float | None = None
    objections: tuple[str, ...] = ()

    @classmethod
    def at(cls, begin: float, *objections: str) -> Injected:
        """One that lasts until it is lifted; empty objections are none."""
        return cls((begin,), None, tuple(text for text in objections if text))


@dataclass(frozen=True)
class Fault:
    """A row of the matrix.

    Attributes:
        name: to choose it by.
        inject: does it to a node that drives.
        expected: of the commands.
        bound: s from the fault to zero that the parameters promise, without the transport; None: no zero is asked for.
        goes_on: what it takes to drive again.
        says: part of what `~/status` must say; empty: nothing is asked of it.
        parameters: of the node.
        watch: s for which the commands are held against what is expected.
        note: for people.
    """

    name: str
    inject: Callable[[Bench], Injected]
    expected: Expected
    bound: float | None
    goes_on: GoesOn
    says: str = ""
    parameters: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    watch: float = WATCH
    note: str = ""


def by_sensors(name: str) -> Callable[[Bench], Injected]:
    """The sensors go wrong."""

    def inject(bench: Bench) -> Injected:
        known = len(bench.sensors.faults)
        bench.sensors.demand(name)
        return Injected.at(bench.fault_time(bench.sensors, known))

    return inject


def by_policy(name: str, lasts: float | None = None) -> Callable[[Bench], Injected]:
    """The policy goes wrong; for so long (s), or until that is lifted."""

    def inject(bench: Bench) -> Injected:
        known = len(bench.node.faults)
        bench.node.demand(name)
        begin = bench.fault_time(bench.node, known)
        return Injected((begin,), None if lasts is None else begin + lasts)

    return inject

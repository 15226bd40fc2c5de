"""Run the matrix: bring the node to driving, do the fault, watch, judge, go on."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .bench import Bench
from .bounds import Rules
from .child import BenchError
from .fault import Fault, Injected
from .going_on import goes_on
from .judge import Verdict, Window, judge
from .policy import BRAKING, LIMITS
from .promises import T

TRANSPORT = 0.15  # s that a command may take to arrive, and what else a busy machine adds to a bound
RULES = Rules(LIMITS, BRAKING, T)


@dataclass(frozen=True)
class Result:
    """A fault that was tried.

    Attributes:
        fault: it.
        zero: s from the fault to the first of the zeros that last; None: none is asked for, or there was none.
        out_of_bounds: commands that must not have been, in words.
        failures: everything else that was not as expected, in words.
        not_run: why it could not be tried; empty: it was.
        goes_on: whether it went on as it must.
    """

    fault: Fault
    zero: float | None = None
    out_of_bounds: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    not_run: str = ""
    goes_on: bool = False

    @property
    def passed(self) -> bool:
        """It was tried, and nothing was wrong."""
        return not (self.not_run or self.out_of_bounds or self.failures) and self.goes_on


def run_faults(faults: Sequence[Fault], begun: Callable[[Fault], None], done: Callable[[Result], None]) -> list[Result]:
    """Try faults one after the other, on one node as long as it lives.

    Args:
        faults: in this order.
        begun: is called before each.
        done: is called after each.
    """
    results = []
    with tempfile.TemporaryDirectory() as folder, closing(Bench(Path(folder))) as bench:
        for fault in faults:
            begun(fault)
            results.append(try_fault(bench, fault))
            done(results[-1])
    return results


def try_fault(bench: Bench, fault: Fault) -> Result:
    """Bring the node to driving, do the fault, watch, judge, and see whether it goes on as it must."""
    try:
        _bring_to_driving(bench, fault)
        injected = fault.inject(bench)
        end = injected.until or max(injected.begins[-1] + fault.watch, time.monotonic())
        time.sleep(max(end - time.monotonic(), 0.0))
    except BenchError as error:
        return Result(fault, not_run=str(error))
    verdicts = [_judged(bench, fault, window) for window in _windows(injected, end)]
    zeros = [verdict.zero for verdict in verdicts if verdict.zero is not None]
    said = [*bench.said(injected.begins[0], end), bench.status]
    wrong = "" if any(fault.says in text for text in said) else f"expected {fault.says!r} of ~/status"
    out = [text for verdict in verdicts for text in verdict.out_of_bounds]
    failures = [text for verdict in verdicts for text in verdict.failures]
    stuck = goes_on(bench, fault)
    others = [text for text in (wrong, stuck) if text]
    if out or failures or wrong:
        others.append(f"~/status said: {'; '.join(said)}")
    return Result(
        fault,
        max(zeros) if len(zeros) == len(verdicts) else None,
        tuple(out),
        (*failures, *injected.objections, *others),
        goes_on=not stuck,
    )


def _bring_to_driving(bench: Bench, fault: Fault) -> None:
    """With a new process, if the present one does not come to drive: a fault must not answer for the one before."""
    try:
        bench.drive(fault.parameters)
    except BenchError:
        bench.start_node(fault.parameters)
        bench.drive(fault.parameters)


def _windows(injected: Injected, end: float) -> list[Window]:
    ends = (*injected.begins[1:], end)
    return [Window(begin, until) for begin, until in zip(injected.begins, ends, strict=True)]


def _judged(bench: Bench, fault: Fault, window: Window) -> Verdict:
    return judge(list(bench.commands), fault.expected, window, (fault.bound or 0.0) + TRANSPORT, RULES)

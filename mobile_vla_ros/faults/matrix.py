"""Every fault, in an order that starts few processes: those that end a node come last."""

from __future__ import annotations

from collections.abc import Sequence

from . import of_inputs, of_orders, of_policy, of_process
from .fault import Fault

MATRIX: tuple[Fault, ...] = (
    *of_inputs.CAMERA,
    *of_policy.POLICY,
    *of_orders.ORDERS,
    *of_process.PROCESS,
    *of_policy.ENDS,
    *of_orders.ENDS,
    *of_process.ENDS,
    *of_inputs.OTHERS,
    *of_process.LISTENERS,
    *of_policy.PATIENT,
    *of_orders.GENTLE,
)


def chosen(names: Sequence[str]) -> tuple[Fault, ...]:
    """The faults of these names, in the order of the matrix; none: all of them.

    Raises:
        ValueError: an unknown name; the message lists them all.
    """
    known = [fault.name for fault in MATRIX]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown fault {unknown[0]!r}, expected one of: {'; '.join(known)}")
    return tuple(fault for fault in MATRIX if not names or fault.name in names)

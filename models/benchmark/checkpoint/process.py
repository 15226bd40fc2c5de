"""Work in a process of its own, with the memory that it took."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from ...memory.process import PeakAnonymous, process_memory


@dataclass(frozen=True)
class Measured:
    """What a piece of work took; bytes of the whole process, libraries included.

    Attributes:
        seconds: of the work, without the process's start.
        peak_rss, peak_anonymous: the most.
        rss, anonymous: at the end, what the work returned still there.
        result: what it said.
    """

    seconds: float
    peak_rss: int
    peak_anonymous: int
    rss: int
    anonymous: int
    result: Any


def measure(threads: int, work: Callable[..., Any], *arguments: Any) -> Measured:
    """Run `work(*arguments)` in a fresh process.

    Args:
        threads: of torch.
        work: a function of a module; returns what can be pickled, and what is to be alive when memory is read at the
            end, as a pair.
        arguments: that can be pickled.
    """
    # A pool would carry on when a child is killed for memory; a pair of pipe ends says so.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, threads, work, arguments))
    process.start()
    sender.close()
    try:
        measured: Measured | Exception = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{work.__name__} ended with exit code {process.exitcode}: killed for memory?") from None
    process.join()
    if isinstance(measured, Exception):
        raise measured
    return measured


def _child(sender: Any, threads: int, work: Callable[..., tuple[Any, Any]], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(threads)
    try:
        with PeakAnonymous() as peak:
            begin = perf_counter()
            result, alive = work(*arguments)
            seconds = perf_counter() - begin
        memory = process_memory()
        del alive
        sender.send(
            Measured(
                seconds=seconds,
                peak_rss=memory.peak_rss or 0,
                peak_anonymous=peak.peak or 0,
                rss=memory.rss,
                anonymous=memory.anonymous or 0,
                result=result,
            )
        )
    except Exception as error:  # noqa: BLE001  said where the work was asked for
        sender.send(RuntimeError(f"{work.__name__}: {type(error).__name__}: {error}"))

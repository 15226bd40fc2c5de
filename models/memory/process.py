"""Memory of this process: what it has, its peaks, and freed memory given back to the kernel."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .kernel import read_sizes

PERIOD = 0.005  # s between two looks at anonymous memory
_PROC = Path("/proc/self")
_RESET_PEAK = "5"  # proc(5), /proc/pid/clear_refs


@dataclass(frozen=True)
class ProcessMemory:
    """Bytes of memory that this process has; None where the system does not say.

    Attributes:
        rss: resident, all kinds.
        anonymous: resident and the process's own, changed pages of private file mappings included; the kernel gets it
            back by swapping only.
        file: resident, of mapped files and shared memory; clean pages of files the kernel takes back when it wants.
        swap: swapped out.
        peak_rss: greatest rss since the start, or since `reset_peak`.
    """

    rss: int
    anonymous: int | None
    file: int | None
    swap: int | None
    peak_rss: int | None


def process_memory(proc: Path = _PROC) -> ProcessMemory:
    """What this process has now.

    On Linux from `status` and, for the kinds, from `smaps_rollup`, which counts pages where `status` may lag by some
    hundred of them; elsewhere rss only, from psutil.

    Args:
        proc: the process's folder.
    """
    if not (proc / "status").exists():
        import psutil  # type: ignore[import-untyped]

        return ProcessMemory(int(psutil.Process().memory_info().rss), None, None, None, None)
    status = read_sizes(proc / "status")
    rss, anonymous = status["VmRSS"], status["RssAnon"]
    if (proc / "smaps_rollup").exists():  # Linux 4.14
        pages = read_sizes(proc / "smaps_rollup")
        rss, anonymous = pages["Rss"], pages["Anonymous"]
    return ProcessMemory(rss, anonymous, rss - anonymous, status["VmSwap"], max(status["VmHWM"], rss))


def reset_peak(proc: Path = _PROC) -> bool:
    """Let the kernel count `peak_rss` anew from the present rss; whether it did (Linux only, and not everywhere)."""
    # Without the check a new file would be made where there is none.
    if not (proc / "clear_refs").exists():
        return False
    try:
        (proc / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def give_back() -> bool:
    """Give what nobody uses any more back to the machine: garbage, torch's reserve on GPUs, and the heap's.

    Returns:
        Whether the C library can give memory back.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return trim_heap()


def trim_heap() -> bool:
    """Give freed memory back to the kernel; glibc keeps gigabytes of it otherwise. Whether the C library can."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or no way to ask for it
        return False
    trim(ctypes.c_size_t(0))
    return True


class PeakAnonymous:
    """Context manager: the peak of anonymous memory while it is open.

    The kernel keeps a peak of rss, in which mapped files count too, and none of anonymous memory, so a thread looks
    every 5 ms: what lives shorter is missed, as is what comes and goes while another thread holds Python's lock.

    Attributes:
        before: bytes on entry; None where the system does not say (no /proc).
        peak: the most bytes seen since; None likewise.
    """

    def __init__(self) -> None:
        self.before: int | None = None
        self.peak: int | None = None
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> PeakAnonymous:
        try:
            descriptor = os.open(_PROC / "statm", os.O_RDONLY)
        except OSError:
            return self
        self.before = self.peak = _anonymous(descriptor)
        self._end.clear()
        self._thread = threading.Thread(target=self._watch, args=(descriptor,), name="peak of memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self, descriptor: int) -> None:
        ended = False
        try:
            while not ended:
                ended = self._end.wait(PERIOD)
                self.peak = max(self.peak or 0, _anonymous(descriptor))
        finally:
            os.close(descriptor)


def _anonymous(descriptor: int) -> int:
    """Bytes, from /proc/self/statm: the cheapest of the kernel's answers, resident less what files and shares have."""
    _, resident, shared, *_ = os.pread(descriptor, 256, 0).split()
    return (int(resident) - int(shared)) * mmap.PAGESIZE

"""Memory allocation on the CPU during training."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory for the next step instead of giving it back to the kernel.

    Every optimizer step allocates and frees the same few large activations; mapping them anew each time costs page
    faults, on some machines more than the arithmetic. No effect where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)

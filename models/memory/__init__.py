"""Memory of the process and of the machine: what is used, what is free, what a policy needs, what can be given back.

GB are 1e9 bytes throughout.
"""

from .available import Available, available_memory
from .disk import check_disk, free_disk
from .pages import drop_pages, resident_bytes
from .preflight import RESERVE, Need, preflight
from .process import PeakAnonymous, ProcessMemory, give_back, process_memory, reset_peak, trim_heap
from .units import size_text

__all__ = [
    "RESERVE",
    "Available",
    "Need",
    "PeakAnonymous",
    "ProcessMemory",
    "available_memory",
    "check_disk",
    "drop_pages",
    "free_disk",
    "give_back",
    "preflight",
    "process_memory",
    "reset_peak",
    "resident_bytes",
    "size_text",
    "trim_heap",
]

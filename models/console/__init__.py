"""A policy at a prompt: single steps, their latency, the memory they take."""

from .program import run_console
from .shell import Console

__all__ = ["Console", "run_console"]

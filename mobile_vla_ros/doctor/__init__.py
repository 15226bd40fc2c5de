"""Checks of the machine that is to run a policy: what was found, and what to do about it.

Each check is a function of facts that are handed to it; gathering facts is kept apart.
"""

from .finding import Finding, State

__all__ = ["Finding", "State"]

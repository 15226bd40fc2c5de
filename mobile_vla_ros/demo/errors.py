"""What can go wrong in a demonstration."""

from __future__ import annotations

from ..bringup.errors import BringUpError


class DemoError(BringUpError):
    """The demonstration cannot begin or go on; the message says why and what can be done."""

"""What can go wrong with processes of nodes."""

from __future__ import annotations


class BringUpError(RuntimeError):
    """Nodes cannot be started, or do not go on; the message says why and what can be done."""

"""Training: words are grounded in pictures first, then runs are imitated."""

from .dry_run import dry_run
from .run import train

__all__ = ["dry_run", "train"]

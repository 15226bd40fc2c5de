"""Training: words are grounded in pictures first, then runs are imitated."""

from .run import train

__all__ = ["train"]

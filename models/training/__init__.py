"""Training: words are grounded in pictures first, then runs are imitated."""

from .train import train

__all__ = ["train"]

"""What a policy directory holds, and whether it is there. No torch here: nodes ask before they import it."""

from __future__ import annotations

from pathlib import Path

from .errors import PolicyDirectoryError

CONFIG, WEIGHTS, GOLDEN, TRAINING, CARD = (
    "config.json",
    "model.safetensors",
    "golden.safetensors",
    "training.json",
    "README.md",
)
TOKENIZER, CLIP_TOKENIZER = "tokenizer", "tokenizer_clip"
ENTRIES = (CONFIG, WEIGHTS, GOLDEN, TRAINING, CARD, TOKENIZER)


def missing_entries(root: Path) -> list[str]:
    """Names of the entries that every policy directory has and this one lacks."""
    return [name for name in ENTRIES if not (root / name).exists()]


def check_entries(root: Path) -> None:
    """Check that a policy directory is there, with everything that it must hold.

    Raises:
        PolicyDirectoryError: The directory does not exist, is a file, or lacks entries; all of them are named.
    """
    if not root.exists():
        raise PolicyDirectoryError(f"policy directory {root} does not exist")
    if not root.is_dir():
        raise PolicyDirectoryError(f"policy directory {root} is a file, expected a directory")
    missing = missing_entries(root)
    if missing:
        raise PolicyDirectoryError(f"policy directory {root} lacks {', '.join(missing)}")

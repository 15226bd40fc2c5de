"""Bytes in words. `mobile_vla_models.memory` says them too, but imports torch, which may be what is missing."""


def size_text(size: int) -> str:
    """Bytes as "12.34 GB" or "0.21 MB"."""
    return f"{size / 1e9:.2f} GB" if size >= 10**9 else f"{size / 1e6:.2f} MB"

"""Bytes in words."""

_UNITS = ((1e9, "GB", 2), (1e6, "MB", 1), (1e3, "kB", 1))


def size_text(size: int) -> str:
    """Bytes in the largest decimal unit that they fill, such as "3.71 GB" or "12.5 MB"."""
    for factor, unit, digits in _UNITS:
        if abs(size) >= factor:
            return f"{size / factor:.{digits}f} {unit}"
    return f"{size} bytes"

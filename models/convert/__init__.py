"""Policies of other frameworks as policies of this package."""

from __future__ import annotations

from .robovlms import Conversion, convert_robovlms, read_robovlms

__all__ = ["Conversion", "convert_robovlms", "read_robovlms"]

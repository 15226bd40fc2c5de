"""What the processor computes natively, as Linux tells it."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def cpu_flags() -> frozenset[str]:
    """The instruction set extensions of the first core ("flags" on x86, "Features" on ARM); none if not told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def has_bfloat16() -> bool:
    """Whether matrices of bfloat16 are multiplied natively."""
    return not cpu_flags().isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def has_float16() -> bool:
    """Whether matrices of float16 are multiplied natively; no x86 before AVX512-FP16 does."""
    return not cpu_flags().isdisjoint({"avx512_fp16", "amx_fp16", "asimdhp"})


def has_int8() -> bool:
    """Whether torch multiplies matrices of int8 natively: elsewhere its `_int_mm` is a loop, slower than float32."""
    return not cpu_flags().isdisjoint({"avx512_vnni", "amx_int8"})

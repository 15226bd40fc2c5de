"""Names of dtypes in files of weights."""

from __future__ import annotations

import torch


def _present(names: dict[str, str]) -> dict[str, torch.dtype]:
    """Those that the installed torch has: the float8 family grew over its versions."""
    return {key: getattr(torch, name) for key, name in names.items() if hasattr(torch, name)}


SAFETENSORS = _present(
    {
        "F64": "float64",
        "F32": "float32",
        "F16": "float16",
        "BF16": "bfloat16",
        "F8_E4M3": "float8_e4m3fn",
        "F8_E5M2": "float8_e5m2",
        "F8_E4M3FNUZ": "float8_e4m3fnuz",
        "F8_E5M2FNUZ": "float8_e5m2fnuz",
        "F8_E8M0": "float8_e8m0fnu",
        "I64": "int64",
        "I32": "int32",
        "I16": "int16",
        "I8": "int8",
        "U64": "uint64",
        "U32": "uint32",
        "U16": "uint16",
        "U8": "uint8",
        "BOOL": "bool",
        "C64": "complex64",
    }
)
"""By their names in a safetensors header."""

READABLE = frozenset({*SAFETENSORS.values(), torch.complex128})
"""Whose elements are whole bytes that need nothing else to be read: not the quantised and the packed ones."""

STORAGE_TYPES = _present(
    {
        "DoubleStorage": "float64",
        "FloatStorage": "float32",
        "HalfStorage": "float16",
        "BFloat16Storage": "bfloat16",
        "LongStorage": "int64",
        "IntStorage": "int32",
        "ShortStorage": "int16",
        "CharStorage": "int8",
        "ByteStorage": "uint8",
        "BoolStorage": "bool",
        "ComplexFloatStorage": "complex64",
        "ComplexDoubleStorage": "complex128",
        "QUInt8Storage": "quint8",
        "QInt8Storage": "qint8",
        "QInt32Storage": "qint32",
        "QUInt4x2Storage": "quint4x2",
        "QUInt2x4Storage": "quint2x4",
        "UntypedStorage": "uint8",
        "_UntypedStorage": "uint8",
    }
)
"""By the classes of torch's storages."""

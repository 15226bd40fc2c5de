"""What pickles may make here: tensors and plain data. All other names become `Foreign` records.

Nothing in these tables imports or calls what a name stands for in Python.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import torch

from .foreign import Foreign, kind
from .storage import StorageReference, tensor_entry

Arguments = tuple[Any, ...]
KEY_PARTS = 1000
"""Most parts of a key in a dict: hashing tuples that hold one tuple twice, many levels deep, would take for ever."""

_PLAIN_TENSORS = frozenset(
    {"torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"}
)
_NUMPY_NUMBERS = {
    "b1": "?",
    "f2": "e",
    "f4": "f",
    "f8": "d",
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
}

HARMLESS = frozenset(
    {
        # Tensors that are more than a view of a storage.
        "torch._utils._rebuild_device_tensor_from_cpu_tensor",
        "torch._utils._rebuild_device_tensor_from_numpy",
        "torch._utils._rebuild_meta_tensor_no_storage",
        "torch._utils._rebuild_nested_tensor",
        "torch._utils._rebuild_qtensor",
        "torch._utils._rebuild_sparse_csr_tensor",
        "torch._utils._rebuild_sparse_tensor",
        "torch._utils._rebuild_wrapper_subclass",
        "torch._utils._rebuild_xla_tensor",
        "torch.device",
        "torch.Generator",
        "torch.serialization._get_layout",
        # Values.
        "argparse.Namespace",
        "builtins.dict",
        "builtins.list",
        "builtins.object",
        "builtins.range",
        "builtins.slice",
        "builtins.tuple",
        "collections.Counter",
        "collections.deque",
        "datetime.date",
        "datetime.datetime",
        "datetime.time",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "fractions.Fraction",
        "ipaddress.IPv4Address",
        "types.SimpleNamespace",
        "uuid.UUID",
        *(
            f"{module}.{name}"
            for module in ("pathlib", "pathlib._local")
            for name in ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
        ),
        # numpy's arrays, types and random generators.
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.numeric._frombuffer",
        "numpy._core.numeric._frombuffer",
        "numpy.random._pickle.__bit_generator_ctor",
        "numpy.random._pickle.__generator_ctor",
        "numpy.random._pickle.__randomstate_ctor",
    }
)
"""What runs nothing of the file's choosing when it is called with any arguments."""


def key_of(value: Any) -> Any:
    """A value as a key of a dict or a member of a set.

    Raises:
        UnpicklingError: no key, or one with very many parts.
    """
    parts, left = [value], KEY_PARTS
    while parts:
        part = parts.pop()
        if isinstance(part, tuple | frozenset):
            left -= len(part) + 1
            if left < 0:
                raise UnpicklingError(f"a key of a dict has more than {KEY_PARTS} parts")
            parts.extend(part)
        elif isinstance(part, list | dict | set | bytearray):
            raise UnpicklingError(f"a {type(part).__name__} is the key of a dict or in a set")
    return value


def mapping(pairs: Any) -> dict[Any, Any]:
    """A dict of a dict's or a list's pairs.

    Raises:
        UnpicklingError: neither.
    """
    if isinstance(pairs, dict):
        return dict(pairs)
    if not isinstance(pairs, list | tuple) or any(not isinstance(p, list | tuple) or len(p) != 2 for p in pairs):
        raise UnpicklingError("a dict is made of something else than pairs")
    return {key_of(key): value for key, value in pairs}


def _tensor(function: str, storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Any:
    """`_rebuild_tensor`, `_v2` (requires_grad, hooks[, metadata]), `_v3` (requires_grad, hooks, dtype[, metadata])."""
    if not isinstance(storage, StorageReference):
        raise UnpicklingError(f"{function} is given a {kind(storage)}, expected a storage")
    dtype, metadata = storage.dtype, rest[2:]
    if function.endswith("_v3"):
        dtype, metadata = rest[2], rest[3:]
        if not isinstance(dtype, torch.dtype):
            raise UnpicklingError(f"{function} is given a {kind(dtype)}, expected a dtype")
    entry = None if any(metadata) else tensor_entry(storage, offset, shape, stride, dtype)
    # Metadata says that elements are to be conjugated or negated: the bytes alone are another tensor.
    return Foreign(function, (storage, offset, shape, stride, *rest)) if entry is None else entry


def _parameter(data: Any, *_rest: Any) -> Any:
    return data


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    return mapping(pairs)


def _default_dict(_factory: Any = None, pairs: Any = ()) -> dict[Any, Any]:
    return mapping(pairs)


def _set(members: Any = ()) -> set[Any]:
    return {key_of(member) for member in _sequence(members)}


def _frozenset(members: Any = ()) -> frozenset[Any]:
    return frozenset(_set(members))


def _size(sizes: Any = ()) -> tuple[Any, ...]:
    return tuple(_sequence(sizes))


def _bytes(data: Any = b"", encoding: Any = None) -> bytes:
    """`bytes`, `bytearray` and `_codecs.encode`, as pickles of protocol 2 write bytes: text in Latin-1."""
    if isinstance(data, bytes) and encoding is None:
        return data
    if isinstance(data, str) and encoding in ("latin1", "latin-1"):
        return data.encode("latin-1")
    raise UnpicklingError(f"bytes are made of a {kind(data)} in the encoding {kind(encoding)}")


def _complex(real: Any = 0.0, imaginary: Any = 0.0) -> complex:
    if not isinstance(real, int | float) or not isinstance(imaginary, int | float):
        raise UnpicklingError(f"a complex number is made of a {kind(real)} and a {kind(imaginary)}")
    return complex(real, imaginary)


def _object(made: Any, *args: Any) -> Foreign:
    """An object without its constructor: what `copyreg` and numpy make before the state is set."""
    if not isinstance(made, Foreign) or made.args is not None:
        raise UnpicklingError(f"an object is made of a {kind(made)}, expected a class")
    return Foreign(made.name, args)


def _numpy_scalar(dtype: Any, data: Any = None) -> Any:
    """A number where it is one; other numpy scalars stay a record."""
    code = dtype.args[0] if isinstance(dtype, Foreign) and dtype.args else None
    state = dtype.state if isinstance(dtype, Foreign) else None
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"
    letter = _NUMPY_NUMBERS.get(code) if isinstance(code, str) else None
    if letter is None or order not in ("<", ">", "|", "=") or not isinstance(data, bytes):
        return Foreign("numpy.generic", (dtype, data))
    return struct.unpack((">" if order == ">" else "<") + letter, data)[0]


def _sequence(values: Any) -> list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any]:
    if not isinstance(values, list | tuple | set | frozenset):
        raise UnpicklingError(f"a collection is made of a {kind(values)}")
    return values


def _tensor_maker(name: str) -> Callable[..., Any]:
    return lambda *args: _tensor(name, *args)


_MAKERS: dict[str, Callable[..., Any]] = {
    **{
        name: _tensor_maker(name)
        for name in (
            "torch._utils._rebuild_tensor",
            "torch._utils._rebuild_tensor_v2",
            "torch._utils._rebuild_tensor_v3",
        )
    },
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "builtins.set": _set,
    "builtins.frozenset": _frozenset,
    "builtins.complex": _complex,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "_codecs.encode": _bytes,
    "copyreg._reconstructor": _object,
    "copyreg.__newobj__": _object,
    "copyreg.__newobj_ex__": _object,
    "numpy.core.multiarray._reconstruct": _object,
    "numpy._core.multiarray._reconstruct": _object,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
}
_FROM_TYPE = frozenset(f"torch.{module}._rebuild_from_type{v}" for module in ("_tensor", "tensor") for v in ("", "_v2"))


def make(function: Foreign, args: Arguments, called: Callable[[str], None]) -> Any:
    """What a pickle gets that calls a global with arguments.

    Args:
        function: the global.
        args: the arguments.
        called: is told the name where Python would run something that is not known to be harmless.

    Raises:
        UnpicklingError: arguments that a known function does not take.
    """
    if function.name in _FROM_TYPE:
        return _from_type(args, called)
    maker = _MAKERS.get(function.name)
    if maker is None:
        if function.name not in HARMLESS:
            called(function.name)
        return Foreign(function.name, args)
    try:
        return maker(*args)
    except (TypeError, IndexError, struct.error) as error:
        raise UnpicklingError(f"{function.name} is called with arguments that it does not take ({error})") from error


def _from_type(args: Arguments, called: Callable[[str], None]) -> Any:
    """A tensor of a class of its own, or with attributes: (function, class, arguments, attributes)."""
    if len(args) != 4 or not isinstance(args[2], tuple) or not all(isinstance(part, Foreign) for part in args[:2]):
        raise UnpicklingError("a tensor of a class is described by something else than function, class and arguments")
    made = make(args[0], args[2], called)
    return made if args[1].name in _PLAIN_TENSORS else Foreign(args[1].name, (made,), args[3])


def has_maker(name: str) -> bool:
    """Whether objects of this class become plain data here."""
    return name in _MAKERS


def dtype_named(module: str, name: str) -> torch.dtype | None:
    """The dtype that a global means, if it means one."""
    return _DTYPES.get(name) if module == "torch" else None


_DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}

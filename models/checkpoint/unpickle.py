"""Pickles read as data: an interpreter of the opcodes that has no way to import or call anything.

It is no subclass of `pickle.Unpickler`. That one calls what is on its stack, and is safe only if every way to it is
closed: `find_class`, but also the cache of `copyreg` extensions, attributes named `__setstate__`, and a memo that a
file can make as large as it likes. Here the standard library only cuts the bytes into opcodes (`pickletools.genops`),
and the opcodes that would run something write down its name instead.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, cast

from ..errors import CheckpointError
from .foreign import Foreign, kind, printable
from .rebuild import dtype_named, has_maker, key_of, make, mapping
from .storage import StorageReference, Wanted, wanted_storage
from .window import Window

MOST_PICKLE = 512 * 2**20
"""Bytes of the largest pickle that is read; a 7 GB checkpoint has some 0.5 MiB beside its tensors."""
MOST_OPERATIONS = 10_000_000
"""Opcodes of the longest pickle that is read: one byte can make an object of 200."""

Locate = Callable[[Wanted], tuple[Path, int]]
"""Says in which file, at which byte, a storage begins. CheckpointError if it is not there as a whole."""
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


@dataclass(frozen=True)
class Unpickled:
    """What a pickle holds.

    Attributes:
        document: of dicts, lists, tuples, sets, numbers, strings, bytes, None, dtypes, TensorEntry and Foreign.
        calls: dotted names that Python's own unpickler would have called, beyond the harmless ones.
        end: the byte in the file after the pickle.
    """

    document: Any
    calls: tuple[str, ...]
    end: int


def unpickle(file: Window, path: Path, locate: Locate) -> Unpickled:
    """Read a pickle without running it.

    Args:
        file: at its first byte.
        path: named in errors.
        locate: finds the storages that it refers to.

    Raises:
        CheckpointError: no pickle, cut off, damaged, or too large.
    """
    machine = _Machine(locate)
    try:
        document = machine.run(file)
    except CheckpointError:
        raise
    except RecursionError as error:
        raise CheckpointError(f"{path}: its pickle is nested too deep") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: its pickle needs more memory than there is") from error
    except (UnpicklingError, struct.error, ValueError, LookupError, TypeError, ArithmeticError, EOFError) as error:
        raise CheckpointError(f"{path}: its pickle is damaged or cut off ({printable(str(error))})") from error
    return Unpickled(document, tuple(machine.calls), file.tell())


def nowhere(_wanted: Wanted) -> tuple[Path, int]:
    """For pickles that have no storages beside them.

    Raises:
        UnpicklingError: always.
    """
    raise UnpicklingError("it refers to a storage, where none can be")


class _Machine:
    """The stack machine of pickle's protocols 0 to 5."""

    def __init__(self, locate: Locate) -> None:
        self.calls: dict[str, None] = {}
        self._locate = locate
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._spent = 0

    def run(self, file: Window) -> Any:
        for opcode, argument, _ in pickletools.genops(cast(IO[bytes], file)):
            self._spend(1)
            if opcode.name == "STOP":
                break
            if opcode.name in _PUSHED:
                self._stack.append(argument)
            else:
                _OPERATIONS[opcode.name](self, argument)
        if not self._stack:
            raise UnpicklingError("it ends without a value")
        return self._stack.pop()

    def _spend(self, operations: int) -> None:
        self._spent += operations
        if self._spent > MOST_OPERATIONS:
            raise UnpicklingError(f"it takes more than {MOST_OPERATIONS} operations")

    # The stack and the memo.

    def _mark(self, _: None) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _above_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _pop(self, _: None) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._above_mark()

    def _pop_mark(self, _: None) -> None:
        self._above_mark()

    def _duplicate(self, _: None) -> None:
        self._stack.append(self._stack[-1])

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise UnpicklingError(f"it takes object {index} again, which it did not put aside")
        self._stack.append(self._memo[index])

    # Plain data.

    def _protocol(self, protocol: int) -> None:
        if protocol > 5:
            raise UnpicklingError(f"protocol {protocol}, known: 0 to 5")

    def _frame(self, _: int) -> None:
        """Says how many bytes may be read ahead: none are."""

    def _binary_string(self, text: str) -> None:
        """Of Python 2, where text is bytes; `genops` gives them as Latin-1."""
        self._stack.append(text.encode("latin-1").decode("utf-8", "backslashreplace"))

    def _byte_array(self, data: bytearray) -> None:
        self._stack.append(bytes(data))

    def _tuple(self, _: None) -> None:
        items = self._above_mark()
        self._stack.append(tuple(items))

    def _list(self, _: None) -> None:
        items = self._above_mark()
        self._stack.append(items)

    def _dict(self, _: None) -> None:
        items = self._above_mark()
        self._stack.append({})
        self._set_pairs(items)

    def _frozenset(self, _: None) -> None:
        members = self._above_mark()
        self._stack.append(frozenset([key_of(member) for member in members]))

    def _append(self, _: None) -> None:
        self._extend([self._stack.pop()])

    def _appends(self, _: None) -> None:
        self._extend(self._above_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self._target("append")
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Foreign):
            target.elements.extend(values)
        else:
            raise UnpicklingError(f"appends to a {kind(target)}")

    def _set_item(self, _: None) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_pairs([key, value])

    def _set_items(self, _: None) -> None:
        self._set_pairs(self._above_mark())

    def _set_pairs(self, items: list[Any]) -> None:
        target = self._target("__setitem__")
        if isinstance(target, Foreign):
            target = target.items
        if not isinstance(target, dict) or len(items) % 2:
            raise UnpicklingError(f"sets items of a {kind(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key_of(key)] = value

    def _add_items(self, _: None) -> None:
        members = self._above_mark()
        target = self._target("add")
        if isinstance(target, set):
            target.update(key_of(member) for member in members)
        elif isinstance(target, Foreign):
            target.elements.extend(members)
        else:
            raise UnpicklingError(f"adds to a {kind(target)}")

    def _target(self, method: str) -> Any:
        """The object that an opcode changes. To change a global, such as os.environ, is as good as to call it."""
        target = self._stack[-1]
        if isinstance(target, Foreign) and target.args is None:
            self._called(f"{target.name}.{method}")
        return target

    # What Python would import and run.

    def _called(self, name: str) -> None:
        self.calls[printable(name)] = None

    def _push_global(self, module: str, name: str) -> None:
        module = _PYTHON_2.get(module, module)
        dtype = dtype_named(module, name)
        self._stack.append(Foreign(printable(f"{module}.{name}")) if dtype is None else dtype)

    def _global(self, names: str) -> None:
        module, _, name = names.partition(" ")
        self._push_global(module, name)

    def _stack_global(self, _: None) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnpicklingError(f"a global is named by a {kind(module)} and a {kind(name)}")
        self._push_global(module, name)

    def _extension(self, code: int) -> None:
        """A global under a number that `copyreg` knows on the machine where the file was made."""
        self._stack.append(Foreign(f"copyreg extension {code}"))

    def _instance(self, names: str) -> None:
        args = tuple(self._above_mark())
        self._global(names)
        self._call(self._stack.pop(), args)

    def _object(self, _: None) -> None:
        function, *args = self._above_mark()
        self._call(function, tuple(args))

    def _reduce(self, _: None) -> None:
        args, function = self._stack.pop(), self._stack.pop()
        self._call(function, args)

    def _call(self, function: Any, args: Any) -> None:
        if not isinstance(function, Foreign) or not isinstance(args, tuple):
            raise UnpicklingError(f"calls a {kind(function)} with a {kind(args)}")
        self._spend(_copied(args))
        if function.args is None:
            self._stack.append(make(function, args, self._called))
        else:
            self._called(f"{function.name}(...)")
            self._stack.append(Foreign(f"{function.name}(...)", args))

    def _new_object(self, _: None) -> None:
        args, made = self._stack.pop(), self._stack.pop()
        self._construct(made, args)

    def _new_object_with_keywords(self, _: None) -> None:
        keywords, args, made = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self._construct(made, (*args, *mapping(keywords).items()))

    def _construct(self, made: Any, args: Any) -> None:
        """A class's `__new__` without its `__init__`: how data of a class is written, and no call."""
        if not isinstance(made, Foreign) or made.args is not None or not isinstance(args, tuple):
            raise UnpicklingError(f"makes an object of a {kind(made)} with a {kind(args)}")
        self._spend(_copied(args))
        self._stack.append(make(made, args, self._called) if has_maker(made.name) else Foreign(made.name, args))

    def _build(self, _: None) -> None:
        state = self._stack.pop()
        target = self._target("__setstate__")
        if isinstance(target, dict):
            # Attributes of an OrderedDict: torch keeps versions of modules there.
            return
        if not isinstance(target, Foreign):
            raise UnpicklingError(f"sets the state of a {kind(target)}")
        method = target.attributes.get("__setstate__")
        if isinstance(method, Foreign):
            self._called(method.name)
        if isinstance(target.state, dict) and isinstance(state, dict):
            self._spend(_copied((target.state, state)))
            state = {**target.state, **state}
        target.state = state

    def _persistent(self, identifier: str) -> None:
        self._stack.append(Foreign("persistent id", (identifier,)))

    def _binary_persistent(self, _: None) -> None:
        identifier = self._stack.pop()
        tag = identifier[0] if isinstance(identifier, tuple) and identifier else None
        if tag == "storage":
            self._stack.append(self._storage(identifier))
        elif tag == "module" and len(identifier) > 1:
            # A class of a module, followed by its source code.
            self._stack.append(identifier[1])
        else:
            self._stack.append(Foreign("persistent id", (identifier,)))

    def _storage(self, identifier: tuple[Any, ...]) -> StorageReference:
        wanted, view = wanted_storage(identifier)
        file, begin = self._locate(wanted)
        first, count = (0, wanted.numel) if view is None else view
        return StorageReference(
            kind(identifier[1]),
            (),
            key=wanted.key,
            dtype=wanted.dtype,
            file=file,
            begin=begin,
            first=first * wanted.dtype.itemsize,
            last=(first + count) * wanted.dtype.itemsize,
        )

    def _buffer(self, _: None) -> None:
        raise UnpicklingError("it refers to a buffer outside of it")


_PUSHED = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    }
)
"""Opcodes whose argument is the value."""


def _copied(values: tuple[Any, ...]) -> int:
    """What a copy of the values costs, in operations: else one that is named again and again would fill the memory."""
    return sum(
        len(value) // 64 if isinstance(value, str | bytes) else len(value)
        for value in values
        if isinstance(value, str | bytes | list | tuple | dict | set | frozenset)
    )


def _pushing(make_value: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine._stack.append(make_value())


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def operation(machine: _Machine, _: Any) -> None:
        if len(machine._stack) < count:
            raise UnpicklingError(f"a tuple of {count} is made of {len(machine._stack)} values")
        machine._stack[-count:] = [tuple(machine._stack[-count:])]

    return operation


_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine._protocol,
    "FRAME": _Machine._frame,
    "MARK": _Machine._mark,
    "POP": _Machine._pop,
    "POP_MARK": _Machine._pop_mark,
    "DUP": _Machine._duplicate,
    "NONE": _pushing(lambda: None),
    "NEWTRUE": _pushing(lambda: True),
    "NEWFALSE": _pushing(lambda: False),
    "EMPTY_TUPLE": _pushing(tuple),
    "EMPTY_LIST": _pushing(list),
    "EMPTY_DICT": _pushing(dict),
    "EMPTY_SET": _pushing(set),
    "BYTEARRAY8": _Machine._byte_array,
    "BINSTRING": _Machine._binary_string,
    "SHORT_BINSTRING": _Machine._binary_string,
    "TUPLE": _Machine._tuple,
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "LIST": _Machine._list,
    "DICT": _Machine._dict,
    "FROZENSET": _Machine._frozenset,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "ADDITEMS": _Machine._add_items,
    "GET": _Machine._get,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "PUT": _Machine._put,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._memoize,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "EXT1": _Machine._extension,
    "EXT2": _Machine._extension,
    "EXT4": _Machine._extension,
    "INST": _Machine._instance,
    "OBJ": _Machine._object,
    "REDUCE": _Machine._reduce,
    "NEWOBJ": _Machine._new_object,
    "NEWOBJ_EX": _Machine._new_object_with_keywords,
    "BUILD": _Machine._build,
    "PERSID": _Machine._persistent,
    "BINPERSID": _Machine._binary_persistent,
    "NEXT_BUFFER": _Machine._buffer,
    "READONLY_BUFFER": _Machine._buffer,
}

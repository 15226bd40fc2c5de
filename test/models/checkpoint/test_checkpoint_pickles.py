"""Pickles that attack: nothing in them is run, and what they would have run is named."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import pickled_by_hand, rewrite_zip, save

from mobile_vla_models.checkpoint import content
from mobile_vla_models.checkpoint import unpickle as unpickle_module
from mobile_vla_models.checkpoint.reader import read_checkpoint, state_dict
from mobile_vla_models.errors import CheckpointError

EXTENSION = 241
FORMATS = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def attacks(command: str) -> dict[str, tuple[bytes, str]]:
    """Pickles that run a command when Python loads them, and the name of what they call."""
    argument, system = text(command), b"cposix\nsystem\n"
    code = text(f"__import__('os').system({command!r})")
    evil = system + argument + b"\x85R"
    return {
        "reduce": (b"\x80\x02" + evil + b".", "posix.system"),
        "eval": (b"\x80\x02cbuiltins\neval\n" + code + b"\x85R.", "builtins.eval"),
        "eval of Python 2": (b"\x80\x02c__builtin__\neval\n" + code + b"\x85R.", "builtins.eval"),
        "in a state dict": (
            b"\x80\x02}" + text("state_dict") + b"}" + text("a.weight") + evil + b"ss.",
            "posix.system",
        ),
        "as a key": (b"\x80\x02}" + evil + b"K\x01s.", "posix.system"),
        "thrown away": (b"\x80\x02" + evil + b"0}.", "posix.system"),
        "old instance": (b"(" + argument + b"iposix\nsystem\n.", "posix.system"),
        "old object": (b"(" + system + argument + b"o.", "posix.system"),
        "state": (
            b"\x80\x02cargparse\nNamespace\n)\x81}" + text("__setstate__") + system + b"sb" + argument + b"b.",
            "posix.system",
        ),
        "slots": (
            b"\x80\x02cargparse\nNamespace\n)\x81N}" + text("__setstate__") + system + b"s\x86b" + argument + b"b.",
            "posix.system",
        ),
        "extension": (b"\x80\x02\x82" + bytes([EXTENSION]) + argument + b"\x85R.", f"copyreg extension {EXTENSION}"),
        "persistent id": (b"\x80\x02" + evil + b"Q.", "posix.system"),
        "dotted name": (
            b"\x80\x04" + text("torch.serialization") + text("os.system") + b"\x93" + argument + b"\x85R.",
            "torch.serialization.os.system",
        ),
        "getattr": (
            b"\x80\x02cbuiltins\ngetattr\ncos\npath\n" + text("os") + b"\x86R0"
            b"cbuiltins\ngetattr\ncbuiltins\n__import__\n" + text("os") + b"\x85R" + text("system") + b"\x86R"
            + argument + b"\x85R.",
            "builtins.getattr(...)",
        ),
        "tensor of a class": (
            b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(" + system + b"ctorch\nTensor\n" + argument + b"\x85}tR.",
            "posix.system",
        ),
        "nested file": (
            b"\x80\x02ctorch.storage\n_load_from_bytes\nC"
            + bytes([len(legacy_file(evil))])
            + legacy_file(evil)
            + b"\x85R.",
            "torch.storage._load_from_bytes",
        ),
    }  # fmt: skip


def legacy_file(body: bytes) -> bytes:
    head = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + pickle.dumps(1001, protocol=2)
    return head + pickle.dumps({"little_endian": True}, protocol=2) + b"\x80\x02" + body + b"." + b"\x80\x02]."


NAMES = list(attacks(""))


@pytest.fixture
def extension() -> Iterator[None]:
    copyreg.add_extension("posix", "system", EXTENSION)
    yield
    copyreg.remove_extension("posix", "system", EXTENSION)


@pytest.mark.usefixtures("extension")
@FORMATS
@pytest.mark.parametrize("name", NAMES)
def test_attack_is_not_run_and_named(name: str, legacy: bool, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickled, called = attacks(f"touch {canary}")[name]
    path = pickled_by_hand(pickled, tmp_path / "m.pt", legacy)
    checkpoint = read_checkpoint(path)
    with suppress(CheckpointError):
        state_dict(checkpoint)
    assert not canary.exists()
    assert called in checkpoint.calls
    # It is an attack: torch.load, told to trust the file, runs it.
    with suppress(Exception):
        torch.load(path, weights_only=False)
    assert canary.exists()


@pytest.mark.usefixtures("extension")
def test_cached_extension_is_not_run(tmp_path: Path) -> None:
    cache: dict[int, Any] = copyreg._extension_cache
    canary = tmp_path / "canary"
    cache[EXTENSION] = os.system
    try:
        pickled, _ = attacks(f"touch {canary}")["extension"]
        read_checkpoint(pickled_by_hand(pickled, tmp_path / "m.pt"))
    finally:
        del cache[EXTENSION]
    assert not canary.exists()


class Harmful:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@FORMATS
def test_object_in_a_state_dict(legacy: bool, tmp_path: Path) -> None:
    document = {"state_dict": {"a": torch.ones(2), "b": Harmful(f"touch {tmp_path}/canary")}, "epoch": 1}
    checkpoint = read_checkpoint(save(document, tmp_path / "m.pt", legacy))
    assert checkpoint.calls == ("posix.system",)
    with pytest.raises(CheckpointError, match=r"b \(posix\.system\)"):
        state_dict(checkpoint)
    assert not (tmp_path / "canary").exists()


def test_environment_is_not_changed_and_change_is_named(tmp_path: Path) -> None:
    pickled = b"\x80\x02cos\nenviron\n" + text("MOBILE_VLA_CANARY") + text("1") + b"s."
    checkpoint = read_checkpoint(pickled_by_hand(pickled, tmp_path / "m.pt"))
    assert "MOBILE_VLA_CANARY" not in os.environ
    assert checkpoint.calls == ("os.environ.__setitem__",)


def test_names_are_shown_without_control_characters(tmp_path: Path) -> None:
    pickled = b"\x80\x04" + text("\x1b[2Jposix\0") + text("system\n\u202e" + 500 * "x") + b"\x93)R."
    (called,) = read_checkpoint(pickled_by_hand(pickled, tmp_path / "m.pt")).calls
    assert called.startswith(r"\x1b[2Jposix\x00.system\n\u202exxx")
    assert called.isprintable()
    assert len(called) < 200


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x04K\x01" + text("system") + b"\x93.",
        b"\x80\x04" + text("os") + b"K\x01\x93.",
        b"\x80\x02" + text("print") + b")R.",
        b"\x80\x02cposix\nsystem\nK\x01R.",
        b"\x80\x02}]K\x01s.",
        b"\x80\x02}}K\x01s.",
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02K\x01}b.",
        b"\x80\x02]cx\ny\n)\x81K\x01s.",
        b"\x80\x02h\x05.",
        b"\x80\x02q\x05.",
        b"\x80\x020.",
        b"\x80\x02\x86.",
        b"\x80\x02t.",
        b"\x80\x02.",
        b"\x80\x02",
        b"\x80\x09}.",
        b"\x80\x05\x97.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00)))NtR.",
        b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
        b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02" + text("storage") + b"\x85Q.",
        b"\x80\x02(" + text("storage") + b"cposix\nsystem\n" + text("0") + text("cpu") + b"K\x01tQ.",
        b"\x80\x02(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"J\xff\xff\xff\xfftQ.",
        b"\x80\x02(" + text("storage") + b"ctorch\nFloatStorage\n" + text("7") + text("cpu") + b"K\x01tQ.",
    ],
)
def test_malformed_pickles_are_refused(pickled: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"m\.pt"):
        read_checkpoint(pickled_by_hand(pickled, tmp_path / "m.pt"))


def nested(levels: int) -> bytes:
    """A tuple that holds one tuple twice, which holds one tuple twice, ...: 2**levels to whoever walks it."""
    return b")" + b"2\x86" * levels


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (b"\x80\x02}" + nested(60) + b"Ns.", "more than 1000 parts"),
        (b"\x80\x04(" + nested(60) + b"\x91.", "more than 1000 parts"),
        (b"\x80\x02r\xff\xff\xff\x7f.", "damaged"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".", "cut off"),
        (b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".", "cut off"),
        (b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b".", "cut off"),
        (b"\x80\x02X" + struct.pack("<I", 2**31) + b".", "cut off"),
    ],
)
def test_small_pickles_take_little_memory_and_time(pickled: bytes, message: str, tmp_path: Path) -> None:
    path = pickled_by_hand(pickled, tmp_path / "m.pt")
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_far_memo_takes_little_memory(tmp_path: Path) -> None:
    path = pickled_by_hand(b"\x80\x02}r\xff\xff\xff\x7f.", tmp_path / "m.pt")
    tracemalloc.start()
    try:
        assert read_checkpoint(path).document == {}
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_deep_nesting_is_read_or_refused(tmp_path: Path) -> None:
    pickled = b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."
    assert isinstance(read_checkpoint(pickled_by_hand(pickled, tmp_path / "m.pt")).document, list)
    make, tensor = b"ctorch._tensor\n_rebuild_from_type_v2\n", b"ctorch\nTensor\n"
    pickled = b"\x80\x02" + make + (b"(" + make + tensor) * 5000 + b")" + b"}t" * 5000 + b"R."
    with pytest.raises(CheckpointError, match="nested too deep"):
        read_checkpoint(pickled_by_hand(pickled, tmp_path / "m.pt"))


def test_operations_and_copies_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpickle_module, "MOST_OPERATIONS", 1000)
    path = pickled_by_hand(b"\x80\x02]" + b"}a" * 600 + b".", tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="more than 1000 operations"):
        read_checkpoint(path)
    codecs = b"c_codecs\nencode\nq\x00" + text("a" * 6400) + b"q\x01" + text("latin1") + b"q\x02"
    path = pickled_by_hand(b"\x80\x02" + codecs + b"h\x00h\x01h\x02\x86R" * 11 + b".", tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="more than 1000 operations"):
        read_checkpoint(path)


def test_large_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_vla_models.checkpoint.torch_zip.MOST_PICKLE", 1000)
    path = pickled_by_hand(b"\x80\x02" + text("x" * 2000) + b".", tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"data\.pkl has 20\d\d bytes, at most 1000"):
        read_checkpoint(path)
    monkeypatch.setattr("mobile_vla_models.checkpoint.torch_legacy.MOST_PICKLE", 1000)
    path = pickled_by_hand(b"\x80\x02" + text("x" * 2000) + b".", tmp_path / "m.pt", legacy=True)
    with pytest.raises(CheckpointError, match="does not end by byte"):
        read_checkpoint(path)


TENSOR = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((%sctorch\nFloatStorage\n%s%sK\x04tQ%%s%%s%%s\x89}tR."


@pytest.mark.parametrize(
    ("offset", "shape", "stride", "message"),
    [
        (b"K\x00", b"K\x05\x85", b"K\x01\x85", "ends at byte 20"),
        (b"K\x01", b"K\x04\x85", b"K\x01\x85", "ends at byte 20"),
        (b"K\x00", b"K\x02K\x02\x86", b"K\x04K\x01\x86", "ends at byte 24"),
        (b"K\x03", b"K\x02\x85", b"J\xff\xff\xff\xff\x85", "whole numbers from 0"),
        (b"J\xff\xff\xff\xff", b"K\x02\x85", b"K\x01\x85", "whole numbers from 0"),
        (b"K\x00", b"J\xff\xff\xff\xff\x85", b"K\x01\x85", "whole numbers from 0"),
        (b"K\x00", b"\x88\x85", b"K\x01\x85", "whole numbers from 0"),
        (b"K\x00", b"K\x02\x85", b")", "whole numbers from 0"),
        (b"K\x00", b"J\xff\xff\xff\x7f\x85", b"K\x00\x85", "repeats the 16 bytes"),
        (b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"K\x01\x85", b"K\x01\x85", "ends at byte"),
    ],
)
def test_tensors_beyond_their_storage_are_refused(
    offset: bytes, shape: bytes, stride: bytes, message: str, tmp_path: Path
) -> None:
    template = TENSOR % (text("storage"), text("0"), text("cpu"))
    path = save({"a": torch.ones(4)}, tmp_path / "m.pt")
    good = template % (b"K\x00", b"K\x04\x85", b"K\x01\x85")
    assert read_checkpoint(rewrite_zip(path, {"data.pkl": good})).document.shape == (4,)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(rewrite_zip(path, {"data.pkl": template % (offset, shape, stride)}))


def test_views_of_old_files(tmp_path: Path) -> None:
    """View metadata (key, offset, size), as torch before 1.0 wrote it."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> tuple[Any, ...] | None:
            if not isinstance(value, View):
                return None
            return ("storage", torch.FloatStorage, "7", "cpu", 6, ("8", value.offset, 3))

    class Document:
        def __init__(self, offset: int, size: int) -> None:
            self.offset, self.size = offset, size

        def __reduce__(self) -> tuple[Any, ...]:
            shape = (self.size,)
            return torch._utils._rebuild_tensor_v2, (View(self.offset), 0, shape, (1,), False, {})

    def write(offset: int, size: int) -> Path:
        body = io.BytesIO()
        Pickler(body, protocol=2).dump({"a": Document(offset, size)})
        storage = struct.pack("<q", 6) + torch.arange(6.0).numpy().tobytes()
        pickled = legacy_file(b"N")
        head = pickled[: pickled.rindex(b"\x80\x02N.")]
        path = tmp_path / "old.pt"
        path.write_bytes(head + body.getvalue() + pickle.dumps(["7"], protocol=2) + storage)
        return path

    entry = read_checkpoint(write(2, 3)).document["a"]
    assert content.read(entry).tolist() == [2.0, 3.0, 4.0]
    assert content.read(entry).equal(torch.load(tmp_path / "old.pt")["a"])
    assert entry.offset == entry.storage + 8
    with pytest.raises(CheckpointError, match="ends at byte 24 of storage 7, which ends at 20"):
        read_checkpoint(write(2, 4))
    with pytest.raises(CheckpointError, match="a view ends at element 7"):
        read_checkpoint(write(4, 3))


class View:
    def __init__(self, offset: int) -> None:
        self.offset = offset


def test_second_use_of_an_old_storage_is_no_larger_than_the_first(tmp_path: Path) -> None:
    def reference(count: int) -> bytes:
        named = text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
        return b"(" + named + b"K" + bytes([count]) + b"NtQ"

    head = legacy_file(b"N")
    head = head[: head.rindex(b"\x80\x02N.")]
    tail = pickle.dumps(["0"], protocol=2) + struct.pack("<q", 2) + bytes(8)
    path = tmp_path / "m.pt"
    path.write_bytes(head + b"\x80\x02" + reference(2) + reference(1) + b"\x86." + tail)
    assert len(read_checkpoint(path).document) == 2
    path.write_bytes(head + b"\x80\x02" + reference(2) + reference(4) + b"\x86." + tail)
    with pytest.raises(CheckpointError, match="gives storage 0 16 bytes, after 8 before"):
        read_checkpoint(path)

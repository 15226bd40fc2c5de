"""Which files of Fast DDS are left behind."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mobile_vla_ros.shared_memory import YOUNG, left_behind, remove_left_behind

SEGMENT = ["fastdds_0123456789abcdef", "fastdds_0123456789abcdef_el"]
PORT = ["fastrtps_port7411", "fastrtps_port7411_sl", "sem.fastrtps_port7411_mutex"]
OTHERS = ["fastdds_0123", "lttng-ust-wait-6", "fastdds_portrait", "my_fastdds_port7411"]


def make(folder: Path, names: list[str], age: float = YOUNG + 60.0) -> None:
    for name in names:
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age,) * 2)


@contextmanager
def held(file: Path, how: int) -> Iterator[None]:
    with file.open("rb") as lock:
        fcntl.flock(lock, how)
        yield


def test_files_without_a_lock_are_removed_and_others_stay(tmp_path: Path) -> None:
    make(tmp_path, SEGMENT + PORT + OTHERS)
    assert remove_left_behind(tmp_path) == len(SEGMENT + PORT)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(OTHERS)


@pytest.mark.parametrize("how", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_what_a_process_holds_stays(how: int, tmp_path: Path) -> None:
    make(tmp_path, SEGMENT + PORT)
    with held(tmp_path / "fastrtps_port7411_sl", how):
        assert left_behind(tmp_path) == [tmp_path / name for name in SEGMENT]
    assert len(left_behind(tmp_path)) == len(SEGMENT + PORT)


def test_what_has_just_been_made_stays(tmp_path: Path) -> None:
    make(tmp_path, SEGMENT)
    (tmp_path / SEGMENT[1]).touch()  # its lock comes in a moment
    assert left_behind(tmp_path) == []


def test_a_machine_without_such_a_folder_has_none(tmp_path: Path) -> None:
    assert left_behind(tmp_path / "shm") == []


def test_what_is_only_written_to_stays(tmp_path: Path) -> None:
    make(tmp_path, ["fastdds_port7411", "sem.fastdds_port7411_mutex"])  # a writer takes no lock
    assert left_behind(tmp_path) == []


def test_files_of_other_users_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, SEGMENT + PORT)

    unlink = Path.unlink

    def refuse_some(file: Path) -> None:
        if "port" in file.name:
            raise PermissionError(file)
        unlink(file)

    monkeypatch.setattr(Path, "unlink", refuse_some)
    assert remove_left_behind(tmp_path) == len(SEGMENT)
    assert left_behind(tmp_path) == [tmp_path / name for name in PORT]

"""Files stay open between reads, each process its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mobile_vla_models.data.opened import Opened


class Handle:
    opened: list[str]
    closed: list[str]

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.opened.append(path.name)

    def close(self) -> None:
        self.closed.append(self.name)


@pytest.fixture
def handles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Handle]:
    monkeypatch.setattr(Handle, "opened", [], raising=False)
    monkeypatch.setattr(Handle, "closed", [], raising=False)
    for name in "abc":
        (tmp_path / name).touch()
    return Handle


def test_files_stay_open_and_the_one_not_used_for_longest_is_closed(handles: type[Handle], tmp_path: Path) -> None:
    cache: Opened[Handle] = Opened(handles, most=2)
    for name in "abacab":
        with cache.use(tmp_path / name) as handle:
            assert handle.name == name
    assert handles.opened == ["a", "b", "c", "b"]
    assert handles.closed == ["b", "c"]


def test_a_file_that_was_replaced_is_opened_anew(handles: type[Handle], tmp_path: Path) -> None:
    cache: Opened[Handle] = Opened(handles, most=2)
    with cache.use(tmp_path / "a"):
        pass
    os.utime(tmp_path / "a", (1, 1))
    with cache.use(tmp_path / "a"):
        pass
    assert handles.opened == ["a", "a"]
    (tmp_path / "a").unlink()
    with pytest.raises(FileNotFoundError), cache.use(tmp_path / "a"):
        pass


def test_a_forked_process_opens_its_own_and_leaves_those_of_its_parent(
    handles: type[Handle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache: Opened[Handle] = Opened(handles, most=1)
    with cache.use(tmp_path / "a") as parents:
        monkeypatch.setattr(os, "getpid", lambda: 1)
        # As after a fork in the midst of a read: the parent's lock is held, by nobody who is there.
        with cache.use(tmp_path / "a") as own:
            assert own is not parents
    assert handles.opened == ["a", "a"]
    assert handles.closed == []

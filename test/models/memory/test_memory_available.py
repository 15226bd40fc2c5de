from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
import torch
from fake_machine import GB, UNLIMITED_V1, FakeMachine
from hypothesis import given, settings
from hypothesis import strategies as st

from mobile_vla_models.memory import Available, available_memory
from mobile_vla_models.memory.available import shares_memory
from mobile_vla_models.memory.cgroup import cgroup_limits

CPU = torch.device("cpu")
CUDA = torch.device("cuda:0")
TOTAL, FREE, AVAILABLE = 16 * 1024**3, 2 * 1024**3, 6 * 1024**3


def test_without_cgroups_it_is_what_the_kernel_estimates(machine: FakeMachine) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    available = available_memory(CPU, machine.root)
    assert available == Available(AVAILABLE, TOTAL, "MemAvailable")
    assert str(available) == "MemAvailable: 6.44 GB of 17.18 GB"


def test_a_limit_above_the_own_cgroup_binds(machine: FakeMachine) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    machine.cgroup_v2("/robot/policy/worker")
    machine.group_v2("robot/policy/worker", "max", 3 * GB)
    machine.group_v2("robot/policy", str(6 * GB), 4 * GB, inactive=GB)
    machine.group_v2("robot", str(8 * GB), 4 * GB)
    available = available_memory(CPU, machine.root)
    assert available == Available(3 * GB, 6 * GB, "cgroup /robot/policy")
    assert str(available) == "cgroup /robot/policy: 3.00 GB of 6.00 GB"


def test_a_limit_that_leaves_more_than_the_machine_has_does_not_bind(machine: FakeMachine) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    machine.cgroup_v2("/robot")
    machine.group_v2("robot", str(15 * GB), GB)
    assert available_memory(CPU, machine.root).source == "MemAvailable"


def test_the_size_above_which_processes_are_put_to_sleep_is_a_limit(machine: FakeMachine) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    machine.cgroup_v2("/robot")
    machine.group_v2("robot", str(6 * GB), 2 * GB, high=str(5 * GB))
    assert available_memory(CPU, machine.root) == Available(3 * GB, 5 * GB, "cgroup /robot")


def test_a_cgroup_beyond_its_limit_leaves_nothing(machine: FakeMachine) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    machine.cgroup_v2("/robot")
    machine.group_v2("robot", str(GB), 2 * GB)
    assert available_memory(CPU, machine.root).bytes == 0


def test_version_1_is_walked_up_too_and_no_limit_is_none(machine: FakeMachine) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    machine.cgroup_v1("/docker/abc")
    machine.group_v1("docker/abc", UNLIMITED_V1, GB)
    machine.group_v1("docker", 5 * GB, 3 * GB, inactive=GB // 2)
    machine.group_v1("", UNLIMITED_V1, 4 * GB)
    assert available_memory(CPU, machine.root) == Available(5 * GB // 2, 5 * GB, "cgroup /docker")
    machine.group_v1("docker", UNLIMITED_V1, 3 * GB)
    assert available_memory(CPU, machine.root).source == "MemAvailable"


@pytest.mark.parametrize(
    ("own", "top"), [("/docker/abc", "/docker/abc"), ("/../other", "/"), ("/elsewhere", "/docker")]
)
def test_a_container_that_sees_only_its_own_cgroup_is_under_that_one(machine: FakeMachine, own: str, top: str) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    machine.cgroup_v1(own, top)
    machine.group_v1("", 4 * GB, 3 * GB)
    machine.group_v1("../other", 0, 0)  # a folder beside what is mounted is no cgroup of this process
    assert available_memory(CPU, machine.root) == Available(GB, 4 * GB, f"cgroup {top}")


def test_a_cgroup_inside_what_a_container_sees_is_found(machine: FakeMachine) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    machine.cgroup_v2("/docker/abc/worker", top="/docker/abc")
    machine.group_v2("worker", str(GB), 0)
    machine.group_v2("", str(2 * GB), 0)
    assert [group.path for group in cgroup_limits(machine.root)] == ["/docker/abc/worker", "/docker/abc"]


limits = st.one_of(st.none(), st.integers(0, 20 * GB))
groups = st.lists(st.tuples(limits, st.integers(0, 20 * GB), st.integers(0, 5 * GB)), max_size=5)


@settings(max_examples=30)
@given(groups, st.integers(0, 16 * 1024**2))
def test_it_is_the_least_of_all_levels(levels: list[tuple[int | None, int, int]], available_kb: int) -> None:
    with TemporaryDirectory() as folder:
        machine = FakeMachine(Path(folder))
        machine.meminfo(TOTAL, 0, available_kb * 1024)
        machine.cgroup_v2("/" + "/".join("abcde"[: len(levels)]))
        figures = [available_kb * 1024]
        for depth, (limit, usage, inactive) in enumerate(levels, start=1):
            machine.group_v2("/".join("abcde"[:depth]), "max" if limit is None else str(limit), usage, inactive)
            if limit is not None:
                figures.append(max(limit - usage + inactive, 0))
        assert available_memory(CPU, machine.root).bytes == min(figures)


def test_this_machine_has_memory() -> None:
    available = available_memory(CPU)
    assert 0 < available.bytes <= available.total


def as_cuda(patch: pytest.MonkeyPatch, free: int, total: int, *, integrated: bool) -> None:
    patch.setattr(torch.cuda, "mem_get_info", lambda device: (free, total))
    patch.setattr(torch.cuda, "get_device_name", lambda device: "Orin")
    patch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(is_integrated=int(integrated)))


def test_a_gpu_with_memory_of_its_own_is_asked(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    as_cuda(monkeypatch, 5 * GB, 8 * GB, integrated=False)
    assert available_memory(CUDA, machine.root) == Available(5 * GB, 8 * GB, "free on cuda:0 (Orin)")


def test_a_jetson_does_not_count_the_file_cache_as_free(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    as_cuda(monkeypatch, 5 * GB, TOTAL - GB, integrated=True)
    available = available_memory(CUDA, machine.root)
    assert available == Available(FREE, TOTAL - GB, "MemFree, shared with cuda:0", AVAILABLE)
    assert str(available).endswith("2.15 GB of 16.18 GB, 6.44 GB if the file cache is dropped")


def test_a_jetson_whose_driver_says_less_is_believed(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.meminfo(TOTAL, FREE, AVAILABLE)
    as_cuda(monkeypatch, GB, TOTAL, integrated=True)
    expected = Available(GB, TOTAL, "free on cuda:0, shared with the CPU", GB + AVAILABLE - FREE)
    assert available_memory(CUDA, machine.root) == expected


@pytest.mark.parametrize(
    ("path", "text", "shared"),
    [
        ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3", True),
        ("proc/device-tree/model", "NVIDIA Jetson Orin NX Engineering Reference\0", True),
        ("proc/device-tree/model", "Raspberry Pi 5\0", False),
    ],
)
def test_a_jetson_is_known_by_its_files_too(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, path: str, text: str, shared: bool
) -> None:
    as_cuda(monkeypatch, GB, GB, integrated=False)
    assert not shares_memory(CUDA, machine.root)
    machine.write(path, text)
    assert shares_memory(CUDA, machine.root) is shared


def test_other_devices_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="free memory of device meta is not known: expected cpu or cuda"):
        available_memory(torch.device("meta"))

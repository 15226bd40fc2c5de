"""Checks of facts that are handed in; no ROS, no GPU, no particular machine."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mobile_vla_ros.doctor import Finding, State
from mobile_vla_ros.doctor.gather import board, gpu_hardware, memory_facts, power_mode, rmem_max
from mobile_vla_ros.doctor.gpu import check_onnx_gpu, check_torch_gpu
from mobile_vla_ros.doctor.machine import (
    Board,
    check_board,
    check_disk,
    check_memory,
    check_shared_memory,
    check_socket_buffers,
)
from mobile_vla_ros.doctor.probe import Package, probe
from mobile_vla_ros.doctor.ros import RosFacts, check_ros
from mobile_vla_ros.doctor.software import PACKAGES, check_packages, check_python, release
from mobile_vla_ros.doctor.table import table

CPU = {"cuda": False, "cuda_build": None}


def states(findings: list[Finding]) -> dict[str, State]:
    return {finding.check: finding.state for finding in findings}


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 9), State.ERROR), ((3, 10), State.OK), ((3, 13), State.OK), ((3, 14), State.WARNING)],
)
def test_python(version: tuple[int, int], state: State) -> None:
    assert check_python(version).state is state


@pytest.mark.parametrize(
    ("text", "numbers"), [("2.8.0a0+nv24.8", (2, 8, 0)), ("1.26.4", (1, 26, 4)), ("5.20", (5, 20)), ("", ())]
)
def test_release(text: str, numbers: tuple[int, ...]) -> None:
    assert release(text) == numbers


def installed(**versions: str | None) -> dict[str, Package]:
    """All packages in good versions, but for those that are named."""
    good = {"numpy": "2.2.6", "torch": "2.8.0", "transformers": "5.20.2", "pydantic": "2.14.3", "cv2": "4.10.0"}
    found = {name: Package(good.get(name, "99.0")) for name in PACKAGES}
    absent = Package(None, "ModuleNotFoundError: No module named ...")
    return found | {name: absent if version is None else Package(version) for name, version in versions.items()}


def test_good_packages() -> None:
    assert set(states(check_packages(installed())).values()) == {State.OK}


@pytest.mark.parametrize(
    ("name", "version"),
    [("numpy", "1.19.5"), ("numpy", "3.0.0"), ("torch", "2.3.0"), ("transformers", "4.57.1"), ("pydantic", "1.10.2")],
)
def test_a_version_that_does_not_work(name: str, version: str) -> None:
    bad = [finding for finding in check_packages(installed(**{name: version})) if finding.state is not State.OK]
    assert [(finding.check, finding.state) for finding in bad] == [(name, State.ERROR)]
    assert version in bad[0].found
    assert bad[0].advice


def test_the_numpy_of_ubuntu_22_04_will_do() -> None:
    assert states(check_packages(installed(numpy="1.21.5")))["numpy"] is State.OK


@pytest.mark.parametrize("numpy", ["2.2.6", "1.19.5", None])
def test_no_advice_breaks_the_opencv_of_apt(numpy: str | None) -> None:
    path = "/usr/lib/python3/dist-packages/cv2/__init__.py"
    broken = Package(None, "ImportError: numpy.core.multiarray failed to import", path=path)
    found = check_packages(installed(numpy=numpy) | {"cv2": broken})
    advice = {finding.check: finding.advice for finding in found if finding.state is State.ERROR}
    assert set(advice) == ({"cv2"} if numpy == "2.2.6" else {"cv2", "numpy"})
    assert all("numpy==1.26.4" in text and "opencv-python" not in text for text in advice.values())
    assert all("numpy==1.26.4" not in finding.advice for finding in check_packages(installed(numpy=None)))


def test_what_is_missing_is_an_error_only_where_it_is_needed() -> None:
    found = states(check_packages(installed(torch=None, onnxruntime=None)))
    assert found["torch"] is State.ERROR
    assert found["onnxruntime"] is State.OK


def test_a_package_that_is_broken_is_told_from_one_that_is_missing() -> None:
    broken = installed() | {"cv2": Package(None, "ImportError: numpy.core.multiarray failed to import")}
    (finding,) = (finding for finding in check_packages(broken) if finding.check == "cv2")
    assert finding.state is State.ERROR
    assert "numpy.core.multiarray" in finding.found


def test_probing_survives_a_package_that_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crashes_at_import.py").write_text("import os; os._exit(11)")
    (tmp_path / "raises_at_import.py").write_text("raise RuntimeError('no driver')")
    (tmp_path / "says_its_version.py").write_text("__version__ = '1.2'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    names = ("says_its_version", "raises_at_import", "is_not_there", "crashes_at_import", "comes_after")
    found = probe(names)
    assert tuple(found) == names
    assert found["says_its_version"] == Package("1.2", path=str(tmp_path / "says_its_version.py"))
    assert found["raises_at_import"].path == str(tmp_path / "raises_at_import.py")
    assert found["raises_at_import"].error == "RuntimeError: no driver"
    assert found["is_not_there"].missing
    assert "exit code 11" in found["crashes_at_import"].error
    assert not found["crashes_at_import"].missing
    assert found["comes_after"].error == "not tried, since crashes_at_import does not import"


def test_probing_says_what_torch_and_onnxruntime_can_use() -> None:
    found = probe(("torch", "onnxruntime"))
    assert set(found["torch"].facts) >= {"cuda", "cuda_build"}
    assert "CPUExecutionProvider" in found["onnxruntime"].facts["providers"]
    assert release(found["torch"].version or "") >= (2, 6)


def test_a_package_that_does_not_say_its_version_is_asked_of_who_installed_it() -> None:
    assert release(probe(("typing_extensions",))["typing_extensions"].version or "") >= (4,)


def test_a_gpu_that_torch_uses() -> None:
    facts = {"cuda": True, "cuda_build": "12.6", "device": "Orin", "free": 9 * 10**9, "total": 16 * 10**9}
    finding = check_torch_gpu(Package("2.8.0", facts=facts), "Jetson")
    assert finding.state is State.OK
    assert finding.found == "Orin, CUDA 12.6, 9.00 GB of 16.00 GB free"


def test_a_torch_without_cuda_is_named_where_there_is_a_gpu() -> None:
    assert check_torch_gpu(Package("2.8.0", facts=CPU), None).state is State.OK
    replaced = check_torch_gpu(Package("2.8.0", facts=CPU), "Jetson")
    assert replaced.state is State.WARNING
    assert "built without CUDA" in replaced.found
    blind = check_torch_gpu(Package("2.8.0", facts={"cuda": False, "cuda_build": "12.6"}), "NVIDIA GPU")
    assert blind.state is State.WARNING
    assert "cannot use it" in blind.found
    assert check_torch_gpu(Package(None, "ModuleNotFoundError: torch"), None).state is State.ERROR


def test_onnxruntime_providers() -> None:
    cpu = Package("1.23.2", facts={"providers": ["CPUExecutionProvider"]})
    both = Package("1.23.2", facts={"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]})
    found = [check_onnx_gpu(cpu, None), check_onnx_gpu(cpu, "Jetson"), check_onnx_gpu(both, "Jetson")]
    assert [finding.state for finding in found if finding] == [State.OK, State.WARNING, State.OK]
    assert check_onnx_gpu(Package(None, "ModuleNotFoundError: onnxruntime"), "Jetson") is None


@pytest.mark.parametrize(
    ("environment", "problem", "expected"),
    [
        ({"ROS_DISTRO": "humble"}, "", {"ROS": State.OK, "middleware": State.OK, "domain": State.OK}),
        ({}, "", {"ROS": State.OK, "middleware": State.OK, "domain": State.OK}),
        ({"ROS_DISTRO": "foxy"}, "", {"ROS": State.WARNING, "middleware": State.OK, "domain": State.OK}),
        ({"ROS_DOMAIN_ID": "150"}, "", {"ROS": State.OK, "middleware": State.OK, "domain": State.WARNING}),
        ({"ROS_DOMAIN_ID": "300"}, "", {"ROS": State.OK, "middleware": State.OK, "domain": State.ERROR}),
        ({"ROS_DOMAIN_ID": "one"}, "", {"ROS": State.OK, "middleware": State.OK, "domain": State.ERROR}),
        ({"ROS_DISTRO": "humble"}, "ModuleNotFoundError: No module named 'rclpy'", {"ROS": State.ERROR}),
    ],
)
def test_ros(environment: dict[str, str], problem: str, expected: dict[str, State]) -> None:
    assert states(check_ros(RosFacts(problem, "rmw_fastrtps_cpp", environment))) == expected


def test_how_far_the_domain_reaches_is_said() -> None:
    def domain(**environment: str) -> str:
        return check_ros(RosFacts("", "rmw", environment))[-1].found

    assert domain() == "ROS_DOMAIN_ID 0, also other machines"
    assert "this machine only" in domain(ROS_LOCALHOST_ONLY="1")
    assert "this machine only" in domain(ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")


def test_memory_disk_and_socket_buffers() -> None:
    sizes = {"MemTotal": 16 * 10**9, "MemAvailable": 10**9}
    assert states(check_memory(sizes, "")) == {"memory": State.WARNING}
    sizes["MemAvailable"] = 8 * 10**9
    assert states(check_memory(sizes, "/swapfile file 1 0 -2")) == {"memory": State.OK}
    assert states(check_memory(sizes, "/dev/zram0 partition 1 0 5")) == {"memory": State.OK, "swap": State.WARNING}
    assert [check_disk(free, "/").state for free in (10**9, 10**10)] == [State.WARNING, State.OK]
    assert [check_shared_memory(left).state for left in (2384, 30)] == [State.WARNING, State.OK]
    assert check_socket_buffers(212_992, 921_600).state is State.WARNING
    assert check_socket_buffers(2**31 - 1, 921_600).state is State.OK


def test_a_jetson() -> None:
    orin = Board("NVIDIA Jetson Orin NX", "R36", "MAXN_SUPER")
    assert states(check_board(orin)) == {"board": State.OK, "power mode": State.OK}
    slow = Board("NVIDIA Jetson Orin NX", "R35", "15W")
    assert states(check_board(slow)) == {"board": State.WARNING, "power mode": State.WARNING}
    assert states(check_board(Board("NVIDIA Jetson Orin NX", "R36", "")))["power mode"] is State.WARNING
    assert check_board(None) == []


def test_facts_of_a_jetson_are_read_from_its_files(tmp_path: Path) -> None:
    files = {
        "proc/device-tree/model": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0",
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic, EABI: aarch64\n",
        "proc/meminfo": "MemTotal: 16 kB\nMemAvailable:    8 kB\nHugePages_Total:       0\n",
        "proc/swaps": "Filename Type Size Used Priority\n",
        "proc/sys/net/core/rmem_max": "212992\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = board(tmp_path)
    assert found is not None
    assert (found.model, found.release) == ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", "R36")
    assert gpu_hardware(tmp_path) == "Jetson"
    assert memory_facts(tmp_path)[0] == {"MemTotal": 16 * 1024, "MemAvailable": 8 * 1024}
    assert rmem_max(tmp_path) == 212992


def test_a_machine_without_those_files(tmp_path: Path) -> None:
    assert board(tmp_path) is None
    assert gpu_hardware(tmp_path) is None
    assert rmem_max(tmp_path) is None


def test_power_mode_is_found_in_what_nvpmodel_prints() -> None:
    assert power_mode("NV Power Mode: MAXN_SUPER\n2\n") == "MAXN_SUPER"
    assert power_mode("nvpmodel: permission denied") == ""


def test_the_table_counts_and_says_what_to_do() -> None:
    console = Console(width=100, file=io.StringIO())
    console.print(table([check_python((3, 9)), check_disk(10**10, "/"), check_disk(10**9, "/[home]")]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1 ok, 1 warning, 1 error" in shown
    assert "use Python 3.10 or later" in shown
    assert "/[home]" in shown  # brackets are text, not markup


def test_this_python_is_supported() -> None:
    assert check_python(sys.version_info[:2]).state is State.OK

"""The package installs in every way that its users do: colcon on a robot, pip on a training machine."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
EXECUTABLES = ("mobile-vla", "policy_node", "sim_robot")
LAUNCH_FILE = "launch/mobile_vla.launch.py"
POLICY = "policies/sim_small/config.json"
NOT_COPIED = {".git", ".venv", ".matrix", "data", "out", "build", "install", "log"}  # at the top level

# Run inside an installation: where is what a robot needs?
PROBE = f"""
import mobile_vla_models.backbone, mobile_vla_models.errors, mobile_vla_ros.control
from mobile_vla_models.sentence import shipped_stop_sentences
from mobile_vla_ros.share import share_path
assert "stop" in shipped_stop_sentences()
print(mobile_vla_ros.__file__, mobile_vla_models.__file__, sep="\\n")
print(share_path("{LAUNCH_FILE}"), share_path("{POLICY}"), sep="\\n")
"""
# What `ros2 run` does to find executables.
FIND_PREFIX = "import ament_index_python as index; print(index.get_package_prefix('mobile_vla_ros'))"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of this checkout, since builders leave files in the source tree."""
    copy = tmp_path / "src" / "mobile_vla_ros"
    everywhere = shutil.ignore_patterns(".*_cache", "__pycache__", "*.egg-info")

    def ignore(folder: str, names: list[str]) -> set[str]:
        return everywhere(folder, names) | (NOT_COPIED if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, copy, symlinks=True, ignore=ignore)
    return copy


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command to its end and return what it printed; on failure, show that."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("symlink", [False, True], ids=["copied", "symlinked"])
def test_colcon_build(tree: Path, symlink: bool) -> None:
    pytest.importorskip("colcon_core")
    workspace = tree.parents[1]
    options = ["--symlink-install"] if symlink else []
    built = run(sys.executable, "-m", "colcon", "build", *options, cwd=workspace)
    assert "1 package finished" in built
    assert "falling back" not in built

    install = workspace / "install"
    prefix = install / "mobile_vla_ros"
    for name in EXECUTABLES:
        assert os.access(prefix / "lib" / "mobile_vla_ros" / name, os.X_OK), name

    def in_workspace(command: str) -> list[str]:
        # From another folder, so that nothing is imported from the working directory.
        elsewhere = workspace / "build"
        return run("sh", "-c", f". ../install/local_setup.sh; exec {command}", cwd=elsewhere).splitlines()

    (site,) = prefix.glob("lib/python3*/site-packages")
    places = in_workspace(f"{sys.executable} -c '{PROBE}'")
    source = tree if symlink else prefix
    assert all(Path(place).resolve().is_relative_to(source) for place in places), places
    assert in_workspace(f'{sys.executable} -c "{FIND_PREFIX}"') == [str(prefix)]
    assert any("evaluate" in line for line in in_workspace(f"{prefix}/lib/mobile_vla_ros/mobile-vla --help"))
    assert symlink or (site / "mobile_vla_models" / "py.typed").is_file()
    assert not (site / "models").exists()


@pytest.mark.parametrize("editable", [False, True], ids=["copied", "editable"])
def test_pip_install(tree: Path, tmp_path: Path, editable: bool) -> None:
    fresh = tmp_path / "venv"
    venv.create(fresh, with_pip=False, symlinks=True)
    python = fresh / "bin" / "python"
    # The dependencies come from the running environment; its own mobile_vla_ros does not, since
    # Python reads no further .pth files in folders that a .pth file names.
    (site,) = fresh.glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ["--no-deps", "--no-build-isolation", "--ignore-installed", "--no-index"]
    target = ["--editable", tree] if editable else [tree]
    run(python, "-m", "pip", "install", *options, *target, cwd=tmp_path)

    places = run(python, "-c", PROBE, cwd=tmp_path).splitlines()
    source = tree if editable else fresh
    assert all(Path(place).resolve().is_relative_to(source) for place in places), places
    for name in EXECUTABLES:
        assert os.access(fresh / "bin" / name, os.X_OK), name
    assert "evaluate" in run(fresh / "bin" / "mobile-vla", "--help", cwd=tmp_path)
    assert editable or (site / "mobile_vla_models" / "py.typed").is_file()

"""The launch files start what setup.py installs; where a ROS distribution is, `launch` loads them too."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))


DRIVING = {"mobile_vla.launch.py": {"policy_node"}, "sim.launch.py": {"sim_robot"}}


def own_executables(path: Path) -> set[str]:
    """Executables of this package that a launch file starts."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Call):
            words = {one.arg: one.value.value for one in node.keywords if isinstance(one.value, ast.Constant)}
            if words.get("package") == "mobile_vla_ros":
                found.add(words["executable"])
    return found


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_starts_installed_executables(path: Path) -> None:
    executables = own_executables(path)
    assert executables == DRIVING.get(path.name, set())
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    for executable in executables:
        assert f'"{executable} = mobile_vla_ros.' in setup


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_loads(path: Path) -> None:
    pytest.importorskip("launch_ros", reason="launch comes with a ROS distribution, not as a wheel")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description = module.generate_launch_description()
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert "policy" in arguments or path.name not in DRIVING
    assert all(argument.description for argument in arguments.values())

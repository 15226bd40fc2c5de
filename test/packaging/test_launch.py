"""The launch files start what setup.py installs; where a ROS distribution is, `launch` loads them too."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))


def keyword_strings(path: Path, name: str) -> set[str]:
    """Every string that a file passes as the keyword argument `name`."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
    keywords = (keyword for node in nodes if isinstance(node, ast.Call) for keyword in node.keywords)
    values = (keyword.value for keyword in keywords if keyword.arg == name)
    return {value.value for value in values if isinstance(value, ast.Constant)}


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_starts_installed_executables(path: Path) -> None:
    executables = keyword_strings(path, "executable")
    assert executables
    assert keyword_strings(path, "package") == {"mobile_vla_ros"}
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
    assert "policy" in arguments
    assert all(argument.description for argument in arguments.values())

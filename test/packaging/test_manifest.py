"""package.xml, setup.py, the requirements and the imports agree, and the two packages are kept apart."""

import ast
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROS_MODULE = re.compile(r"(\w+_(msgs|interfaces)|rclpy|ament_index_python|launch|launch_ros)")
MANIFEST = ET.parse(ROOT / "package.xml").getroot()


def imported(folder: str) -> Iterator[tuple[str, str]]:
    """Every import below a folder, at any depth of the code: (file, top-level module)."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
                names = [node.module]
            else:
                continue
            yield from ((str(path.relative_to(ROOT)), name.partition(".")[0]) for name in names)


def dependencies() -> set[str]:
    return {element.text or "" for element in MANIFEST.iter("exec_depend")}


def test_every_imported_ros_package_is_a_dependency() -> None:
    modules = {module for folder in ("mobile_vla_ros", "launch") for _, module in imported(folder)}
    used = {module for module in modules if ROS_MODULE.fullmatch(module)}
    assert used
    assert used <= dependencies()


def test_rosdep_never_installs_torch() -> None:
    assert not [name for name in dependencies() if re.search("torch|transformers", name)]


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("mobile_vla_ros", "torch|transformers"),
        ("models", f"{ROS_MODULE.pattern}|mobile_vla_ros"),
        ("mobile_vla_ros/control", f"{ROS_MODULE.pattern}|mujoco"),
        ("mobile_vla_ros/sim", f"{ROS_MODULE.pattern}|mobile_vla_models"),
    ],
)
def test_packages_are_kept_apart(folder: str, forbidden: str) -> None:
    assert not [(path, module) for path, module in imported(folder) if re.fullmatch(forbidden, module)]


def test_one_version() -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert f'version="{MANIFEST.findtext("version")}"' in setup


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_every_requirement_is_pinned(path: Path) -> None:
    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    requirements = [line for line in lines if line and not line.startswith("-r ")]
    assert requirements
    assert not [line for line in requirements if not re.match(r"[\w.-]+==[\w.]+(;|$)", line)]

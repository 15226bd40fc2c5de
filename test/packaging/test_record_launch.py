"""record.launch.py records the right topics into a new folder; runs where launch_ros is installed."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("launch_ros", reason="launch comes with a ROS distribution, not as a wheel")

from launch import LaunchContext
from launch.actions import ExecuteProcess

LAUNCH = Path(__file__).parents[2] / "launch"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(name).stem, LAUNCH / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorder(folder: Path, **given: str) -> list[str]:
    """The command line of the recorder under some arguments."""
    module, context = load("record.launch.py"), LaunchContext()
    for argument in module.generate_launch_description().get_launch_arguments():
        default = "".join(part.perform(context) for part in argument.default_value or [] if hasattr(part, "text"))
        context.launch_configurations[argument.name] = default
    context.launch_configurations.update(out=str(folder), **given)
    (action,) = module._recorder(context)
    assert isinstance(action, ExecuteProcess)
    return ["".join(part.perform(context) for part in word) for word in action.cmd]


def test_everything_that_a_training_needs_is_recorded(tmp_path: Path) -> None:
    command = recorder(tmp_path / "new")
    assert command[:3] == ["ros2", "bag", "record"]
    topics = command[3 : command.index("--storage")]
    assert topics == ["/camera/image_raw/compressed", "/camera/camera_info", "/cmd_vel", "/odom", "/instruction"]
    assert command[command.index("--storage") + 1] == "mcap"
    output = Path(command[command.index("--output") + 1])
    assert output.parent == tmp_path / "new"
    assert output.parent.is_dir()
    assert not output.exists()  # the recorder refuses a folder that is there
    assert "--use-sim-time" not in command


def test_namespace_cameras_and_more_topics(tmp_path: Path) -> None:
    command = recorder(
        tmp_path,
        namespace="/r1/",
        images="camera/front/image_raw camera/rear/image_raw",
        compressed="false",
        camera_info="",
        extra="/tf_static imu",
        storage="sqlite3",
        use_sim_time="true",
    )
    assert command[3 : command.index("--storage")] == [
        "/r1/camera/front/image_raw",
        "/r1/camera/rear/image_raw",
        "/r1/cmd_vel",
        "/r1/odom",
        "/r1/instruction",
        "/tf_static",
        "/r1/imu",
    ]
    assert command[command.index("--storage") + 1] == "sqlite3"
    assert command[-1] == "--use-sim-time"


@pytest.mark.parametrize("name", ["record.launch.py", "safety.launch.py"])
def test_every_argument_is_described_and_has_a_default(name: str) -> None:
    arguments = load(name).generate_launch_description().get_launch_arguments()
    assert arguments
    assert all(argument.description and argument.default_value is not None for argument in arguments)

"""Demonstrations for training: camera, commands, odometry and the instruction into a rosbag2 recording.

ros2 launch mobile_vla_ros record.launch.py joystick:=true

When the recorder ends, the launch ends: a demonstration that is not recorded is in vain. mobile_vla.launch.py, whose
robot drives on, sets end_with_recorder:=false; the log then has an error.
"""

from datetime import datetime
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.logging import get_logger
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, start the recorder and, where wanted, the joystick."""
    config = PathJoinSubstitution([FindPackageShare("mobile_vla_ros"), "config", "robot", "teleop_joy.yaml"])
    return LaunchDescription(
        [
            DeclareLaunchArgument("out", default_value="recordings", description="folder; each run makes one in it"),
            DeclareLaunchArgument(
                "storage", default_value="mcap", choices=["mcap", "sqlite3"], description="format of the recording"
            ),
            DeclareLaunchArgument("namespace", default_value="", description="of all topics"),
            DeclareLaunchArgument(
                "images", default_value="camera/image_raw", description="camera topics, separated by spaces"
            ),
            DeclareLaunchArgument(
                "compressed",
                default_value="true",
                choices=["true", "false"],
                description="record what image_transport publishes on the camera topics' /compressed",
            ),
            DeclareLaunchArgument("camera_info", default_value="camera/camera_info", description="camera_info topics"),
            DeclareLaunchArgument("cmd_vel", default_value="cmd_vel", description="what the base is commanded"),
            DeclareLaunchArgument("odom", default_value="odom", description="odometry topic"),
            DeclareLaunchArgument("instruction", default_value="instruction", description="the sentence's topic"),
            DeclareLaunchArgument("extra", default_value="", description="more topics, separated by spaces"),
            DeclareLaunchArgument(
                "use_sim_time", default_value="false", choices=["true", "false"], description="time from /clock"
            ),
            DeclareLaunchArgument(
                "end_with_recorder",
                default_value="true",
                choices=["true", "false"],
                description="end the launch when the recorder ends, whatever the reason",
            ),
            DeclareLaunchArgument(
                "joystick",
                default_value="false",
                choices=["true", "false"],
                description="drive with a joystick (packages joy and teleop_twist_joy)",
            ),
            DeclareLaunchArgument(
                "enable_stamped_cmd_vel",
                default_value="",
                choices=["", "true", "false"],
                description="the joystick says TwistStamped instead of Twist; empty: as in joystick_params_file",
            ),
            DeclareLaunchArgument("joystick_params_file", default_value=config, description="of teleop_twist_joy"),
            DeclareLaunchArgument(
                "joystick_cmd_vel", default_value="cmd_vel", description="of the joystick; cmd_vel_joy before twist_mux"
            ),
            OpaqueFunction(function=_joystick),
            OpaqueFunction(function=_recorder),
        ]
    )


def _joystick(context: LaunchContext) -> list[Node]:
    """The joystick's driver, and what makes velocities of it, where they are wanted."""
    given = context.launch_configurations
    if given["joystick"] == "false":
        return []
    stamped, clock = given["enable_stamped_cmd_vel"], {"use_sim_time": given["use_sim_time"] == "true"}
    kind = {"publish_stamped_twist": stamped == "true"} if stamped else {}
    namespace = given["namespace"]
    return [
        Node(package="joy", executable="joy_node", namespace=namespace, parameters=[clock]),
        Node(
            package="teleop_twist_joy",
            executable="teleop_node",
            name="teleop_twist_joy_node",
            namespace=namespace,
            parameters=[given["joystick_params_file"], clock | kind],
            remappings=[("cmd_vel", given["joystick_cmd_vel"])],
        ),
    ]


def _recorder(context: LaunchContext) -> list[ExecuteProcess]:
    """`ros2 bag record`, into a new folder named by the time."""
    given = context.launch_configurations
    folder = Path(given["out"])
    folder.mkdir(parents=True, exist_ok=True)  # the recorder makes only the last one
    suffix = "/compressed" if given["compressed"] == "true" else ""
    names = [f"{name}{suffix}" for name in given["images"].split()]
    for argument in ("camera_info", "cmd_vel", "odom", "instruction", "extra"):
        names += given[argument].split()
    # Absolute, since the recorder runs in no namespace, so that of a PushRosNamespace around this file has to be added;
    # positional, as Humble knows no --topics.
    namespaces = (given.get("ros_namespace", "").strip("/"), given["namespace"].strip("/"))
    prefix = "".join(f"/{namespace}" for namespace in namespaces if namespace)
    topics = [name if name.startswith("/") else f"{prefix}/{name}" for name in names]
    bag = folder / f"{datetime.now():%Y-%m-%dT%H-%M-%S}"
    clock = ["--use-sim-time"] if given["use_sim_time"] == "true" else []
    return [
        ExecuteProcess(
            cmd=["ros2", "bag", "record", *topics, "--storage", given["storage"], "--output", str(bag), *clock],
            output="screen",
            # A recording without its metadata.yaml is not readable: writing what is cached may take longer than 5 s.
            sigterm_timeout="30",
            on_exit=[OpaqueFunction(function=_after_recorder, args=[given["end_with_recorder"] == "true"])],
        )
    ]


def _after_recorder(context: LaunchContext, end: bool) -> list[Shutdown]:
    """Report a recorder that has ended by itself, and end the launch if `end`."""
    if context.is_shutdown:
        return []
    get_logger("record").error("the recorder has ended: NOTHING IS RECORDED from now on")
    return [Shutdown(reason="the recorder has ended")] if end else []

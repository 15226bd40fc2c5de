"""The policy node on a robot: pictures and an instruction go in, velocity commands come out.

ros2 launch mobile_vla_ros mobile_vla.launch.py policy:=/path/to/policy_dir
ros2 service call /policy_node/arm std_srvs/srv/Trigger

A policy with several cameras: cameras:="front:=/front/image_raw hand:=/hand/image_raw".

With safety:=true the commands reach the base by way of safety.launch.py, whose arguments are taken, too; with
record:=FOLDER the run is recorded. Names of topics are relative: namespace:=r1 makes emergency_stop /r1/emergency_stop,
emergency_stop:=/emergency_stop hears one for all robots.

The node configures and activates itself, by its parameter `autostart`. So it does the same under ros2 run, under
systemd and after a respawn, for which a launch file would emit its transitions only once. With autostart:=false a
lifecycle manager does.
"""

from collections.abc import Mapping

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from mobile_vla_ros.bringup.delayed_signals import launch_prefix
from mobile_vla_ros.camera_topics import renamed_topics, with_compressed

# Parameters of the node that are arguments, too: an empty one leaves what params_file says.
TEXTS = {
    "policy": "policy directory",
    "policy_server": "name of a policy_server that runs the policy on another machine",
    "engine": "what computes the steps: torch, torch-compile, torch-cuda-graphs, onnx",
    "device": "that runs the policy: cpu, cuda",
    "dtype": "numbers that the policy computes with: auto, float32, bfloat16, float16",
    "image_transport": "raw, or compressed: what is published on the camera topic's /compressed",
    "black_box_folder": "absolute path of a folder for recordings of what was around a stop",
}
SWITCHES = {
    "use_sim_time": "time from /clock; safety and record ask this argument alone",
    "autostart": "configure and activate the node; false: a lifecycle manager does (docs/deployment.md)",
    "arm_on_activate": "may move without the service ~/arm",
    "enable_stamped_cmd_vel": "TwistStamped instead of Twist, in all that safety starts, too",
}
MUX_INPUT = "cmd_vel_vla"  # where twist_mux.yaml expects the policy


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node; disarmed, and without an instruction, it commands zero."""
    params_file = PathJoinSubstitution([FindPackageShare("mobile_vla_ros"), "config", "policy_node.yaml"])
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value="", description=f"{description}; empty: as in params_file")
                for name, description in TEXTS.items()
            ),
            DeclareLaunchArgument("params_file", default_value=params_file, description="parameters of policy_node"),
            DeclareLaunchArgument("namespace", default_value="", description="of the node and its topics"),
            DeclareLaunchArgument("image", default_value="camera/image_raw", description="camera topic"),
            DeclareLaunchArgument(
                "cameras",
                default_value="",
                description="topics of a policy's cameras, where it has several: NAME:=TOPIC, separated by spaces",
            ),
            DeclareLaunchArgument("instruction", default_value="instruction", description="the sentence's topic"),
            DeclareLaunchArgument(
                "emergency_stop", default_value="emergency_stop", description="std_msgs/Bool; true: stop, and stay so"
            ),
            DeclareLaunchArgument("odom", default_value="odom", description="odometry topic"),
            DeclareLaunchArgument("cmd_vel", default_value="cmd_vel", description="what the base is commanded"),
            *(
                DeclareLaunchArgument(
                    name,
                    default_value="",
                    choices=["", "true", "false"],
                    description=f"{description}; empty: as in params_file",
                )
                for name, description in SWITCHES.items()
            ),
            DeclareLaunchArgument(
                "safety",
                default_value="false",
                choices=["true", "false"],
                description="safety.launch.py between node and base: nothing drives before emergency_stop says false",
            ),
            DeclareLaunchArgument(
                "collision_monitor",
                default_value="false",
                choices=["true", "false"],
                description="with safety: also stop for what a laser scanner on scan sees",
            ),
            DeclareLaunchArgument(
                "record",
                default_value="",
                description="folder for a recording of this run, to train on; needs image_transport; empty: none",
            ),
            DeclareLaunchArgument("enclave", default_value="", description="of SROS 2; empty: that of the namespace"),
            DeclareLaunchArgument("log_level", default_value="info", description="of policy_node"),
            OpaqueFunction(function=_start),
        ]
    )


def _start(context: LaunchContext) -> list[Node | GroupAction]:
    """The node, and what is wanted around it."""
    given = context.launch_configurations
    safe, recorded = given["safety"] == "true", given["record"] != ""
    if safe and given["cmd_vel"].endswith(MUX_INPUT):
        raise RuntimeError(f"cmd_vel is {given['cmd_vel']}, where twist_mux hears the policy: expected the base's")
    if recorded and given["image_transport"] not in ("raw", "compressed"):
        raise RuntimeError("record needs image_transport, raw or compressed, to know which pictures to record")
    cameras = renamed_topics(given["cameras"], given["image"])
    enclave = ["--enclave", given["enclave"]] if given["enclave"] else []
    node = Node(
        package="mobile_vla_ros",
        executable="policy_node",
        name="policy_node",
        exec_name="policy_node",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("params_file"),
            {name: ParameterValue(given[name], value_type=str) for name in TEXTS if given[name]}
            | {name: given[name] == "true" for name in SWITCHES if given[name]}
            | ({"command_topics": ParameterValue(_behind(given), value_type=str)} if safe else {}),
        ],
        remappings=[
            *with_compressed(cameras),
            ("instruction", LaunchConfiguration("instruction")),
            ("emergency_stop", LaunchConfiguration("emergency_stop")),
            ("odom", LaunchConfiguration("odom")),
            ("cmd_vel", MUX_INPUT if safe else LaunchConfiguration("cmd_vel")),
        ],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level"), *enclave],
        prefix=launch_prefix(given, 0.0),  # SIGTERM to launch, or its death, ends the node, too
    )
    around = []
    if safe:
        around.append(_included("safety.launch.py", context))
    if recorded:
        compressed = "true" if given["image_transport"] == "compressed" else "false"
        pictures = {"images": " ".join(cameras.values()), "compressed": compressed}
        recording = {"out": given["record"], "end_with_recorder": "false", **pictures}  # the robot drives on without
        around.append(_included("record.launch.py", context, **recording))
    return [node, *around]


def _behind(given: Mapping[str, str]) -> str:
    """Topics of safety.launch.py that must have a subscriber for commands to reach the base."""
    smoothed = ["cmd_vel_smoothed"] if given["collision_monitor"] == "true" else []
    return " ".join(["cmd_vel_mux", *smoothed, given["cmd_vel"]])


def _included(name: str, context: LaunchContext, **arguments: str) -> GroupAction:
    """Another launch file of this package; namespace and topics it takes from the context."""
    path = PathJoinSubstitution([FindPackageShare("mobile_vla_ros"), "launch", name])
    arguments["use_sim_time"] = context.launch_configurations["use_sim_time"] or "false"
    included = IncludeLaunchDescription(PythonLaunchDescriptionSource(path), launch_arguments=arguments.items())
    return GroupAction([included])  # its arguments end with the group

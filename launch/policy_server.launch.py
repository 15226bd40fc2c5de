"""A policy on a workstation, for the policy node of a robot; it moves nothing.

On the workstation: ros2 launch mobile_vla_ros policy_server.launch.py policy:=/path/to/policy_dir device:=cuda
On the robot: ros2 launch mobile_vla_ros mobile_vla.launch.py policy_server:=/policy_server image_transport:=compressed

Namespace and camera topics are those of the robot: namespace:=r1 makes /r1/policy_server.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from mobile_vla_ros.camera_topics import renamed_topics, with_compressed

# Parameters of the node that are arguments, too: an empty one leaves what params_file says.
TEXTS = {
    "policy": "policy directory",
    "engine": "what computes the steps: torch, torch-compile, torch-cuda-graphs, onnx",
    "device": "that runs the policy: cpu, cuda",
    "dtype": "numbers that the policy computes with: auto, float32, bfloat16, float16",
    "image_transport": "raw, or compressed: what is published on the camera topic's /compressed",
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the server."""
    params_file = PathJoinSubstitution([FindPackageShare("mobile_vla_ros"), "config", "policy_server.yaml"])
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value="", description=f"{description}; empty: as in params_file")
                for name, description in TEXTS.items()
            ),
            DeclareLaunchArgument("params_file", default_value=params_file, description="parameters of policy_server"),
            DeclareLaunchArgument("namespace", default_value="", description="of the robot that it serves"),
            DeclareLaunchArgument("image", default_value="camera/image_raw", description="camera topic"),
            DeclareLaunchArgument(
                "cameras",
                default_value="",
                description="topics of a policy's cameras, where it has several: NAME:=TOPIC, separated by spaces",
            ),
            DeclareLaunchArgument("enclave", default_value="", description="of SROS 2; empty: that of the namespace"),
            OpaqueFunction(function=_start),
        ]
    )


def _start(context: LaunchContext) -> list[Node]:
    """The server, which hears the camera topics of the robot."""
    given = context.launch_configurations
    return [
        Node(
            package="mobile_vla_ros",
            executable="policy_server",
            name="policy_server",
            namespace=given["namespace"],
            output="screen",
            parameters=[
                given["params_file"],
                {name: ParameterValue(given[name], value_type=str) for name in TEXTS if given[name]},
            ],
            remappings=with_compressed(renamed_topics(given["cameras"], given["image"])),
            arguments=["--ros-args", "--enclave", given["enclave"]] if given["enclave"] else [],
        )
    ]

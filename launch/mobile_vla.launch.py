"""The policy node on a robot: pictures and an instruction go in, velocity commands come out.

ros2 launch mobile_vla_ros mobile_vla.launch.py policy:=/path/to/policy_dir
ros2 service call /policy_node/arm std_srvs/srv/Trigger

The node configures and activates itself, by its parameter `autostart`. So it does the same under ros2 run, under
systemd and after a respawn, for which a launch file would emit its transitions only once. With autostart:=false a
lifecycle manager does.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node; disarmed, and without an instruction, it commands zero."""
    share = FindPackageShare("mobile_vla_ros")
    return LaunchDescription(
        [
            DeclareLaunchArgument("policy", description="policy directory"),
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([share, "config", "policy_node.yaml"]),
                description="parameters of policy_node",
            ),
            DeclareLaunchArgument("namespace", default_value="", description="of the node and its topics"),
            DeclareLaunchArgument("image", default_value="camera/image_raw", description="camera topic"),
            DeclareLaunchArgument("cmd_vel", default_value="cmd_vel", description="velocity command topic"),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="false",
                choices=["true", "false"],
                description="time from /clock",
            ),
            DeclareLaunchArgument(
                "autostart",
                default_value="true",
                choices=["true", "false"],
                description="configure and activate the node; false: a lifecycle manager does",
            ),
            DeclareLaunchArgument(
                "arm_on_activate",
                default_value="false",
                choices=["true", "false"],
                description="may move without the service ~/arm",
            ),
            DeclareLaunchArgument("log_level", default_value="info", description="of policy_node"),
            Node(
                package="mobile_vla_ros",
                executable="policy_node",
                name="policy_node",
                namespace=LaunchConfiguration("namespace"),
                output="screen",
                parameters=[
                    LaunchConfiguration("params_file"),
                    {
                        "policy": ParameterValue(LaunchConfiguration("policy"), value_type=str),
                        **{
                            name: ParameterValue(LaunchConfiguration(name), value_type=bool)
                            for name in ("use_sim_time", "autostart", "arm_on_activate")
                        },
                    },
                ],
                remappings=[
                    ("camera/image_raw", LaunchConfiguration("image")),
                    ("camera/image_raw/compressed", [LaunchConfiguration("image"), "/compressed"]),
                    ("cmd_vel", LaunchConfiguration("cmd_vel")),
                ],
                arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            ),
        ]
    )

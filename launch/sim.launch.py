"""The simulated robot with the policy node driving it, on simulated time.

ros2 launch mobile_vla_ros sim.launch.py
ros2 service call /policy_node/arm std_srvs/srv/Trigger
ros2 topic pub --once --keep-alive 2 /instruction std_msgs/msg/String "{data: 'go to the red box'}"

One robot at a time: each would publish a /clock of its own. A base that listens to the same cmd_vel drives along: where
there is one, give the simulation a ROS_DOMAIN_ID of its own. What mobile_vla.launch.py takes is taken here, too;
arm_on_activate:=true saves the service call.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Start `sim_robot`, and `policy_node` as on a robot."""
    share = FindPackageShare("mobile_vla_ros")
    robot = PathJoinSubstitution([share, "launch", "mobile_vla.launch.py"])
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "policy",
                default_value=PathJoinSubstitution([share, "policies", "sim_small"]),
                description="policy directory",
            ),
            DeclareLaunchArgument(
                "sim_params_file",
                default_value=PathJoinSubstitution([share, "config", "sim_robot.yaml"]),
                description="parameters of sim_robot",
            ),
            DeclareLaunchArgument("namespace", default_value="", description="of both nodes and their topics"),
            DeclareLaunchArgument(
                "enable_stamped_cmd_vel",
                default_value="",
                choices=["", "true", "false"],
                description="TwistStamped instead of Twist, in all that is started; empty: as in the parameter files",
            ),
            OpaqueFunction(function=_robot),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(robot),
                launch_arguments={
                    "policy": LaunchConfiguration("policy"),
                    "image_transport": "raw",
                    "use_sim_time": "true",
                }.items(),
            ),
        ]
    )


def _robot(context: LaunchContext) -> list[Node]:
    """The simulated robot, which hears the kind of message that the policy node says."""
    given = context.launch_configurations
    stamped = given["enable_stamped_cmd_vel"]
    kind = [{"enable_stamped_cmd_vel": stamped == "true"}] if stamped else []
    return [
        Node(
            package="mobile_vla_ros",
            executable="sim_robot",
            name="sim_robot",
            namespace=given["namespace"],
            output="screen",
            parameters=[given["sim_params_file"], *kind],
        )
    ]

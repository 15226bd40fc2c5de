"""What belongs between the drivers and the base: twist_mux, velocity_smoother and, with a scanner, collision_monitor.

cmd_vel_vla, cmd_vel_joy -> twist_mux -> cmd_vel_mux -> velocity_smoother -> cmd_vel, or with a scanner
cmd_vel_smoothed -> collision_monitor -> cmd_vel

mobile_vla.launch.py includes it with safety:=true. Apart:
ros2 launch mobile_vla_ros safety.launch.py collision_monitor:=true
ros2 launch mobile_vla_ros mobile_vla.launch.py policy:=... cmd_vel:=cmd_vel_vla
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

PARTS = ("twist_mux", "velocity_smoother", "collision_monitor")


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the chain; nothing drives before emergency_stop says false."""
    folder = PathJoinSubstitution([FindPackageShare("mobile_vla_ros"), "config", "robot"])
    clock = {"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)}
    with_monitor = IfCondition(LaunchConfiguration("collision_monitor"))
    without_monitor = UnlessCondition(LaunchConfiguration("collision_monitor"))

    files = {part: LaunchConfiguration(f"{part}_params_file") for part in PARTS}

    def smoother(out: str | LaunchConfiguration, condition: IfCondition | UnlessCondition) -> Node:
        return Node(
            package="nav2_velocity_smoother",
            executable="velocity_smoother",
            name="velocity_smoother",
            output="screen",
            parameters=[files["velocity_smoother"], clock],
            remappings=[("cmd_vel", "cmd_vel_mux"), ("cmd_vel_smoothed", out)],
            condition=condition,
        )

    def manager(nodes: list[str], condition: IfCondition | UnlessCondition) -> Node:
        return Node(
            package="nav2_lifecycle_manager",
            executable="lifecycle_manager",
            name="lifecycle_manager_safety",
            output="screen",
            parameters=[{"autostart": True, "node_names": nodes}, clock],
            condition=condition,
        )

    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="", description="of the nodes and their topics"),
            DeclareLaunchArgument(
                "collision_monitor",
                default_value="false",
                choices=["true", "false"],
                description="also stop for what a laser scanner on scan sees",
            ),
            DeclareLaunchArgument("cmd_vel", default_value="cmd_vel", description="what the base is commanded"),
            DeclareLaunchArgument(
                "emergency_stop", default_value="emergency_stop", description="the heartbeat: std_msgs/Bool, false"
            ),
            *(
                DeclareLaunchArgument(
                    f"{part}_params_file",
                    default_value=PathJoinSubstitution([folder, f"{part}.yaml"]),
                    description=f"parameters of {part}: yours; the default's are those of the simulated robot",
                )
                for part in PARTS
            ),
            DeclareLaunchArgument(
                "use_sim_time", default_value="false", choices=["true", "false"], description="time from /clock"
            ),
            GroupAction(
                [
                    PushRosNamespace(LaunchConfiguration("namespace")),
                    Node(
                        package="twist_mux",
                        executable="twist_mux",
                        name="twist_mux",
                        output="screen",
                        parameters=[files["twist_mux"], clock],
                        remappings=[
                            ("cmd_vel_out", "cmd_vel_mux"),
                            ("emergency_stop", LaunchConfiguration("emergency_stop")),
                        ],
                    ),
                    smoother("cmd_vel_smoothed", with_monitor),
                    smoother(LaunchConfiguration("cmd_vel"), without_monitor),
                    Node(
                        package="nav2_collision_monitor",
                        executable="collision_monitor",
                        name="collision_monitor",
                        output="screen",
                        parameters=[files["collision_monitor"], clock],
                        remappings=[("cmd_vel", LaunchConfiguration("cmd_vel"))],
                        condition=with_monitor,
                    ),
                    manager(["velocity_smoother", "collision_monitor"], with_monitor),
                    manager(["velocity_smoother"], without_monitor),
                ]
            ),
        ]
    )

"""What belongs between the drivers and the base: twist_mux, velocity_smoother and, with a scanner, collision_monitor.

cmd_vel_vla, cmd_vel_joy -> twist_mux -> cmd_vel_mux -> velocity_smoother -> cmd_vel, or with a scanner
cmd_vel_smoothed -> collision_monitor -> cmd_vel

mobile_vla.launch.py includes it with safety:=true. Apart:
ros2 launch mobile_vla_ros safety.launch.py collision_monitor:=true
ros2 launch mobile_vla_ros mobile_vla.launch.py policy:=... cmd_vel:=cmd_vel_vla

However the launch is ended (Ctrl-C, SIGINT, SIGTERM, a terminal that closes), the base's last commands are zeros: the
mux ends 0.5 s later, after the policy node's zero command; the others 2.5 s after the mux, when the smoother has
braked.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.substitutions import FindPackageShare

from mobile_vla_ros.bringup.delayed_signals import MUX_DELAY, SMOOTHER_DELAY, launch_prefix

PARTS = ("twist_mux", "velocity_smoother", "collision_monitor")


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the chain; nothing drives before emergency_stop says false."""
    folder = PathJoinSubstitution([FindPackageShare("mobile_vla_ros"), "config", "robot"])
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
                "tf",
                default_value="tf",
                description="transforms for collision_monitor; static ones are on the same name with _static. "
                "/tf: the robot publishes them outside its namespace",
            ),
            DeclareLaunchArgument(
                "enable_stamped_cmd_vel",
                default_value="",
                choices=["", "true", "false"],
                description="TwistStamped instead of Twist, on all topics; empty: as in the parameter files",
            ),
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
            GroupAction([PushRosNamespace(LaunchConfiguration("namespace")), OpaqueFunction(function=_chain)]),
        ]
    )


def _chain(context: LaunchContext) -> list[Node]:
    """The mux, the smoother, the monitor if there is to be one, and who brings up what is managed."""
    given = context.launch_configurations
    monitored = given["collision_monitor"] == "true"
    clock = {"use_sim_time": given["use_sim_time"] == "true"}

    def part(package: str, name: str, stamped: str, remappings: dict[str, str], delay: float = SMOOTHER_DELAY) -> Node:
        kind = {stamped: given["enable_stamped_cmd_vel"] == "true"} if given["enable_stamped_cmd_vel"] else {}
        return Node(
            package=package,
            executable=name,
            name=name,
            exec_name=name,
            output="screen",
            parameters=[given[f"{name}_params_file"], clock | kind],
            remappings=remappings.items(),
            prefix=launch_prefix(given, delay),
        )

    mux = {"cmd_vel_out": "cmd_vel_mux", "emergency_stop": given["emergency_stop"]}
    smoother = {"cmd_vel": "cmd_vel_mux", "cmd_vel_smoothed": "cmd_vel_smoothed" if monitored else given["cmd_vel"]}
    chain = [
        part("twist_mux", "twist_mux", "use_stamped", mux, MUX_DELAY),
        part("nav2_velocity_smoother", "velocity_smoother", "enable_stamped_cmd_vel", smoother),
    ]
    if monitored:
        # tf2 hears /tf in every namespace; nav2's own launch files make it relative, too.
        monitor = {"cmd_vel": given["cmd_vel"], "/tf": given["tf"], "/tf_static": f"{given['tf']}_static"}
        chain.append(part("nav2_collision_monitor", "collision_monitor", "enable_stamped_cmd_vel", monitor))
    managed = ["velocity_smoother", *(["collision_monitor"] if monitored else [])]
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_safety",
        exec_name="lifecycle_manager",
        output="screen",
        parameters=[{"autostart": True, "node_names": managed}, clock],
        prefix=launch_prefix(given, SMOOTHER_DELAY),
    )
    return [*chain, manager]

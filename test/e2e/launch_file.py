"""Launch a file, as `ros2 launch` does.

Arguments: interactive or noninteractive, a prefix where packages are looked for first, the file, its arguments.
"""

import os
import sys

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

if __name__ == "__main__":
    kind, prefix, path, *given = sys.argv[1:]
    os.environ["AMENT_PREFIX_PATH"] = os.pathsep.join([prefix, *filter(None, [os.environ.get("AMENT_PREFIX_PATH")])])
    service = LaunchService(noninteractive=kind == "noninteractive")
    arguments = [tuple(word.split(":=", 1)) for word in given]
    included = IncludeLaunchDescription(PythonLaunchDescriptionSource(path), launch_arguments=arguments)
    service.include_launch_description(LaunchDescription([included]))
    sys.exit(service.run())

"""`python -m mobile_vla_ros.policy_node`, as `ros2 run mobile_vla_ros policy_node`."""

import sys

from .node import main

sys.exit(main())
